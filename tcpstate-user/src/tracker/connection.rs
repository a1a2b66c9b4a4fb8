//! One followed connection: what is known of it, and how it moves on.
use crate::{
    fact::Fact,
    tcp::{Bytes, ConnectionId, Owner, Reason, Role, TcpState, Transition, Tuple},
};

/// One followed connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) state: TcpState,
    /// When it entered `state`; `None` if that was not seen.
    pub(super) since_ns: Option<u64>,
    /// `since_ns` was recovered, not seen.
    pub(super) estimated: bool,
    /// Facts were lost since it was seen to enter `state`, and it may have left that unseen.
    pub(super) in_doubt: bool,
    /// When it was first seen in `state`: a lower bound of its age there.
    pub(super) seen_ns: u64,
    pub(super) netns: u32,
    pub(super) tuple: Option<Tuple>,
    pub(super) role: Option<Role>,
    pub(super) owner: Option<Owner>,
    /// The last walk that found `owner` to hold it.
    pub(super) owner_walk: u32,
    /// Id of its cgroup.
    pub(super) cgroup: Option<u64>,
    /// Payload that it has carried, once its full socket has closed.
    pub(super) bytes: Option<Bytes>,
    /// Its opening transition, kept back until the tuple is known.
    pub(super) held: Option<Held>,
    /// What the selection says about it.
    pub(super) standing: Standing,
    /// Why it will close, where that is known before it does.
    pub(super) fate: Option<Reason>,
    /// The last walk over the kernel's tables that met it; at first, the last before it was known.
    pub(super) walk: u32,
}

impl Connection {
    /// Whether `fact` is about this connection: its tuple may show that another one now lives under its address.
    pub(super) fn is_of(&self, fact: &Fact) -> bool {
        let shown = fact.tuple;
        self.netns == fact.netns
            && self.tuple.is_none_or(|known| {
                let port =
                    known.lport.is_none() || shown.lport.is_none() || known.lport == shown.lport;
                port && (known.laddr, known.raddr, known.rport)
                    == (shown.laddr, shown.raddr, shown.rport)
            })
    }

    /// Moves to `to` at `time_ns`. `from` is the state that the kernel says it leaves.
    pub(super) fn step(
        &mut self,
        object: u64,
        time_ns: u64,
        (from, to): (TcpState, TcpState),
        reason: Option<Reason>,
    ) -> Transition {
        let since_ns = self.since_ns.replace(time_ns);
        let estimated = std::mem::replace(&mut self.estimated, false);
        self.state = to;
        self.in_doubt = false;
        self.seen_ns = time_ns;
        Transition {
            dwell_ns: since_ns.and_then(|since| time_ns.checked_sub(since)),
            estimated: estimated && since_ns.is_some(),
            reason,
            ..self.transition(object, time_ns, (from, to))
        }
    }

    /// What is known of it, as a transition whose dwell time and reason are not.
    pub(super) fn transition(
        &self,
        object: u64,
        mono_ns: u64,
        (from, to): (TcpState, TcpState),
    ) -> Transition {
        Transition {
            mono_ns,
            id: self.id,
            skaddr: object,
            netns: self.netns,
            tuple: self.tuple,
            from,
            to,
            dwell_ns: None,
            estimated: false,
            reason: None,
            role: self.role,
            owner: self.owner,
            cgroup: self.cgroup,
            container: None,
            bytes: self.bytes,
        }
    }

    pub(super) fn is_admitted(&self) -> bool {
        self.standing == Standing::Admitted
    }

    /// It is in `state`, and how it got there was not seen.
    pub(super) fn lose_track(&mut self, state: TcpState) {
        self.state = state;
        self.since_ns = None;
        self.estimated = false;
    }
}

/// What the selection says about a connection. Only one that is admitted counts in any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its tuple is not known yet, which decides first.
    Unnamed,
    /// Its tuple is admitted; its owner is not known yet.
    Ownerless,
    /// It is followed.
    Admitted,
    /// It is not; it is kept so that it is not met again.
    Rejected,
}

/// An opening transition that waits for the connection's tuple.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) mono_ns: u64,
    pub(super) from: TcpState,
    pub(super) to: TcpState,
}
