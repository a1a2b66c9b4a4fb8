//! The state machine: facts in, transitions out, and a snapshot for views. Pure: no clock, no I/O, no aya; time comes
//! with the facts, so every rule is a table test and a recording replays bit for bit.
//!
//! Invariant: a state's live count is the number of connections in the table that are admitted and in that state.
mod connection;
mod full;
mod mini;
mod open;
mod owners;
mod payload;
mod rates;
mod replay;
mod selection;
mod table;
#[cfg(test)]
mod tests;
mod walk;

use self::{
    connection::{Connection, Held, Standing},
    full::Step,
    mini::{HalfOpen, Minis},
    owners::Owners,
    replay::Replay,
    table::Table,
    walk::{Met, Walk},
};
pub use self::{
    open::{Open, StillOpen},
    rates::{Rates, Window},
    selection::{Port, Selection},
    walk::Drift,
};
use crate::{
    fact::{Fact, FactKind},
    tcp::{ConnectionId, Reason, Role, TcpState, Transition, Tuple},
};

/// Connections followed at most; more are counted as `table_full`. About 400 MiB at the limit.
pub const MAX_CONNECTIONS: usize = 2_000_000;

/// How the tracker works.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which connections are followed; others leave no trace in any number.
    pub selection: Selection,
    /// Show what the tracepoint says: self-transitions, and no mini-sockets.
    pub raw: bool,
    /// Connections followed at most.
    pub max_connections: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            raw: false,
            max_connections: MAX_CONNECTIONS,
        }
    }
}

impl Config {
    /// Whether a connection with this tuple is followed; `None` if that depends on a local port not yet chosen.
    fn admits(&self, netns: u32, tuple: &Tuple) -> Option<bool> {
        if self.selection.admits_netns(netns) {
            self.selection.admits(tuple)
        } else {
            Some(false)
        }
    }

    /// Either of these, whether the tuple is known or not.
    fn admits_known(&self, netns: u32, tuple: Option<&Tuple>) -> Option<bool> {
        match tuple {
            Some(tuple) => self.admits(netns, tuple),
            None => self.admits_unnamed(netns),
        }
    }

    /// Whether a listener's child is followed, as far as its birth tells: before 6.16 it still shows its listener's
    /// tuple, whose local port is its own, but whose family and addresses may not be.
    fn admits_child(&self, birth: &Fact) -> bool {
        let own_tuple = birth.tuple.rport != 0;
        let selection = &self.selection;
        let by_port_only = selection.ipv4 == selection.ipv6 && selection.local_nets.is_empty();
        (own_tuple || by_port_only) && self.admits(birth.netns, &birth.tuple) == Some(true)
    }

    /// The same for a connection whose tuple is not known yet.
    fn admits_unnamed(&self, netns: u32) -> Option<bool> {
        if self.selection.admits_netns(netns) {
            self.selection.takes_any_tuple().then_some(true)
        } else {
            Some(false)
        }
    }
}

/// The tracker.
#[derive(Debug)]
pub struct Tracker {
    config: Config,
    connections: Table,
    minis: Minis,
    owners: Owners,
    next_serial: u64,
    counts: [u64; 12],
    rates: Rates,
    table_full: u64,
    missed_start: u64,
    walk: Walk,
    replay: Replay,
}

impl Tracker {
    /// A tracker that has seen nothing. [`Tracker::walk_begins`] and [`Tracker::walk_ends`] take up what exists.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            connections: Table::default(),
            minis: Minis::default(),
            owners: Owners::default(),
            next_serial: 1,
            counts: [0; 12],
            rates: Rates::default(),
            table_full: 0,
            missed_start: 0,
            walk: Walk::default(),
            replay: Replay::default(),
        }
    }

    /// Applies one fact and gives the transitions that follow from it to `out`, in order.
    pub fn apply(&mut self, fact: &Fact, out: &mut (impl FnMut(&Transition) + ?Sized)) {
        match fact.kind {
            FactKind::Exists {
                state,
                cookie,
                since_ns,
                cgroup,
            } => self.exists(
                fact,
                Met {
                    state,
                    cookie,
                    since_ns,
                    cgroup,
                },
                out,
            ),
            FactKind::Used { owner } => self.used(fact, owner, out),
            FactKind::Held { owner } => self.held(fact, owner, out),
            FactKind::Transition {
                old,
                new,
                error,
                stillborn,
                details,
            } => self.transition(
                fact,
                Step {
                    old,
                    new,
                    error,
                    stillborn,
                    details,
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
            FactKind::RequestAdded { cookie, listener } => {
                self.request_added(fact, cookie, listener, out)
            }
            FactKind::RequestEnded { cause } => self.request_ended(fact, cause, out),
            // The source has turned these into the facts above.
            FactKind::Timer(_) | FactKind::TimewaitSegment { .. } => {}
        }
    }

    /// Settles what waited for a fact that would have come by now: everything up to `now_ns` has been applied.
    pub fn tick(&mut self, now_ns: u64, out: &mut (impl FnMut(&Transition) + ?Sized)) {
        self.settle_minis(now_ns, out);
    }

    /// Some facts before the next one never came, and nobody knows which.
    pub fn facts_lost(&mut self) {
        self.doubt();
    }

    /// Ends the run: gives out what is still held back, with what is known of it.
    pub fn finish(&mut self, out: &mut (impl FnMut(&Transition) + ?Sized)) {
        self.settle_ended(|_| true, out);
        let mut held: Vec<(u64, Connection)> = self
            .connections
            .iter()
            .filter(|(_, connection)| {
                connection.standing == Standing::Ownerless
                    || connection.held.is_some() && connection.is_admitted()
            })
            .map(|(object, connection)| (object, *connection))
            .collect();
        held.sort_by_key(|(_, connection)| connection.id.serial);
        for (object, mut connection) in held {
            self.remove(object);
            self.decide(&mut connection, true, out);
            self.release(object, &mut connection, out);
            self.insert(object, connection);
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
            in_doubt: false,
            seen_ns: fact.time_ns,
            netns: fact.netns,
            tuple: Some(fact.tuple),
            role,
            owner: None,
            owner_walk: 0,
            cgroup: None,
            bytes: None,
            held: None,
            standing: Standing::Unnamed,
            fate: None,
            walk: self.walk.number(),
        }
    }

    /// A connection that is met in the middle of its life; `None` if the selection does not want it.
    fn meet(
        &mut self,
        fact: &Fact,
        cookie: u64,
        state: TcpState,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) -> Option<Connection> {
        if self.config.admits(fact.netns, &fact.tuple) != Some(true) {
            return None;
        }
        if !self.walk.is_first() {
            self.missed_start += 1;
        }
        let role = (state == TcpState::Listen).then_some(Role::Listener);
        let mut connection = Connection {
            since_ns: None,
            ..self.connection(fact, cookie, state, role)
        };
        self.decide(&mut connection, false, out);
        Some(connection)
    }

    /// Moves `connection` to `to` at `time_ns` and gives that out. `from` is the state that the kernel says it leaves.
    fn step(
        &mut self,
        object: u64,
        connection: &mut Connection,
        time_ns: u64,
        states: (TcpState, TcpState),
        reason: Option<Reason>,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        let transition = connection.step(object, time_ns, states, reason);
        self.give(connection, transition, out);
    }

    /// Gives out the opening transition that was held back, if there is one and the connection is admitted.
    fn release(
        &mut self,
        object: u64,
        connection: &mut Connection,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        if connection.standing == Standing::Unnamed {
            return;
        }
        let Some(held) = connection.held.take() else {
            return;
        };
        let transition = connection.transition(object, held.mono_ns, (held.from, held.to));
        self.give(connection, transition, out);
    }

    /// Gives out a transition, or keeps it until the connection's owner is known. One that ends a connection decides.
    fn give(
        &mut self,
        connection: &mut Connection,
        transition: Transition,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        match connection.standing {
            Standing::Admitted => self.emit(&transition, out),
            Standing::Ownerless => {
                let ends = transition.to == TcpState::Close;
                self.owners.wait(transition);
                if ends {
                    self.decide(connection, true, out);
                }
            }
            Standing::Rejected | Standing::Unnamed => {}
        }
    }

    fn emit(&mut self, transition: &Transition, out: &mut (impl FnMut(&Transition) + ?Sized)) {
        self.rates
            .count(transition.mono_ns, transition.from, transition.to);
        out(transition);
    }

    fn insert(&mut self, object: u64, connection: Connection) {
        if self.connections.len() >= self.config.max_connections
            && !self.connections.contains(object)
        {
            self.table_full += 1;
            self.owners.forget(&connection);
            return;
        }
        if connection.is_admitted() {
            self.counts[connection.state.index()] += 1;
        }
        let half_open = (connection.state == TcpState::SynRecv).then(|| HalfOpen::of(&connection));
        if let Some(replaced) = self.connections.insert(object, connection) {
            // Its end was lost.
            self.counts[replaced.state.index()] -= u64::from(replaced.is_admitted());
            self.owners.forget(&replaced);
            if replaced.state == TcpState::SynRecv {
                self.minis.forget_request(object, HalfOpen::of(&replaced));
            }
        }
        if let Some(half_open) = half_open {
            self.minis.index_request(object, half_open);
        }
    }

    /// Takes the connection that `fact` is about out of the table; `None` if there is none, or if the tuple shows that
    /// another one now lives under its address, so that its end was lost.
    fn known(&mut self, fact: &Fact) -> Option<Connection> {
        let connection = self.remove(fact.object)?;
        let same = connection.is_of(fact);
        if !same {
            self.owners.forget(&connection);
        }
        same.then_some(connection)
    }

    /// Whatever is known under this address has ended unseen.
    fn lose(&mut self, object: u64) {
        if let Some(connection) = self.remove(object) {
            self.owners.forget(&connection);
        }
    }

    fn remove(&mut self, object: u64) -> Option<Connection> {
        let connection = self.connections.remove(object)?;
        if connection.is_admitted() {
            self.counts[connection.state.index()] -= 1;
        }
        if connection.state == TcpState::SynRecv {
            self.minis.forget_request(object, HalfOpen::of(&connection));
        }
        Some(connection)
    }

    /// Connections of this cgroup are followed, where the selection asks for cgroups.
    pub fn follow_cgroup(&mut self, cgroup: u64) {
        if let Some(cgroups) = &mut self.config.selection.cgroups {
            cgroups.insert(cgroup);
        }
    }

    /// Connections in the table that are not known to be none of those to follow.
    #[must_use]
    pub fn tracked(&self) -> usize {
        if self.config.selection.asks_for_owner() {
            let all = self.connections.values();
            all.filter(|connection| connection.standing != Standing::Rejected)
                .count()
        } else {
            self.connections.len()
        }
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

    /// Every connection that is followed now, in no order. A walk over the whole table.
    pub fn open(&self) -> impl Iterator<Item = Open> {
        self.connections
            .iter()
            .filter(|(_, connection)| connection.is_admitted())
            .map(|(object, connection)| Open {
                id: connection.id,
                skaddr: if self.replay.runs { 0 } else { object },
                netns: connection.netns,
                tuple: connection.tuple,
                state: connection.state,
                since_ns: connection.since_ns,
                seen_ns: connection.seen_ns,
                role: connection.role,
                owner: connection.owner,
                cgroup: connection.cgroup,
                bytes: connection.bytes,
            })
    }

    /// Sockets that are still in each state, with the age of the oldest. Walks the table.
    #[must_use]
    pub fn still_open(&self, now_ns: u64) -> [StillOpen; 12] {
        let mut open = [StillOpen::default(); 12];
        for connection in self.open() {
            open[connection.state.index()].add(&connection, now_ns);
        }
        open
    }
}
