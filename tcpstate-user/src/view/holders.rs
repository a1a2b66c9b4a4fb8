//! Who holds the sockets that are still in a state: ranked processes, with their peers and their oldest socket.
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::{
    tcp::{Owner, TcpState},
    tracker::{Open, StillOpen, Tracker},
};

/// A process and its sockets in one state.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The process; `None` for sockets whose owner is not known or that have none any more.
    pub owner: Option<Owner>,
    /// Its sockets.
    pub open: StillOpen,
    /// Remote addresses with the number of sockets, most first, at most [`MOST`].
    pub peers: Vec<(IpAddr, u64)>,
    /// Remote addresses in all.
    pub peers_in_all: usize,
}

/// Holders and peers shown at most.
pub const MOST: usize = 5;

/// The holders of a state.
#[derive(Clone, Debug, Default)]
pub struct Holders {
    /// Most sockets first, at most [`MOST`].
    pub first: Vec<Holder>,
    /// How many there are beside them.
    pub others: usize,
}

#[derive(Default)]
struct Group {
    owner: Option<Owner>,
    open: StillOpen,
    peers: HashMap<IpAddr, u64>,
}

/// The holders of the sockets in each state, at `now_ns`. A walk over the whole table.
#[must_use]
pub fn holders(tracker: &Tracker, now_ns: u64) -> [Holders; 12] {
    holders_of(tracker.open(), now_ns)
}

/// The holders of some of the sockets, likewise.
#[must_use]
pub fn holders_of(sockets: impl Iterator<Item = Open>, now_ns: u64) -> [Holders; 12] {
    let mut groups: HashMap<(TcpState, Option<u32>), Group> = HashMap::new();
    for open in sockets {
        let pid = open.owner.map(|owner| owner.pid);
        let group = groups.entry((open.state, pid)).or_default();
        // What was seen names the process better than a hint.
        group.owner = open.owner.or(group.owner);
        group.open.add(&open, now_ns);
        if let Some(tuple) = open.tuple.filter(|_| open.state != TcpState::Listen) {
            *group.peers.entry(tuple.raddr).or_default() += 1;
        }
    }
    let mut states: [Vec<Group>; 12] = Default::default();
    for ((state, _), group) in groups {
        states[state.index()].push(group);
    }
    states.map(ranked)
}

fn ranked(mut groups: Vec<Group>) -> Holders {
    // Of equals, always the same comes first.
    groups.sort_by_key(|group| {
        let pid = group.owner.map(|owner| owner.pid);
        (std::cmp::Reverse(group.open.sockets), pid)
    });
    let others = groups.len().saturating_sub(MOST);
    groups.truncate(MOST);
    let first = groups
        .into_iter()
        .map(|group| {
            let mut peers: Vec<(IpAddr, u64)> = group.peers.into_iter().collect();
            peers.sort_by_key(|(peer, sockets)| (std::cmp::Reverse(*sockets), *peer));
            let peers_in_all = peers.len();
            peers.truncate(MOST);
            Holder {
                owner: group.owner,
                open: group.open,
                peers,
                peers_in_all,
            }
        })
        .collect();
    Holders { first, others }
}
