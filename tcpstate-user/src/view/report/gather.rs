//! What a report is made of, gathered from the transitions as they come; bounded, however long the run.
use std::net::IpAddr;

use hashbrown::HashMap;
use hdrhistogram::Histogram;

use super::{parties::Parties, slowest::Slowest, timeline::Timeline};
use crate::{
    dwell::{Dwell, LONGEST_US},
    tcp::{Reason, TcpState, Transition},
};

/// States whose owners and peers are ranked.
pub(super) const RANKED: [TcpState; 2] = [TcpState::CloseWait, TcpState::TimeWait];

/// One edge of the diagram.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    /// Transitions along it.
    pub(super) count: u64,
    /// Known times spent in the state left, µs, up to [`LONGEST_US`].
    pub(super) dwell: Histogram<u64>,
}

/// How well the times in a state are known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Confidence {
    /// Finished stays whose length is not known.
    pub(super) unknown: u64,
    /// Finished stays with a time that was recovered or bounded, not seen.
    pub(super) estimated: u64,
}

/// Everything gathered so far.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Time of the first transition, monotonic, ns; it may be before the session calls the measurement begun.
    pub(super) first_ns: Option<u64>,
    pub(super) edges: HashMap<(TcpState, TcpState), Edge>,
    pub(super) dwell: Dwell,
    pub(super) confidence: [Confidence; 12],
    pub(super) ends: HashMap<(TcpState, Option<Reason>), u64>,
    pub(super) slowest: Slowest,
    pub(super) timeline: Timeline,
    pub(super) processes: [Parties<u32>; RANKED.len()],
    pub(super) peers: [Parties<IpAddr>; RANKED.len()],
}

impl Gathered {
    /// Takes the next transition.
    pub(super) fn transition(&mut self, transition: &Transition) {
        let at_ns = transition.mono_ns;
        self.first_ns = Some(self.first_ns.map_or(at_ns, |first_ns| first_ns.min(at_ns)));
        self.edge(transition);
        self.dwell.transition(transition);
        let confidence = &mut self.confidence[transition.from.index()];
        confidence.estimated += u64::from(transition.estimated);
        confidence.unknown +=
            u64::from(transition.dwell_ns.is_none() && leaves_a_state(transition));
        if transition.to == TcpState::Close {
            let end = (transition.from, transition.reason);
            *self.ends.entry(end).or_default() += 1;
        }
        if transition.from != TcpState::Listen {
            self.slowest.transition(transition); // to listen for long is not slow
        }
        self.timeline.transition(transition);
        self.parties(transition);
    }

    fn edge(&mut self, transition: &Transition) {
        let edge = self
            .edges
            .entry((transition.from, transition.to))
            .or_insert_with(|| Edge {
                count: 0,
                dwell: Histogram::new(3).expect("three significant digits are allowed"),
            });
        edge.count += 1;
        if let Some(us) = transition.dwell_ns.map(|ns| ns / 1000)
            && us <= LONGEST_US
        {
            let _ = edge.dwell.record(us); // fails only for what is out of range, and the range grows
        }
    }

    fn parties(&mut self, transition: &Transition) {
        let pid = transition.owner.map(|owner| owner.pid);
        let peer = transition.tuple.map(|tuple| tuple.raddr);
        for (place, state) in RANKED.into_iter().enumerate() {
            if transition.to == state {
                self.processes[place].entered(pid, transition.owner);
                self.peers[place].entered(peer, None);
            }
            if transition.from == state {
                self.processes[place].left(pid, transition.dwell_ns);
                self.peers[place].left(peer, transition.dwell_ns);
            }
        }
    }
}

/// Whether a stay ends with this transition. A connection that begins comes from none, nor does its listener leave.
fn leaves_a_state(transition: &Transition) -> bool {
    match transition.from {
        TcpState::Close => false,
        TcpState::Listen => transition.to != TcpState::SynRecv,
        _ => true,
    }
}
