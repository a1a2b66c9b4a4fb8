//! Mini-sockets: request sockets before, and timewait sockets after the full socket of a connection. Each carries the
//! connection's tuple, by which they are joined to it.
use std::collections::VecDeque;

use hashbrown::HashMap;

use super::{Connection, Held, Standing, Tracker};
use crate::{
    fact::{Cause, Fact},
    tcp::{Reason, Role, TcpState, Transition, Tuple},
};

/// A child that is still in SYN_RECV after this long is there for others to see, ns.
const CHILD_NS: u64 = 10_000_000;
/// What else belongs together follows within microseconds, unless its CPU stands still, as a virtual one may; after this
/// long it does not come any more, ns.
const SETTLE_NS: u64 = 1_000_000_000;

/// The tuple of a connection within its namespace.
type Key = (u32, Tuple);

/// Mini-sockets that wait to be joined.
#[derive(Debug, Default)]
pub(super) struct Minis {
    /// Half-open connections by tuple.
    requests: HashMap<Key, u64>,
    /// Timewait sockets whose full socket has not closed yet.
    handovers: HashMap<Key, (Handover, Fact)>,
    /// Listeners' children by time of birth, until they have left SYN_RECV or have grown old in it.
    children: VecDeque<Fact>,
    /// How many children there are whose tuple is not known yet.
    nameless: usize,
    /// Requests that are gone without a reason while there are such children, by time: one may be the child's. Who
    /// waits in `accept` can take a child, and its request with it, just before the segment that made it establishes it.
    ended: Vec<(Fact, Cause)>,
}

/// A connection in SYN_RECV, as far as it is indexed.
#[derive(Clone, Copy, Debug)]
pub(super) enum HalfOpen {
    /// A request.
    Request(Key),
    /// A child, which is held back; its tuple may not be known.
    Child(Option<Key>),
}

impl HalfOpen {
    pub(super) fn of(connection: &Connection) -> Self {
        let key = connection.tuple.map(|tuple| (connection.netns, tuple));
        match (key, connection.held) {
            (Some(key), None) => Self::Request(key),
            (key, _) => Self::Child(key),
        }
    }
}

/// A timewait socket that takes over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handover {
    pub(super) timewait: u64,
    pub(super) substate: TcpState,
    pub(super) time_ns: u64,
}

impl Minis {
    pub(super) fn index_request(&mut self, object: u64, half_open: HalfOpen) {
        match half_open {
            HalfOpen::Request(key) => drop(self.requests.insert(key, object)),
            HalfOpen::Child(Some(_)) => {}
            HalfOpen::Child(None) => self.nameless += 1,
        }
    }

    pub(super) fn forget_request(&mut self, object: u64, half_open: HalfOpen) {
        match half_open {
            HalfOpen::Request(key) | HalfOpen::Child(Some(key)) => {
                if self.requests.get(&key) == Some(&object) {
                    self.requests.remove(&key);
                }
            }
            HalfOpen::Child(None) => self.nameless -= 1,
        }
    }

    /// How many children there are whose tuple is not known yet.
    #[cfg(test)]
    pub(super) fn nameless(&self) -> usize {
        self.nameless
    }

    /// The request with this tuple.
    pub(super) fn request(&self, netns: u32, tuple: &Tuple) -> Option<u64> {
        self.requests.get(&(netns, *tuple)).copied()
    }

    /// The timewait socket that takes over from the full socket with this tuple.
    pub(super) fn take_over(&mut self, netns: u32, tuple: &Tuple) -> Option<Handover> {
        if self.handovers.is_empty() {
            return None;
        }
        self.handovers
            .remove(&(netns, *tuple))
            .map(|(handover, _)| handover)
    }

    /// Whether `object` is a timewait socket that has not been joined yet.
    pub(super) fn is_taking_over(&self, fact: &Fact) -> bool {
        self.handovers
            .get(&(fact.netns, fact.tuple))
            .is_some_and(|(handover, _)| handover.timewait == fact.object)
    }

    /// A listener's child is born.
    pub(super) fn born(&mut self, fact: &Fact) {
        self.children.push_back(*fact);
    }
}

impl Tracker {
    pub(super) fn timewait_created(&mut self, fact: &Fact, substate: TcpState) {
        self.lose(fact.object);
        if self.config.admits(fact.netns, &fact.tuple) == Some(true) {
            let handover = Handover {
                timewait: fact.object,
                substate,
                time_ns: fact.time_ns,
            };
            self.minis
                .handovers
                .insert((fact.netns, fact.tuple), (handover, *fact));
        }
    }

    pub(super) fn timewait_substate(
        &mut self,
        fact: &Fact,
        substate: TcpState,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        let entered = self.connections.get(fact.object).is_some_and(|connection| {
            connection.state == TcpState::FinWait2 && substate == TcpState::TimeWait
        });
        if entered && let Some(mut connection) = self.known(fact) {
            let states = (TcpState::FinWait2, TcpState::TimeWait);
            let unknown = connection.in_doubt; // this may be a restart
            self.step(
                fact.object,
                &mut connection,
                fact.time_ns,
                states,
                None,
                out,
            );
            if unknown {
                connection.since_ns = None;
            }
            self.insert(fact.object, connection);
        }
    }

    pub(super) fn timewait_ended(
        &mut self,
        fact: &Fact,
        substate: TcpState,
        cause: Cause,
        armed_ns: Option<u64>,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        let known = self.known(fact);
        let Some(mut connection) = known.or_else(|| self.meet(fact, 0, substate, out)) else {
            return;
        };
        if connection.state == TcpState::FinWait2 && substate == TcpState::TimeWait {
            self.recover_time_wait(fact, &mut connection, armed_ns, out);
        }
        let reason = match cause {
            Cause::Timer => Some(Reason::Expired),
            cause => reason(cause),
        };
        let states = (connection.state, TcpState::Close);
        self.step(
            fact.object,
            &mut connection,
            fact.time_ns,
            states,
            reason,
            out,
        );
        self.walk.closed(fact.object);
    }

    /// A timewait socket is in `TIME_WAIT`, and the peer's FIN was not seen when it came; its timer tells when it was last
    /// started, so that the time is recovered, not seen.
    pub(super) fn recover_time_wait(
        &mut self,
        fact: &Fact,
        connection: &mut Connection,
        armed_ns: Option<u64>,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        let entered_ns = armed_ns.map(|armed| armed.clamp(connection.seen_ns, fact.time_ns));
        connection.estimated = true;
        let states = (TcpState::FinWait2, TcpState::TimeWait);
        let time_ns = entered_ns.unwrap_or(fact.time_ns);
        if entered_ns.is_none() {
            connection.since_ns = None;
        }
        self.step(fact.object, connection, time_ns, states, None, out);
        connection.since_ns = entered_ns;
        connection.estimated = true;
    }

    pub(super) fn timewait_overflow(&mut self, fact: &Fact) {
        if let Some(connection) = self.connections.get_mut(fact.object) {
            connection.fate = Some(Reason::TwOverflow);
        }
    }

    pub(super) fn request_added(
        &mut self,
        fact: &Fact,
        cookie: u64,
        listener: u64,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        self.settle_ended(|ended| ended.object == fact.object, out);
        if self.config.admits(fact.netns, &fact.tuple) != Some(true) {
            self.lose(fact.object);
            return;
        }
        let mut connection = self.connection(fact, cookie, TcpState::SynRecv, Some(Role::Server));
        connection.held = Some(Held {
            mono_ns: fact.time_ns,
            from: TcpState::Listen,
            to: TcpState::SynRecv,
        });
        self.hint(&mut connection, listener, fact);
        self.decide(&mut connection, false, out);
        self.release(fact.object, &mut connection, out);
        self.insert(fact.object, connection);
    }

    pub(super) fn request_ended(
        &mut self,
        fact: &Fact,
        cause: Cause,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        let unexplained = matches!(cause, Cause::Unknown | Cause::Aborted);
        // Nearly all that end so were accepted, and are not known any more: those need not wait.
        if unexplained && self.minis.nameless > 0 && self.connections.contains(fact.object) {
            self.minis.ended.push((*fact, cause));
        } else {
            self.request_gone(fact, cause, out);
        }
    }

    fn request_gone(
        &mut self,
        fact: &Fact,
        cause: Cause,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        // One that was accepted is no longer known: its full socket has continued it.
        let Some(mut connection) = self.known(fact) else {
            return;
        };
        let reason = match cause {
            Cause::Timer => connection.fate.or(Some(Reason::Timeout)),
            // What arrives for it after its listener has closed ends it.
            Cause::Aborted => connection.fate.or(Some(Reason::Aborted)),
            Cause::Unknown => connection.fate,
            cause => reason(cause),
        };
        let states = (TcpState::SynRecv, TcpState::Close);
        self.step(
            fact.object,
            &mut connection,
            fact.time_ns,
            states,
            reason,
            out,
        );
        self.walk.closed(fact.object);
    }

    /// No child has come for these requests.
    pub(super) fn settle_ended(
        &mut self,
        is_settled: impl Fn(&Fact) -> bool,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        if self.minis.ended.is_empty() {
            return;
        }
        let is_settled = |(ended, _): &mut (Fact, Cause)| is_settled(ended);
        let settled: Vec<(Fact, Cause)> = self.minis.ended.extract_if(.., is_settled).collect();
        for (fact, cause) in settled {
            self.request_gone(&fact, cause, out);
        }
    }

    /// A listener closes: its half-open connections die at their next timer.
    pub(super) fn listener_closed(&mut self, listener: &Connection) {
        let Some(listening) = listener.tuple else {
            return;
        };
        for request in self.minis.requests.values() {
            let Some(connection) = self.connections.get_mut(*request) else {
                continue;
            };
            let belongs = connection.tuple.is_some_and(|tuple| {
                tuple.lport == listening.lport
                    && (listening.laddr.is_unspecified() || listening.laddr == tuple.laddr)
            });
            if belongs && connection.netns == listener.netns {
                connection.fate = Some(Reason::ListenerClosed);
            }
        }
    }

    /// Facts were lost: a child whose tuple is not known yet can no longer be told from one that took its address, and
    /// the next fact about a FIN_WAIT2 may be a restart whose FIN was among the lost.
    pub(super) fn doubt(&mut self) {
        for connection in self.connections.values_mut() {
            if connection.state == TcpState::FinWait2 {
                connection.lose_track(TcpState::FinWait2);
                connection.in_doubt = true;
            }
        }
        let nameless = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.tuple.is_none());
        let children: Vec<u64> = nameless.map(|(object, _)| object).collect();
        for child in children {
            self.lose(child);
        }
    }

    pub(super) fn settle_minis(
        &mut self,
        now_ns: u64,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        let none_can_come = self.minis.nameless == 0;
        self.settle_ended(
            |ended| none_can_come || ended.time_ns.saturating_add(SETTLE_NS) <= now_ns,
            out,
        );
        // A timewait socket whose full socket never closed in our sight stands for itself.
        let orphans: Vec<(Handover, Fact)> = self
            .minis
            .handovers
            .extract_if(|_, (handover, _)| handover.time_ns.saturating_add(SETTLE_NS) <= now_ns)
            .map(|(_, orphan)| orphan)
            .collect();
        for (handover, fact) in orphans {
            if let Some(mut connection) = self.meet(&fact, 0, handover.substate, out) {
                // The full socket may have been in FIN_WAIT2 before, and may have left it; TIME_WAIT begins here.
                connection.in_doubt = handover.substate == TcpState::FinWait2;
                connection.since_ns =
                    (handover.substate == TcpState::TimeWait).then_some(handover.time_ns);
                self.insert(handover.timewait, connection);
            }
        }
        // A child that stays in SYN_RECV is TCP Fast Open's, and counts.
        let is_old = |birth: &mut Fact| birth.time_ns.saturating_add(CHILD_NS) <= now_ns;
        while let Some(birth) = self.minis.children.pop_front_if(is_old) {
            let waits = self
                .connections
                .get(birth.object)
                .is_some_and(|connection| {
                    let still_held = connection
                        .held
                        .is_some_and(|held| held.mono_ns == birth.time_ns);
                    still_held && connection.standing == Standing::Unnamed
                });
            if waits
                && self.config.admits_child(&birth)
                && let Some(mut connection) = self.remove(birth.object)
            {
                self.decide(&mut connection, false, out);
                self.insert(birth.object, connection);
            }
        }
    }
}

/// Why a mini-socket ended, but for its timer.
fn reason(cause: Cause) -> Option<Reason> {
    match cause {
        Cause::Unknown | Cause::Timer => None,
        Cause::Reset => Some(Reason::Reset),
        Cause::Reused => Some(Reason::Reused),
        Cause::NetnsGone => Some(Reason::NetnsGone),
        Cause::Aborted => Some(Reason::Aborted),
        Cause::Unreachable => Some(Reason::Unreachable),
    }
}
