//! A full table: its size is bounded, what it turns away is counted, and what leaves makes room.
use std::net::{IpAddr, Ipv4Addr};

use super::{Run, lives::NETNS};
use crate::{
    fact::{Fact, FactKind},
    tcp::{
        TcpState::{self, *},
        Tuple,
    },
    tracker::Config,
};

const ROOM: usize = 100;
const ALL: u32 = 1_000;

/// A change of state of the connection with this number.
fn change(number: u32, time_ns: u64, (old, new): (TcpState, TcpState)) -> Fact {
    Fact {
        time_ns,
        cpu: 0,
        object: u64::from(number) + 1,
        netns: NETNS,
        tuple: Tuple {
            laddr: IpAddr::V4(Ipv4Addr::LOCALHOST),
            lport: Some(50_000),
            raddr: IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number)),
            rport: 80,
        },
        kind: FactKind::Transition {
            old,
            new,
            error: 0,
            stillborn: false,
            details: None,
        },
    }
}

#[test]
fn a_full_table_turns_away_counts_and_takes_again() {
    let mut run = Run::new(Config {
        max_connections: ROOM,
        ..Config::default()
    });
    let opening = (Close, SynSent);
    for number in 0..ALL {
        run.apply(&change(number, 1_000 + u64::from(number), opening));
        assert!(run.tracker.tracked() <= ROOM);
    }
    run.assert_counts_are_the_table();
    assert_eq!(run.tracker.tracked(), ROOM);
    let turned_away = u64::from(ALL) - ROOM as u64;
    assert_eq!(run.tracker.table_full(), turned_away);
    // Each opening is told all the same; only what comes later cannot be joined to it.
    assert_eq!(run.out.len(), ALL as usize);

    // Those that found room leave: whoever comes then finds it, and is followed to its end.
    let ending = (SynSent, Close);
    for number in 0..ROOM as u32 {
        run.apply(&change(number, 10_000, ending));
    }
    assert_eq!(run.tracker.tracked(), 0);
    for number in 0..ROOM as u32 {
        run.apply(&change(number, 20_000, opening));
        run.apply(&change(number, 20_500, ending));
    }
    assert_eq!(run.tracker.table_full(), turned_away);
    let last = run.out.last().expect("the last ending");
    assert_eq!((last.to, last.dwell_ns), (Close, Some(500)));
}
