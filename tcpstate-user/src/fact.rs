//! Facts: what the kernel said, decoded and typed, before any opinion about it.
use crate::tcp::{Bytes, Owner, TcpState, Tuple};

/// One fact about one kernel object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fact {
    /// `CLOCK_MONOTONIC`, ns.
    pub time_ns: u64,
    /// CPU that stated it.
    pub cpu: u16,
    /// Kernel address of the object: a full socket, a timewait socket or a request socket.
    pub object: u64,
    /// Inode of its network namespace.
    pub netns: u32,
    /// Its addresses and ports as the object has them at that moment.
    pub tuple: Tuple,
    /// What is said about it.
    pub kind: FactKind,
}

impl Fact {
    /// The cgroup that it tells of.
    #[must_use]
    pub fn cgroup(&self) -> Option<u64> {
        match self.kind {
            FactKind::Transition { details, .. } => details?.cgroup,
            FactKind::Exists { cgroup, .. } => cgroup,
            _ => None,
        }
    }

    /// Takes back that the process `pid` has shut the socket down: it only held the file for a moment, as a walk over open
    /// files does, and its user closed it meanwhile.
    pub fn forget_closer(&mut self, pid: u32) {
        if let FactKind::Transition {
            old,
            details: Some(details),
            ..
        } = &mut self.kind
            && *old != TcpState::Close
        {
            details.owner = details.owner.filter(|owner| owner.pid != pid);
        }
    }
}

/// What a fact says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FactKind {
    /// A full socket changes state.
    Transition {
        /// State left.
        old: TcpState,
        /// State entered.
        new: TcpState,
        /// Pending error of the socket, an errno; 0 if none.
        error: u16,
        /// A listener's child that the kernel throws away before it was anybody's.
        stillborn: bool,
        /// What is said only when a socket connects, listens, leaves `SYN_RECV`, is shut down or closes.
        details: Option<Details>,
    },
    /// A socket exists, as a walk over the kernel's tables found.
    Exists {
        /// Its state as `ss` shows it.
        state: TcpState,
        /// Socket cookie; 0 if none.
        cookie: u64,
        /// When it entered that state, where its timer tells, monotonic, ns.
        since_ns: Option<u64>,
        /// Id of its cgroup, where it has one of its own.
        cgroup: Option<u64>,
    },
    /// A task accepts a full socket, or uses it.
    Used {
        /// The task.
        owner: Owner,
    },
    /// A task holds a full socket open, as a walk over the open files found.
    Held {
        /// The task.
        owner: Owner,
    },
    /// A timewait socket takes over from the full socket with the same tuple, which closes right after.
    TimewaitCreated {
        /// `FIN_WAIT2` or `TIME_WAIT`.
        substate: TcpState,
    },
    /// A timewait socket is now in this substate; its timer may have started again.
    TimewaitSubstate {
        /// `FIN_WAIT2` or `TIME_WAIT`.
        substate: TcpState,
    },
    /// A timewait socket is gone.
    TimewaitEnded {
        /// Its last substate.
        substate: TcpState,
        /// Why.
        cause: Cause,
        /// When its timer was last started, as far as the timer tells: recovered, not seen. Monotonic, ns.
        armed_ns: Option<u64>,
    },
    /// No timewait socket is made for this full socket, because there are too many.
    TimewaitOverflow,
    /// A request socket enters the listen queue.
    RequestAdded {
        /// Socket cookie, which the accepted socket inherits; 0 if none.
        cookie: u64,
        /// Kernel address of the listener.
        listener: u64,
    },
    /// A request socket is gone: dropped, or already replaced by its full socket.
    RequestEnded {
        /// Why.
        cause: Cause,
    },
    /// Something happened to the timer of a mini-socket. Never reaches the tracker: the source turns it into one of
    /// the above.
    Timer(TimerFact),
    /// A segment for a timewait socket was processed. Never reaches the tracker.
    TimewaitSegment {
        /// Substate after it.
        substate: TcpState,
        /// It was a reset.
        reset: bool,
    },
}

/// What happened to the timer of a mini-socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerFact {
    /// What happened.
    pub event: TimerEvent,
    /// `TIME_WAIT` for a timewait socket, `SYN_RECV` for a request socket.
    pub mini: TcpState,
    /// A timewait socket's substate; `SYN_RECV` for a request socket.
    pub substate: TcpState,
    /// Time until the timer ends, ns; negative when it is over.
    pub remaining_ns: i64,
    /// A request's listener, else 0.
    pub listener: u64,
    /// A workqueue did it.
    pub by_worker: bool,
}

/// Events of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerEvent {
    /// Put on the wheel.
    Start,
    /// Taken off the wheel: stopped, moved, or about to run out.
    Cancel,
    /// Runs out.
    Expire,
}

/// Why a mini-socket ended, as far as the kernel side could tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing was seen that would explain it.
    Unknown,
    /// Its timer ran out.
    Timer,
    /// A reset arrived.
    Reset,
    /// A new connection takes its place.
    Reused,
    /// Its network namespace goes.
    NetnsGone,
    /// This end destroyed it, or answered a segment with a reset.
    Aborted,
    /// The network reported the peer as unreachable.
    Unreachable,
}

/// What the kernel says at a few moments of a socket's life.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Details {
    /// Socket cookie; 0 if none.
    pub cookie: u64,
    /// The task that connects, listens, or shuts the socket down.
    pub owner: Option<Owner>,
    /// Id of its cgroup, where this fact tells.
    pub cgroup: Option<u64>,
    /// Payload that it has carried, where it closes.
    pub bytes: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::tcp::{Comm, OwnerSource};

    /// The owner that is left of a transition by process 7, once process `pid` is known to have only looked at files.
    fn left(old: TcpState, pid: u32) -> Option<u32> {
        let owner = Owner {
            pid: 7,
            uid: 0,
            comm: Comm::default(),
            source: OwnerSource::Accept,
        };
        let mut fact = Fact {
            time_ns: 1,
            cpu: 0,
            object: 1,
            netns: 1,
            tuple: Tuple {
                laddr: Ipv4Addr::LOCALHOST.into(),
                lport: Some(1),
                raddr: Ipv4Addr::LOCALHOST.into(),
                rport: 2,
            },
            kind: FactKind::Transition {
                old,
                new: TcpState::FinWait1,
                error: 0,
                stillborn: false,
                details: Some(Details {
                    owner: Some(owner),
                    ..Details::default()
                }),
            },
        };
        fact.forget_closer(pid);
        match fact.kind {
            FactKind::Transition { details, .. } => details?.owner.map(|owner| owner.pid),
            _ => None,
        }
    }

    #[test]
    fn who_only_looked_at_a_file_has_not_closed_it() {
        assert_eq!(left(TcpState::Established, 7), None);
        assert_eq!(left(TcpState::Established, 8), Some(7));
        assert_eq!(left(TcpState::Close, 7), Some(7), "it connects itself");
    }
}
