//! Made-up sockets for the tests of this view.
use std::net::{IpAddr, Ipv4Addr};

use crate::{
    tcp::{Comm, ConnectionId, Owner, OwnerSource, Role, TcpState, Tuple},
    tracker::Open,
};

/// A socket at local port `lport`, of nobody.
pub(super) fn open(number: u64, state: TcpState, lport: u16) -> Open {
    Open {
        id: ConnectionId {
            cookie: number + 0x1000,
            serial: number,
        },
        skaddr: 0xffff_8880_0000_0000 + number * 0x400,
        netns: 4_026_531_840,
        tuple: Some(Tuple {
            laddr: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
            lport: Some(lport),
            raddr: IpAddr::V4(Ipv4Addr::new(192, 0, 2, (number % 5) as u8)),
            rport: 30_000 + (number % 1000) as u16,
        }),
        state,
        since_ns: Some(0),
        seen_ns: 0,
        role: Some(Role::Server),
        owner: None,
        cgroup: None,
        bytes: None,
    }
}

/// The same socket, of a process.
pub(super) fn owned(socket: Open, pid: u32, name: &[u8]) -> Open {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name);
    Open {
        owner: Some(Owner {
            pid,
            uid: 33,
            comm: Comm(comm),
            source: OwnerSource::Accept,
        }),
        ..socket
    }
}
