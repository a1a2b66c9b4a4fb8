//! The course of one life: the states that a connection went through, and the time that it spent in each.
use crate::tcp::{TcpState, Transition};

/// The states of connections, in the order in which a life goes through them.
pub const IN_ORDER: [TcpState; 9] = [
    TcpState::SynSent,
    TcpState::SynRecv,
    TcpState::Established,
    TcpState::FinWait1,
    TcpState::FinWait2,
    TcpState::Closing,
    TcpState::TimeWait,
    TcpState::CloseWait,
    TcpState::LastAck,
];

/// What is known of a connection's states so far.
///
/// Invariant: if the opening was seen, nothing is missing and every stay is known, the stays add up to the time from
/// the opening to the last transition.
#[derive(Clone, Debug)]
pub struct Course {
    opened_ns: Option<u64>,
    /// The state that it is in.
    state: TcpState,
    /// Time spent in each state, ns, as far as known.
    stays_ns: [u64; 12],
    entered: StateSet,
    /// States whose time is not known in full.
    unknown: StateSet,
    /// A transition was missed.
    broken: bool,
    estimated: bool,
}

/// States, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct StateSet(u16);

impl StateSet {
    fn of(state: TcpState) -> Self {
        Self(1 << state.index())
    }

    fn add(&mut self, state: TcpState) {
        self.0 |= Self::of(state).0;
    }

    fn has(self, state: TcpState) -> bool {
        self.0 & Self::of(state).0 != 0
    }
}

impl Course {
    /// Of a connection that is first seen with `transition`.
    #[must_use]
    pub fn new(transition: &Transition) -> Self {
        let mut course = Self::met(transition.from);
        if opens(transition) {
            course.opened_ns = Some(transition.mono_ns);
            course.entered = StateSet::default();
            course.enter(transition.to);
        } else {
            course.follow(transition);
        }
        course
    }

    /// Of a connection that is met in `state`, and how it got there was not seen.
    #[must_use]
    pub fn met(state: TcpState) -> Self {
        let mut course = Self {
            opened_ns: None,
            state,
            stays_ns: [0; 12],
            entered: StateSet::default(),
            unknown: StateSet::default(),
            broken: false,
            estimated: false,
        };
        course.enter(state);
        course
    }

    /// Goes on with the connection's next transition.
    pub fn follow(&mut self, transition: &Transition) {
        let from = transition.from;
        if self.state != from {
            self.broken = true;
            self.unknown.add(self.state);
            self.enter(from);
        }
        if self.entered == StateSet::of(from) && transition.dwell_ns.is_none() {
            self.opened_ns = None; // a SYN cookie: nobody knows when the SYN came
        }
        self.stay(from, transition.dwell_ns);
        self.enter(transition.to);
        self.estimated |= transition.estimated;
    }

    /// Adds a stay in `state`; `None`: of unknown length.
    pub fn stay(&mut self, state: TcpState, dwell_ns: Option<u64>) {
        match dwell_ns {
            Some(dwell_ns) => self.stays_ns[state.index()] += dwell_ns,
            None => self.unknown.add(state),
        }
    }

    fn enter(&mut self, state: TcpState) {
        self.state = state;
        if state != TcpState::Close {
            self.entered.add(state);
        }
    }

    /// When it was opened, monotonic, ns; `None` if that was not seen.
    #[must_use]
    pub fn opened_ns(&self) -> Option<u64> {
        self.opened_ns
    }

    /// Whether every transition follows from the one before it.
    #[must_use]
    pub fn is_unbroken(&self) -> bool {
        !self.broken
    }

    /// Whether one of its times was recovered or bounded, not seen.
    #[must_use]
    pub fn is_estimated(&self) -> bool {
        self.estimated
    }

    /// Whether it was seen in `state`.
    #[must_use]
    pub fn entered(&self, state: TcpState) -> bool {
        self.entered.has(state)
    }

    /// Time spent in `state`, ns; 0 if it never was there, `None` if that is not known.
    #[must_use]
    pub fn stay_ns(&self, state: TcpState) -> Option<u64> {
        let known = if self.entered(state) {
            !self.unknown.has(state)
        } else {
            self.opened_ns.is_some() && !self.broken
        };
        known.then_some(self.stays_ns[state.index()])
    }
}

/// Whether a connection begins with `transition`.
fn opens(transition: &Transition) -> bool {
    match transition.from {
        TcpState::Close => true,
        TcpState::Listen => transition.to == TcpState::SynRecv,
        _ => false,
    }
}
