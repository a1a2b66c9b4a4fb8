//! Which transitions of the connections that are followed are shown: by state and by the time spent in it.
use std::time::Duration;

use crate::tcp::{TcpState, Transition};

/// Values of one filter are alternatives; different filters must all agree; an empty one passes everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// States at either end.
    pub either: Vec<TcpState>,
    /// States left.
    pub from: Vec<TcpState>,
    /// States entered.
    pub to: Vec<TcpState>,
    /// Shortest times spent in the state left, of one state or of any. A time that is not known passes none.
    pub min_dwell: Vec<MinDwell>,
}

/// The shortest stay that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinDwell {
    /// The state; any if `None`.
    pub state: Option<TcpState>,
    /// The shortest stay.
    pub at_least: Duration,
}

impl MinDwell {
    fn passes(&self, state: TcpState, dwell_ns: Option<u64>) -> bool {
        self.state.is_none_or(|wanted| wanted == state)
            && dwell_ns.is_some_and(|dwell| u128::from(dwell) >= self.at_least.as_nanos())
    }
}

impl Shown {
    /// Whether `transition` is shown.
    #[must_use]
    pub fn passes(&self, transition: &Transition) -> bool {
        any(&self.either, &[transition.from, transition.to])
            && any(&self.from, &[transition.from])
            && any(&self.to, &[transition.to])
            && self.passes_stay(transition.from, transition.dwell_ns)
    }

    /// Whether a connection is shown for being in `state`, for `age_ns` so far.
    #[must_use]
    pub fn passes_open(&self, state: TcpState, age_ns: u64) -> bool {
        any(&self.either, &[state])
            && self.from.is_empty() // not left yet
            && any(&self.to, &[state])
            && self.passes_stay(state, Some(age_ns))
    }

    fn passes_stay(&self, state: TcpState, dwell_ns: Option<u64>) -> bool {
        self.min_dwell.is_empty()
            || self
                .min_dwell
                .iter()
                .any(|least| least.passes(state, dwell_ns))
    }
}

/// Whether one of `ends` is among `states`, or there are none to be among.
fn any(states: &[TcpState], ends: &[TcpState]) -> bool {
    states.is_empty() || states.iter().any(|state| ends.contains(state))
}
