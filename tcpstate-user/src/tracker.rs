//! The state machine: facts in, transitions out, and a snapshot for views. Pure: no clock, no I/O, no aya; time comes
//! with the facts, so every rule is a table test and a recording replays bit for bit.
//!
//! Invariant: a state's live count is the number of connections in the table that are admitted and in that state.
mod dwell;
mod full;
mod mini;
mod rates;
mod selection;
#[cfg(test)]
mod tests;
mod walk;

use hashbrown::HashMap;

pub use self::{
    dwell::{Dwell, LONGEST_US},
    rates::{Rates, Window},
    selection::{Port, Selection},
    walk::Drift,
};
use self::{full::Step, mini::Minis, walk::Walk};
use crate::{
    fact::{Fact, FactKind},
    tcp::{ConnectionId, Owner, Reason, Role, TcpState, Transition, Tuple},
};

/// Connections followed at most; more are counted as `table_full`. About 400 MiB at the limit.
const MAX_CONNECTIONS: usize = 2_000_000;

/// How the tracker works.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which connections are followed; others leave no trace in any number.
    pub selection: Selection,
    /// The one network namespace whose connections are followed, by its inode; every one if `None`.
    pub netns: Option<u32>,
    /// Show what the tracepoint says: self-transitions, and no mini-sockets.
    pub raw: bool,
    /// Connections followed at most.
    pub max_connections: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            netns: None,
            raw: false,
            max_connections: MAX_CONNECTIONS,
        }
    }
}

impl Config {
    /// Whether a connection with this tuple is followed; `None` if that depends on a local port not yet chosen.
    fn admits(&self, netns: u32, tuple: &Tuple) -> Option<bool> {
        match self.netns {
            Some(wanted) if wanted != netns => Some(false),
            _ => self.selection.admits(tuple),
        }
    }

    /// Whether a listener's child is followed, as far as its birth tells: before 6.16 it still shows its listener's
    /// tuple, whose local port is its own, but whose family may not be.
    fn admits_child(&self, birth: &Fact) -> bool {
        let own_tuple = birth.tuple.rport != 0;
        (own_tuple || self.selection.ipv4 == self.selection.ipv6)
            && self.admits(birth.netns, &birth.tuple) == Some(true)
    }

    /// The same for a connection whose tuple is not known yet.
    fn admits_unnamed(&self, netns: u32) -> Option<bool> {
        match self.netns {
            Some(wanted) if wanted != netns => Some(false),
            _ => self.selection.is_everything().then_some(true),
        }
    }
}

/// One followed connection.
#[derive(Clone, Copy, Debug)]
struct Connection {
    id: ConnectionId,
    state: TcpState,
    /// When it entered `state`; `None` if that was not seen.
    since_ns: Option<u64>,
    /// `since_ns` was recovered, not seen.
    estimated: bool,
    /// When it was first seen in `state`: a lower bound of its age there.
    seen_ns: u64,
    netns: u32,
    tuple: Option<Tuple>,
    role: Option<Role>,
    owner: Option<Owner>,
    /// Its opening transition, kept back until the tuple is known.
    held: Option<Held>,
    /// The selection has decided for it; it counts.
    admitted: bool,
    /// Why it will close, where that is known before it does.
    fate: Option<Reason>,
    /// The last walk over the kernel's tables that met it.
    walk: u32,
}

impl Connection {
    /// It is in `state`, and how it got there was not seen.
    fn lose_track(&mut self, state: TcpState) {
        self.state = state;
        self.since_ns = None;
        self.estimated = false;
    }
}

/// An opening transition that waits for the connection's tuple.
#[derive(Clone, Copy, Debug)]
struct Held {
    mono_ns: u64,
    from: TcpState,
    to: TcpState,
}

/// The tracker.
#[derive(Debug)]
pub struct Tracker {
    config: Config,
    connections: HashMap<u64, Connection>,
    minis: Minis,
    next_serial: u64,
    counts: [u64; 12],
    rates: Rates,
    dwell: Dwell,
    table_full: u64,
    missed_start: u64,
    walk: Walk,
}

impl Tracker {
    /// A tracker that has seen nothing. [`Tracker::walk_begins`] and [`Tracker::walk_ends`] take up what exists.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            connections: HashMap::new(),
            minis: Minis::default(),
            next_serial: 1,
            counts: [0; 12],
            rates: Rates::default(),
            dwell: Dwell::default(),
            table_full: 0,
            missed_start: 0,
            walk: Walk::default(),
        }
    }

    /// Applies one fact and gives the transitions that follow from it to `out`, in order.
    pub fn apply(&mut self, fact: &Fact, out: &mut impl FnMut(&Transition)) {
        match fact.kind {
            FactKind::Exists {
                state,
                cookie,
                since_ns,
            } => self.exists(fact, state, cookie, since_ns),
            FactKind::Transition {
                old,
                new,
                error,
                opened,
            } => self.transition(
                fact,
                Step {
                    old,
                    new,
                    error,
                    opened,
                },
                out,
            ),
            FactKind::TimewaitCreated { substate } => self.timewait_created(fact, substate),
            FactKind::TimewaitSubstate { substate } => self.timewait_substate(fact, substate, out),
            FactKind::TimewaitEnded {
                substate,
                cause,
                armed_ns,
            } => self.timewait_ended(fact, substate, cause, armed_ns, out),
            FactKind::TimewaitOverflow => self.timewait_overflow(fact),
            FactKind::RequestAdded { cookie, .. } => self.request_added(fact, cookie, out),
            FactKind::RequestEnded { cause } => self.request_ended(fact, cause, out),
            // The source has turned these into the facts above.
            FactKind::Timer(_) | FactKind::TimewaitSegment { .. } => {}
        }
    }

    /// Settles what waited for a fact that would have come by now: everything up to `now_ns` has been applied.
    pub fn tick(&mut self, now_ns: u64) {
        self.settle_minis(now_ns);
    }

    /// Some facts before the next one never came, and nobody knows which.
    pub fn facts_lost(&mut self) {
        self.doubt();
    }

    /// Ends the run: gives out what is still held back, with what is known of it.
    pub fn finish(&mut self, out: &mut impl FnMut(&Transition)) {
        let mut held: Vec<(u64, Connection)> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.held.is_some() && connection.admitted)
            .map(|(object, connection)| (*object, *connection))
            .collect();
        held.sort_by_key(|(_, connection)| connection.id.serial);
        for (object, mut connection) in held {
            self.release(object, &mut connection, out);
            self.connections.insert(object, connection);
        }
    }

    /// A connection that begins, or is met, in `state` at the time of `fact`.
    fn connection(
        &mut self,
        fact: &Fact,
        cookie: u64,
        state: TcpState,
        role: Option<Role>,
    ) -> Connection {
        let serial = self.next_serial;
        self.next_serial += 1;
        Connection {
            id: ConnectionId { cookie, serial },
            state,
            since_ns: Some(fact.time_ns),
            estimated: false,
            seen_ns: fact.time_ns,
            netns: fact.netns,
            tuple: Some(fact.tuple),
            role,
            owner: None,
            held: None,
            admitted: true,
            fate: None,
            walk: 0,
        }
    }

    /// A connection that is met in the middle of its life; `None` if the selection does not want it.
    fn meet(&mut self, fact: &Fact, cookie: u64, state: TcpState) -> Option<Connection> {
        if self.config.admits(fact.netns, &fact.tuple) != Some(true) {
            return None;
        }
        if !self.walk.is_first() {
            self.missed_start += 1;
        }
        let role = (state == TcpState::Listen).then_some(Role::Listener);
        Some(Connection {
            since_ns: None,
            ..self.connection(fact, cookie, state, role)
        })
    }

    /// Moves `connection` to `to` at `time_ns` and gives that out. `from` is the state that the kernel says it leaves.
    fn step(
        &mut self,
        object: u64,
        connection: &mut Connection,
        time_ns: u64,
        (from, to): (TcpState, TcpState),
        reason: Option<Reason>,
        out: &mut impl FnMut(&Transition),
    ) {
        let since_ns = connection.since_ns;
        if connection.admitted {
            let transition = Transition {
                mono_ns: time_ns,
                id: connection.id,
                skaddr: object,
                netns: connection.netns,
                tuple: connection.tuple,
                from,
                to,
                dwell_ns: since_ns.and_then(|since| time_ns.checked_sub(since)),
                estimated: connection.estimated && since_ns.is_some(),
                reason,
                role: connection.role,
                owner: connection.owner,
            };
            self.emit(&transition, out);
        }
        connection.state = to;
        connection.since_ns = Some(time_ns);
        connection.estimated = false;
        connection.seen_ns = time_ns;
    }

    /// Gives out the opening transition that was held back, if there is one and the connection is admitted.
    fn release(
        &mut self,
        object: u64,
        connection: &mut Connection,
        out: &mut impl FnMut(&Transition),
    ) {
        if !connection.admitted {
            return;
        }
        let Some(held) = connection.held.take() else {
            return;
        };
        let transition = Transition {
            mono_ns: held.mono_ns,
            id: connection.id,
            skaddr: object,
            netns: connection.netns,
            tuple: connection.tuple,
            from: held.from,
            to: held.to,
            dwell_ns: None,
            estimated: false,
            reason: None,
            role: connection.role,
            owner: connection.owner,
        };
        self.emit(&transition, out);
    }

    fn emit(&mut self, transition: &Transition, out: &mut impl FnMut(&Transition)) {
        let (from, to) = (transition.from, transition.to);
        self.rates.count(transition.mono_ns, from, to);
        if let Some(dwell_ns) = transition.dwell_ns {
            self.dwell.record(from, dwell_ns);
        }
        out(transition);
    }

    fn insert(&mut self, object: u64, connection: Connection) {
        if self.connections.len() >= self.config.max_connections
            && !self.connections.contains_key(&object)
        {
            self.table_full += 1;
            return;
        }
        if connection.admitted {
            self.counts[connection.state.index()] += 1;
        }
        if connection.state == TcpState::SynRecv {
            self.minis.index_request(object, &connection);
        }
        if let Some(replaced) = self.connections.insert(object, connection)
            && replaced.admitted
        {
            self.counts[replaced.state.index()] -= 1; // its end was lost
        }
    }

    /// Takes the connection that `fact` is about out of the table; `None` if there is none, or if the tuple shows that
    /// another one now lives under its address, so that its end was lost.
    fn known(&mut self, fact: &Fact) -> Option<Connection> {
        let connection = self.remove(fact.object)?;
        let same = connection.netns == fact.netns
            && connection.tuple.is_none_or(|known| {
                let shown = fact.tuple;
                let port =
                    known.lport.is_none() || shown.lport.is_none() || known.lport == shown.lport;
                port && (known.laddr, known.raddr, known.rport)
                    == (shown.laddr, shown.raddr, shown.rport)
            });
        same.then_some(connection)
    }

    fn remove(&mut self, object: u64) -> Option<Connection> {
        let connection = self.connections.remove(&object)?;
        if connection.admitted {
            self.counts[connection.state.index()] -= 1;
        }
        if connection.state == TcpState::SynRecv {
            self.minis.forget_request(object, &connection);
        }
        Some(connection)
    }

    /// Connections followed now.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.connections.len()
    }

    /// Live sockets in `state`.
    #[must_use]
    pub fn count(&self, state: TcpState) -> u64 {
        self.counts[state.index()]
    }

    /// Connections that found no room in the table.
    #[must_use]
    pub fn table_full(&self) -> u64 {
        self.table_full
    }

    /// Connections that were first seen in the middle of their life after the existing ones had been taken up.
    #[must_use]
    pub fn missed_start(&self) -> u64 {
        self.missed_start
    }

    /// Transition rates.
    #[must_use]
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Dwell times of finished stays since the last [`Dwell::clear`].
    #[must_use]
    pub fn dwell(&self) -> &Dwell {
        &self.dwell
    }

    /// The same, to clear it at the end of an interval.
    pub fn dwell_mut(&mut self) -> &mut Dwell {
        &mut self.dwell
    }

    /// Sockets that are still in each state, with the age of the oldest. Walks the table.
    #[must_use]
    pub fn still_open(&self, now_ns: u64) -> [StillOpen; 12] {
        let mut open = [StillOpen::default(); 12];
        for connection in self
            .connections
            .values()
            .filter(|connection| connection.admitted)
        {
            let cell = &mut open[connection.state.index()];
            cell.sockets += 1;
            let age_ns = now_ns.saturating_sub(connection.since_ns.unwrap_or(connection.seen_ns));
            if connection.since_ns.is_none() {
                cell.unknown_age += 1;
            }
            cell.oldest_ns = Some(cell.oldest_ns.map_or(age_ns, |oldest| oldest.max(age_ns)));
        }
        open
    }
}

/// Sockets still in a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StillOpen {
    /// How many.
    pub sockets: u64,
    /// How many of them were already in that state when they were first seen.
    pub unknown_age: u64,
    /// Age of the oldest in ns; a lower bound where `unknown_age` is not 0. `None` if there is no socket.
    pub oldest_ns: Option<u64>,
}
