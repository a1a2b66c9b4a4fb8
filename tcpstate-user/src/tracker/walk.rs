//! Walks over the kernel's socket tables: the first takes up what exists; later ones find and repair drift.
use hashbrown::HashSet;

use super::{Connection, Standing, Tracker};
use crate::{
    fact::Fact,
    tcp::{Role, TcpState, Transition},
};

/// A walk may meet a socket just before the kernel stores the state whose transition was already reported, ns.
const STORE_NS: u64 = 1_000_000;

/// So many walks in a row must miss a socket before it is taken for gone: one alone may, where others in its bucket of the
/// kernel's table go while it stands there (5.10).
const MISSES: u32 = 2;

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

    /// Number of the walk that runs or was last.
    pub(super) fn number(&self) -> u32 {
        self.number
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
        self.owners.walk_begins();
    }

    /// The walk that began at `start_ns` has ended and all its facts are applied. A socket of one of its `namespaces`
    /// that it and the walk before should have met, and did not, is gone. Returns the drift that was found and repaired; the first walk
    /// finds none, as it takes up what exists.
    pub fn walk_ends(
        &mut self,
        start_ns: u64,
        namespaces: &HashSet<u32>,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) -> Drift {
        let number = self.walk.number;
        let ghosts: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| {
                number - connection.walk >= MISSES
                    && connection.standing != Standing::Unnamed
                    && connection.seen_ns < start_ns
                    && namespaces.contains(&connection.netns)
            })
            .map(|(object, _)| object)
            .collect();
        for ghost in ghosts {
            if let Some(connection) = self.remove(ghost) {
                self.owners.forget(&connection);
                self.walk.drift.0[connection.state.index()] += i64::from(connection.is_admitted());
            }
        }
        self.holders_known(out);
        self.forget_listeners(start_ns, namespaces);
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
        met: Met,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        let number = self.walk.number;
        let state = met.state;
        if state == TcpState::Close
            || self.walk.closed.contains(&fact.object)
            || self.minis.is_taking_over(fact)
        {
            return;
        }
        if state == TcpState::Listen {
            self.listens(fact, None, met.cgroup);
        }
        let stale = match self.connections.get_mut(fact.object) {
            Some(known) => {
                known.walk = number;
                let agrees = known.state == state || known.standing == Standing::Unnamed;
                if agrees || known.seen_ns.saturating_add(STORE_NS) > fact.time_ns {
                    // Where its beginning was missed, its cgroup is not known yet.
                    let change =
                        |known: &mut Connection| known.cgroup = known.cgroup.or(met.cgroup);
                    self.amend(fact.object, change, out);
                    return;
                }
                true
            }
            None => false,
        };
        if self.config.admits(fact.netns, &fact.tuple) != Some(true) {
            return;
        }
        if stale && let Some(mut known) = self.remove(fact.object) {
            self.walk.drift.0[known.state.index()] += i64::from(known.is_admitted());
            let entered_unseen = (known.state, state) == (TcpState::FinWait2, TcpState::TimeWait)
                && met.since_ns.is_some()
                && known.is_of(fact);
            if entered_unseen {
                // The same connection goes on: its timer tells what was missed.
                self.walk.drift.0[state.index()] -= i64::from(known.is_admitted());
                self.recover_time_wait(fact, &mut known, met.since_ns, out);
                self.insert(fact.object, known);
                return;
            }
            self.owners.forget(&known);
        }
        let role = match state {
            TcpState::Listen => Some(Role::Listener),
            TcpState::SynRecv => Some(Role::Server),
            _ => None,
        };
        let mut connection = Connection {
            since_ns: met.since_ns,
            estimated: met.since_ns.is_some(),
            walk: number,
            cgroup: met.cgroup,
            ..self.connection(fact, met.cookie, state, role)
        };
        self.decide(&mut connection, false, out);
        if !self.walk.is_first() {
            self.walk.drift.0[state.index()] -= i64::from(connection.is_admitted());
        }
        self.insert(fact.object, connection);
    }
}

/// A socket that a walk meets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Met {
    /// Its state as `ss` shows it.
    pub(super) state: TcpState,
    /// Its cookie; 0 if none.
    pub(super) cookie: u64,
    /// When it entered that state, where its timer tells, monotonic, ns.
    pub(super) since_ns: Option<u64>,
    /// Its cgroup, where it has one of its own.
    pub(super) cgroup: Option<u64>,
}
