//! The state machine: facts in, transitions out, and a snapshot for views. Pure: no clock, no I/O, no aya; time comes
//! with the facts, so every rule is a table test and a recording replays bit for bit.
//!
//! Invariant: a state's live count is the number of connections in the table that are admitted and in that state.
mod dwell;
mod rates;
mod selection;

use hashbrown::HashMap;

pub use self::{
    dwell::{Dwell, LONGEST_US},
    rates::{Rates, Window},
    selection::{Port, Selection},
};
use crate::{
    fact::{Fact, FactKind, Opened},
    tcp::{ConnectionId, Owner, Reason, Role, TcpState, Transition, Tuple},
};

/// Connections followed at most; more are counted as `table_full`. About 400 MiB at the limit.
const MAX_CONNECTIONS: usize = 2_000_000;

/// How the tracker works.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which connections are followed; others leave no trace in any number.
    pub selection: Selection,
    /// Show what the tracepoint says, self-transitions included.
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

/// One followed connection.
#[derive(Clone, Copy, Debug)]
struct Connection {
    id: ConnectionId,
    state: TcpState,
    /// When it entered `state`; `None` if that was not seen.
    since_ns: Option<u64>,
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
    next_serial: u64,
    counts: [u64; 12],
    rates: Rates,
    dwell: Dwell,
    table_full: u64,
    missed_start: u64,
    /// While existing sockets are taken up: an unknown socket is one that was there before, not one that was missed.
    taking_up: Option<TakeUp>,
}

/// What must be remembered while existing sockets are taken up.
#[derive(Debug, Default)]
struct TakeUp {
    /// Sockets that closed meanwhile: a walk that met them just before must not bring them back.
    closed: hashbrown::HashSet<u64>,
}

impl Tracker {
    /// A tracker that is about to take up the sockets that exist; [`Tracker::taken_up`] ends that.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            connections: HashMap::new(),
            next_serial: 1,
            counts: [0; 12],
            rates: Rates::default(),
            dwell: Dwell::default(),
            table_full: 0,
            missed_start: 0,
            taking_up: Some(TakeUp::default()),
        }
    }

    /// Every socket that existed at the start has been offered: from now on an unknown one is a miss.
    pub fn taken_up(&mut self) {
        self.taking_up = None;
    }

    /// Applies one fact and gives the transitions that follow from it to `out`, in order.
    pub fn apply(&mut self, fact: &Fact, out: &mut impl FnMut(&Transition)) {
        match fact.kind {
            FactKind::Socket { state, cookie } => self.exists(fact, state, cookie),
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
        }
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

    fn exists(&mut self, fact: &Fact, state: TcpState, cookie: u64) {
        let closed = self
            .taking_up
            .as_ref()
            .is_some_and(|take_up| take_up.closed.contains(&fact.object));
        if closed || state == TcpState::Close || self.connections.contains_key(&fact.object) {
            return;
        }
        if self.config.selection.admits(&fact.tuple) != Some(true) {
            return;
        }
        let id = self.new_id(cookie);
        let role = (state == TcpState::Listen).then_some(Role::Listener);
        self.insert(
            fact.object,
            Connection {
                id,
                state,
                since_ns: None,
                seen_ns: fact.time_ns,
                netns: fact.netns,
                tuple: Some(fact.tuple),
                role,
                owner: None,
                held: None,
                admitted: true,
            },
        );
    }

    fn transition(&mut self, fact: &Fact, step: Step, out: &mut impl FnMut(&Transition)) {
        let object = fact.object;
        let Step { old, new, .. } = step;
        let begins =
            old == TcpState::Close || (old == TcpState::Listen && new == TcpState::SynRecv);
        if begins {
            // Whatever was known under this address has ended unseen.
            self.remove(object);
            self.begin(fact, step, out);
            return;
        }
        let Some(mut connection) = self.remove(object).or_else(|| self.meet(fact, step)) else {
            return;
        };
        if old == new && !self.config.raw {
            self.insert(object, connection); // no transition: the dwell clock goes on
            return;
        }
        connection.tuple = Some(settled(connection.tuple, fact.tuple, old));
        if let Some(opened) = step.opened {
            connection.id.cookie = if connection.id.cookie == 0 {
                opened.cookie
            } else {
                connection.id.cookie
            };
            connection.owner = connection.owner.or(opened.owner);
        }
        if !connection.admitted {
            match connection
                .tuple
                .and_then(|tuple| self.config.selection.admits(&tuple))
            {
                Some(false) => return,
                Some(true) => connection.admitted = true,
                None => {}
            }
        }
        self.release(object, &mut connection, out);
        // A state that does not follow from the last one known: something between was lost.
        let since_ns = connection.since_ns.filter(|_| connection.state == old);
        let transition = Transition {
            mono_ns: fact.time_ns,
            id: connection.id,
            skaddr: object,
            netns: connection.netns,
            tuple: connection.tuple,
            from: old,
            to: new,
            dwell_ns: since_ns.and_then(|since| fact.time_ns.checked_sub(since)),
            estimated: false,
            reason: reason(step),
            role: connection.role,
            owner: connection.owner,
        };
        if connection.admitted {
            self.emit(&transition, out);
        }
        if new == TcpState::Close {
            if let Some(take_up) = &mut self.taking_up {
                take_up.closed.insert(object);
            }
        } else {
            connection.state = new;
            connection.since_ns = Some(fact.time_ns);
            connection.seen_ns = fact.time_ns;
            self.insert(object, connection);
        }
    }

    /// A connection begins: `CLOSE -> x`, or the child of a listener.
    fn begin(&mut self, fact: &Fact, step: Step, out: &mut impl FnMut(&Transition)) {
        let Step {
            old, new, opened, ..
        } = step;
        if new == TcpState::Close {
            return;
        }
        // Before 6.16 a child still carries its listener's tuple here, so it waits for its next transition.
        let tuple = (old != TcpState::Listen).then_some(fact.tuple);
        let admitted = match tuple {
            Some(tuple) => self.config.selection.admits(&tuple),
            None if self.config.selection.is_everything() => Some(true),
            None => None,
        };
        if admitted == Some(false) {
            return;
        }
        let id = self.new_id(opened.map_or(0, |opened| opened.cookie));
        let mut connection = Connection {
            id,
            state: new,
            since_ns: Some(fact.time_ns),
            seen_ns: fact.time_ns,
            netns: fact.netns,
            tuple,
            role: match (old, new) {
                (TcpState::Listen, _) => Some(Role::Server),
                (_, TcpState::Listen) => Some(Role::Listener),
                (_, TcpState::SynSent) => Some(Role::Client),
                _ => None,
            },
            owner: opened.and_then(|opened| opened.owner),
            held: Some(Held {
                mono_ns: fact.time_ns,
                from: old,
                to: new,
            }),
            admitted: admitted == Some(true),
        };
        if connection.admitted && tuple.is_some() {
            self.release(fact.object, &mut connection, out);
        }
        self.insert(fact.object, connection);
    }

    /// A connection that is met in the middle of its life; `None` if the selection does not want it.
    fn meet(&mut self, fact: &Fact, step: Step) -> Option<Connection> {
        if self.config.selection.admits(&fact.tuple) != Some(true) {
            return None;
        }
        if self.taking_up.is_none() {
            self.missed_start += 1;
        }
        let id = self.new_id(step.opened.map_or(0, |opened| opened.cookie));
        Some(Connection {
            id,
            state: step.old,
            since_ns: None,
            seen_ns: fact.time_ns,
            netns: fact.netns,
            tuple: Some(fact.tuple),
            role: (step.old == TcpState::Listen).then_some(Role::Listener),
            owner: None,
            held: None,
            admitted: true,
        })
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

    fn new_id(&mut self, cookie: u64) -> ConnectionId {
        let serial = self.next_serial;
        self.next_serial += 1;
        ConnectionId { cookie, serial }
    }

    fn insert(&mut self, object: u64, connection: Connection) {
        if self.connections.len() >= self.config.max_connections {
            self.table_full += 1;
            return;
        }
        if connection.admitted {
            self.counts[connection.state.index()] += 1;
        }
        self.connections.insert(object, connection);
    }

    fn remove(&mut self, object: u64) -> Option<Connection> {
        let connection = self.connections.remove(&object)?;
        if connection.admitted {
            self.counts[connection.state.index()] -= 1;
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

/// One transition as the kernel states it.
#[derive(Clone, Copy)]
struct Step {
    old: TcpState,
    new: TcpState,
    error: u32,
    opened: Option<Opened>,
}

/// The tuple after a transition: what the kernel shows now, except that a closing socket may have lost its port and a
/// child leaves its listener's tuple behind.
fn settled(known: Option<Tuple>, shown: Tuple, old: TcpState) -> Tuple {
    match known {
        Some(known) if old != TcpState::SynSent && old != TcpState::SynRecv => Tuple {
            lport: known.lport.or(shown.lport),
            ..known
        },
        Some(known) => Tuple {
            lport: shown.lport.or(known.lport),
            ..shown
        },
        None => shown,
    }
}

/// Why a socket closes, as far as its pending error tells.
fn reason(step: Step) -> Option<Reason> {
    // Linux errno values are the same on every architecture that has eBPF, but for MIPS and SPARC.
    const EPIPE: u32 = 32;
    const ENETUNREACH: u32 = 101;
    const ECONNABORTED: u32 = 103;
    const ECONNRESET: u32 = 104;
    const ETIMEDOUT: u32 = 110;
    const ECONNREFUSED: u32 = 111;
    const EHOSTUNREACH: u32 = 113;
    if step.new != TcpState::Close {
        return None;
    }
    match step.error {
        EPIPE | ECONNRESET => Some(Reason::Reset),
        ECONNREFUSED => Some(Reason::Refused),
        ETIMEDOUT => Some(Reason::Timeout),
        ENETUNREACH | EHOSTUNREACH => Some(Reason::Unreachable),
        ECONNABORTED => Some(Reason::Aborted),
        // Closed at once without an error of the peer: this end threw the connection away.
        0 if matches!(step.old, TcpState::Established | TcpState::CloseWait) => {
            Some(Reason::Aborted)
        }
        _ => None,
    }
}
