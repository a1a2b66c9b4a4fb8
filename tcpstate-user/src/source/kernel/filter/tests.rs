//! The kernel side's decision against that of the user side: it never turns away what the user side admits.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::{collection::vec, prelude::*, sample::select};
use tcpstate_ebpf::Record;

use super::*;
use crate::tcp::Tuple;

/// A record of a fact about a socket with this tuple, as far as the filter looks at it.
pub(crate) fn record(netns: u32, tuple: &Tuple) -> Record {
    let words = |address: IpAddr| match address {
        IpAddr::V4(v4) => [u32::from_ne_bytes(v4.octets()), 0, 0, 0],
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            [0, 4, 8, 12].map(|place| {
                let [a, b, c, d, ..] = octets[place..] else {
                    unreachable!("four octets a word");
                };
                u32::from_ne_bytes([a, b, c, d])
            })
        }
    };
    Record {
        laddr: words(tuple.laddr),
        raddr: words(tuple.raddr),
        netns,
        lport: tuple.lport.unwrap_or(0),
        rport: tuple.rport,
        family: if tuple.raddr.is_ipv4() {
            FAMILY_IPV4
        } else {
            FAMILY_IPV6
        },
        ..Record::default()
    }
}

/// Few values, so that filters often agree.
fn port() -> impl Strategy<Value = u16> {
    select(&[1, 79, 80, 81, 443, u16::MAX])
}

fn ports() -> impl Strategy<Value = Vec<Port>> {
    let range = (port(), port()).prop_map(|(a, b)| Port {
        first: a.min(b),
        last: a.max(b),
    });
    vec(range, 0..FILTER_VALUES + 2)
}

fn v4() -> impl Strategy<Value = Ipv4Addr> {
    (select(&[0, 10, 127]), 0..2_u8, 0..4_u8).prop_map(|(a, c, d)| Ipv4Addr::new(a, 0, c, d))
}

fn v6() -> impl Strategy<Value = Ipv6Addr> {
    (select(&[0, 0xfd00, 0x2001]), 0..2_u16, 0..4_u16)
        .prop_map(|(a, f, h)| Ipv6Addr::new(a, 0, 0, 0, 0, f, 0, h))
}

fn nets() -> impl Strategy<Value = Vec<IpNet>> {
    let net = prop_oneof![
        (v4(), 0..=32_u8).prop_map(|(address, length)| (IpAddr::V4(address), length)),
        (v6(), 0..=128_u8).prop_map(|(address, length)| (IpAddr::V6(address), length)),
    ];
    let net = net.prop_map(|(address, length)| {
        IpNet::new(address, length)
            .expect("a length that fits")
            .trunc()
    });
    vec(net, 0..FILTER_VALUES + 2)
}

fn selection() -> impl Strategy<Value = Selection> {
    let netns = vec(1..5_u32, 0..FILTER_VALUES + 2);
    (
        any::<bool>(),
        any::<bool>(),
        ports(),
        ports(),
        nets(),
        nets(),
        netns,
    )
        .prop_map(
            |(ipv4, ipv6, local_ports, remote_ports, local_nets, remote_nets, netns)| Selection {
                ipv4,
                ipv6,
                local_ports,
                remote_ports,
                local_nets,
                remote_nets,
                netns,
                ..Selection::default()
            },
        )
}

fn tuple() -> impl Strategy<Value = Tuple> {
    let ends = prop_oneof![
        (v4(), v4()).prop_map(|(local, remote)| (IpAddr::V4(local), IpAddr::V4(remote))),
        (v6(), v6()).prop_map(|(local, remote)| (IpAddr::V6(local), IpAddr::V6(remote))),
    ];
    let lport = prop_oneof![1 => Just(None), 4 => port().prop_map(Some)];
    let rport = prop_oneof![1 => Just(0), 4 => port()];
    (ends, lport, rport).prop_map(|((laddr, raddr), lport, rport)| Tuple {
        laddr,
        lport,
        raddr,
        rport,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn what_the_user_side_may_want_is_delivered(selection in selection(), tuple in tuple(), netns in 1..5_u32) {
        let delivered = in_kernel(&selection).admits(&record(netns, &tuple), |part| *part);
        let netns = selection.admits_netns(netns);
        let wanted = selection.admits(&tuple);
        if netns && wanted != Some(false) {
            prop_assert!(delivered);
        }
        // Where both know everything they agree.
        let lists = [
            selection.local_ports.len(),
            selection.remote_ports.len(),
            selection.local_nets.len(),
            selection.remote_nets.len(),
            selection.netns.len(),
        ];
        let knows_all = lists.iter().all(|length| *length <= FILTER_VALUES);
        if knows_all && tuple.rport != 0 && wanted.is_some() && tuple.lport.is_some() {
            prop_assert_eq!(delivered, netns && wanted == Some(true));
        }
    }
}

#[test]
fn no_selection_is_no_filter() {
    assert_eq!(in_kernel(&Selection::default()), Filter::default());
}
