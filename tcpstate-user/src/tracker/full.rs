//! Full sockets: what follows from the tracepoint's transitions.
use super::{Connection, Held, Tracker, owners::certain, payload::payload};
use crate::{
    fact::{Details, Fact},
    tcp::{Reason, Role, TcpState, Transition, Tuple},
};

/// One transition as the kernel states it.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) old: TcpState,
    pub(super) new: TcpState,
    pub(super) error: u16,
    pub(super) stillborn: bool,
    pub(super) details: Option<Details>,
}

/// A child that leaves SYN_RECV within this long of its birth may have come from a SYN cookie, whose half-open time
/// nobody knows, ns. It takes microseconds, but a virtual CPU may stand still in between.
const COOKIE_NS: u64 = 100_000_000;

impl Tracker {
    pub(super) fn transition(
        &mut self,
        fact: &Fact,
        step: Step,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        let object = fact.object;
        let Step { old, new, .. } = step;
        if new == TcpState::Listen {
            let details = step.details;
            let owner = details.and_then(|details| details.owner);
            self.listens(fact, owner, details.and_then(|details| details.cgroup));
        } else if old == TcpState::Listen || old == TcpState::Close {
            self.stops_listening(object); // or its address is another's now
        }
        let owner_seen = step.details.is_some_and(|details| details.owner.is_some());
        if owner_seen || [old, new].contains(&TcpState::Close) || old == TcpState::Listen {
            self.owners.outdate(object);
        }
        if old == TcpState::Close || (old == TcpState::Listen && new == TcpState::SynRecv) {
            self.begin(fact, step, out);
            return;
        }
        if self.goes_on(fact, &step, out) {
            return;
        }
        let cookie = step.details.map_or(0, |details| details.cookie);
        // A child that was not seen to leave SYN_RECV may be another one by now.
        let known = self
            .known(fact)
            .filter(|known| known.tuple.is_some() || old == TcpState::SynRecv);
        if step.stillborn && !self.config.raw {
            if let Some(child) = known {
                self.owners.forget(&child);
            }
            return;
        }
        let Some(mut connection) = known.or_else(|| self.meet(fact, cookie, old, out)) else {
            return;
        };
        if old == new && !self.config.raw {
            self.insert(object, connection); // no transition: the dwell clock goes on
            return;
        }
        if connection.state != old {
            connection.lose_track(old); // something between was lost
        }
        connection.tuple = Some(settled(connection.tuple, fact.tuple, old));
        if connection.id.cookie == 0 && connection.held.is_some() {
            connection.id.cookie = cookie;
        }
        Self::learn(&mut connection, step.details.as_ref());
        if owner_seen {
            connection.owner_walk = self.walk.number();
        }
        if !connection.is_admitted() || connection.held.is_some() {
            match connection
                .tuple
                .and_then(|tuple| self.config.admits(fact.netns, &tuple))
            {
                Some(false) => {
                    self.owners.forget(&connection);
                    return;
                }
                Some(true) => {
                    if self.is_child(&connection) && !self.join_request(fact, step, &mut connection)
                    {
                        return;
                    }
                    self.decide(&mut connection, false, out);
                }
                None => {}
            }
        }
        self.release(object, &mut connection, out);
        if new == TcpState::Close {
            self.close(fact, step, connection, out);
        } else {
            self.step(object, &mut connection, fact.time_ns, (old, new), None, out);
            self.insert(object, connection);
        }
    }

    /// What most transitions are, the next one of a connection of which all is known, is done in its place in the table.
    /// False if this is none of them.
    fn goes_on(
        &mut self,
        fact: &Fact,
        step: &Step,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) -> bool {
        let states = (step.old, step.new);
        if states.0 == states.1
            || matches!(states.0, TcpState::SynRecv | TcpState::Listen)
            || matches!(states.1, TcpState::SynRecv | TcpState::Close)
        {
            return false;
        }
        let Some(connection) = self.connections.get_mut(fact.object) else {
            return false;
        };
        let usual = connection.is_admitted()
            && connection.held.is_none()
            && connection.tuple.is_some()
            && connection.state == step.old
            && connection.is_of(fact)
            && !step.stillborn;
        if !usual {
            return false;
        }
        connection.tuple = Some(settled(connection.tuple, fact.tuple, step.old));
        Self::learn(connection, step.details.as_ref());
        if step.details.is_some_and(|details| details.owner.is_some()) {
            connection.owner_walk = self.walk.number();
        }
        let transition = connection.step(fact.object, fact.time_ns, states, None);
        self.counts[states.0.index()] -= 1;
        self.counts[states.1.index()] += 1;
        self.emit(&transition, out);
        true
    }

    /// A connection begins: `CLOSE -> x`, or the child of a listener. What was known under its address has ended unseen.
    fn begin(&mut self, fact: &Fact, step: Step, out: &mut (impl FnMut(&Transition) + ?Sized)) {
        let Step {
            old, new, details, ..
        } = step;
        if new == TcpState::Close {
            self.lose(fact.object);
            return;
        }
        let child = old == TcpState::Listen;
        let admitted = if child {
            // Before 6.16 a child still carries its listener's tuple here, so it waits for its next transition.
            match self.config.admits_unnamed(fact.netns) {
                Some(true) if !self.config.raw => None,
                admitted => admitted,
            }
        } else {
            self.config.admits(fact.netns, &fact.tuple)
        };
        if admitted == Some(false) {
            self.lose(fact.object);
            return;
        }
        let role = match (old, new) {
            (TcpState::Listen, _) => Some(Role::Server),
            (_, TcpState::Listen) => Some(Role::Listener),
            (_, TcpState::SynSent) => Some(Role::Client),
            _ => None,
        };
        let mut connection = Connection {
            tuple: (!child).then_some(fact.tuple),
            held: Some(Held {
                mono_ns: fact.time_ns,
                from: old,
                to: new,
            }),
            ..self.connection(fact, details.map_or(0, |details| details.cookie), new, role)
        };
        Self::learn(&mut connection, details.as_ref());
        if child {
            self.hint(&mut connection, 0, fact);
        }
        if admitted == Some(true) {
            self.decide(&mut connection, false, out);
        }
        if child {
            self.minis.born(fact);
        } else {
            self.release(fact.object, &mut connection, out);
        }
        self.insert(fact.object, connection);
    }

    /// Whether this is the child of a listener that has not left SYN_RECV yet.
    fn is_child(&self, connection: &Connection) -> bool {
        !self.config.raw
            && connection
                .held
                .is_some_and(|held| held.from == TcpState::Listen)
    }

    /// A child leaves SYN_RECV: it continues the request it came from. False if it was stillborn: the kernel made it
    /// and threw it away, while its request goes on.
    fn join_request(&mut self, fact: &Fact, step: Step, child: &mut Connection) -> bool {
        let request = child
            .tuple
            .and_then(|tuple| self.minis.request(child.netns, &tuple));
        match request {
            Some(_) if step.new == TcpState::Close => false,
            Some(request) => {
                if let Some(request) = self.remove(request) {
                    child.id = request.id;
                    child.standing = request.standing;
                    // The request knows its listener by address.
                    child.owner = certain(child).or(request.owner).or(child.owner);
                    child.cgroup = child.cgroup.or(request.cgroup);
                    child.since_ns = request.since_ns;
                    child.seen_ns = request.seen_ns;
                    child.held = None;
                }
                true
            }
            // No request was seen: a SYN cookie, or TCP Fast Open, whose child waits a round trip.
            None => {
                child.since_ns = child
                    .since_ns
                    .filter(|since| fact.time_ns.saturating_sub(*since) > COOKIE_NS);
                true
            }
        }
    }

    /// A full socket closes: for good, or because a timewait socket has taken over.
    fn close(
        &mut self,
        fact: &Fact,
        step: Step,
        mut connection: Connection,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        let object = fact.object;
        let handover = connection
            .tuple
            .and_then(|tuple| self.minis.take_over(connection.netns, &tuple));
        connection.bytes = connection
            .bytes
            .map(|counted| payload(counted, connection.role, &step, handover));
        if let Some(handover) = handover {
            if handover.substate != step.old {
                let states = (step.old, handover.substate);
                self.step(object, &mut connection, handover.time_ns, states, None, out);
            }
            self.insert(handover.timewait, connection);
            return;
        }
        let reason = connection.fate.or_else(|| reason(step));
        self.step(
            object,
            &mut connection,
            fact.time_ns,
            (step.old, step.new),
            reason,
            out,
        );
        if step.old == TcpState::Listen {
            self.listener_closed(&connection);
        }
        self.walk.closed(object);
    }
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
    const EPIPE: u16 = 32;
    const ENETUNREACH: u16 = 101;
    const ECONNABORTED: u16 = 103;
    const ECONNRESET: u16 = 104;
    const ETIMEDOUT: u16 = 110;
    const ECONNREFUSED: u16 = 111;
    const EHOSTUNREACH: u16 = 113;
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
