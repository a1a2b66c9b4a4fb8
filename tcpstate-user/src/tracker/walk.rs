//! Walks over the kernel's socket tables: the first takes up what exists; later ones find and repair drift.
use hashbrown::HashSet;

use super::{Connection, Tracker};
use crate::{
    fact::Fact,
    tcp::{Role, TcpState},
};

/// A walk may meet a socket just before the kernel stores the state whose transition was already reported, ns.
const STORE_NS: u64 = 1_000_000;

/// Live counts minus the kernel's, by state, as the last walk found them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drift([i64; 12]);

impl Drift {
    /// How many sockets too many (too few: negative) were counted in `state`.
    #[must_use]
    pub fn of(&self, state: TcpState) -> i64 {
        self.0[state.index()]
    }
}

/// The walk that runs, and what it found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Number of the walk that runs or was last; 0 before the first.
    number: u32,
    running: bool,
    /// Sockets that closed while it runs: one that it met just before must not come back.
    closed: HashSet<u64>,
    /// What the walk that runs has found so far.
    drift: Drift,
    /// What the last walk after the first found.
    last: Option<Drift>,
}

impl Walk {
    /// Whether what is met now was there before the measurement began.
    pub(super) fn is_first(&self) -> bool {
        self.number <= 1 && self.running
    }

    /// A socket has closed.
    pub(super) fn closed(&mut self, object: u64) {
        if self.running {
            self.closed.insert(object);
        }
    }
}

impl Tracker {
    /// A walk begins; its facts come in between those of the programs, in order of time.
    pub fn walk_begins(&mut self) {
        self.walk.number += 1;
        self.walk.running = true;
        self.walk.closed.clear();
        self.walk.drift = Drift::default();
    }

    /// The walk that began at `start_ns` has ended and all its facts are applied. A socket of one of its `namespaces`
    /// that it should have met, and did not, is gone. Returns the drift that was found and repaired; the first walk
    /// finds none, as it takes up what exists.
    pub fn walk_ends(&mut self, start_ns: u64, namespaces: &HashSet<u32>) -> Drift {
        let number = self.walk.number;
        let ghosts: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| {
                connection.walk != number
                    && connection.admitted
                    && connection.seen_ns < start_ns
                    && namespaces.contains(&connection.netns)
            })
            .map(|(object, _)| *object)
            .collect();
        for ghost in ghosts {
            if let Some(connection) = self.remove(ghost) {
                self.walk.drift.0[connection.state.index()] += 1;
            }
        }
        self.walk.running = false;
        self.walk.closed = HashSet::new();
        if number > 1 {
            self.walk.last = Some(self.walk.drift);
        }
        self.walk.drift
    }

    /// The drift that the last walk found; `None` before the second, as the first takes up what exists.
    #[must_use]
    pub fn drift(&self) -> Option<Drift> {
        self.walk.last
    }

    /// A walk meets a socket.
    pub(super) fn exists(
        &mut self,
        fact: &Fact,
        state: TcpState,
        cookie: u64,
        since_ns: Option<u64>,
    ) {
        let number = self.walk.number;
        if state == TcpState::Close
            || self.walk.closed.contains(&fact.object)
            || self.minis.is_taking_over(fact)
        {
            return;
        }
        let stale = match self.connections.get_mut(&fact.object) {
            Some(known) => {
                known.walk = number;
                let agrees = known.state == state || !known.admitted;
                if agrees || known.seen_ns.saturating_add(STORE_NS) > fact.time_ns {
                    return;
                }
                true
            }
            None => false,
        };
        if self.config.admits(fact.netns, &fact.tuple) != Some(true) {
            return;
        }
        if stale && let Some(known) = self.remove(fact.object) {
            self.walk.drift.0[known.state.index()] += 1;
        }
        if !self.walk.is_first() {
            self.walk.drift.0[state.index()] -= 1;
        }
        let role = match state {
            TcpState::Listen => Some(Role::Listener),
            TcpState::SynRecv => Some(Role::Server),
            _ => None,
        };
        let connection = Connection {
            since_ns,
            estimated: since_ns.is_some(),
            walk: number,
            ..self.connection(fact, cookie, state, role)
        };
        self.insert(fact.object, connection);
    }
}
