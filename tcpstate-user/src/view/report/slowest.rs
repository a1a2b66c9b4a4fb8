//! The longest stays in each state, a bounded number of them.
use crate::tcp::{Owner, Reason, TcpState, Transition, Tuple};

/// Stays kept for each state.
pub(super) const MOST: usize = 5;

/// A stay of one connection in one state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stay {
    /// How long it was, or has been so far, ns.
    pub(super) dwell_ns: u64,
    /// It was at least so long: its begin was not seen.
    pub(super) at_least: bool,
    /// A time was recovered or bounded, not seen.
    pub(super) estimated: bool,
    /// The state after it; `None` if the socket is still there.
    pub(super) to: Option<TcpState>,
    /// Why it ended, where that is known.
    pub(super) reason: Option<Reason>,
    /// Addresses and ports.
    pub(super) tuple: Option<Tuple>,
    /// The owner.
    pub(super) owner: Option<Owner>,
}

/// The longest stays by state, longest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Slowest {
    states: [Vec<Stay>; 12],
}

impl Slowest {
    /// Considers the stay that `transition` ends.
    pub(super) fn transition(&mut self, transition: &Transition) {
        let Some(dwell_ns) = transition.dwell_ns else {
            return;
        };
        self.consider(
            transition.from,
            Stay {
                dwell_ns,
                at_least: false,
                estimated: transition.estimated,
                to: Some(transition.to),
                reason: transition.reason,
                tuple: transition.tuple,
                owner: transition.owner,
            },
        );
    }

    /// Considers a stay in `state`; of equals the first one stays.
    pub(super) fn consider(&mut self, state: TcpState, stay: Stay) {
        let kept = &mut self.states[state.index()];
        let place = kept.partition_point(|other| other.dwell_ns >= stay.dwell_ns);
        if place < MOST {
            kept.truncate(MOST - 1);
            kept.insert(place, stay);
        }
    }

    /// The longest stays in `state`, longest first.
    pub(super) fn of(&self, state: TcpState) -> &[Stay] {
        &self.states[state.index()]
    }
}
