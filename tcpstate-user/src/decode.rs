//! Bytes of a ring buffer or an iterator → [`Fact`]. Takes any bytes and never panics.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tcpstate_ebpf::{
    COMM_LEN, FAMILY_IPV4, FAMILY_IPV6, FullRecord, MiniRecord, Record, cause, kind, mini,
};
use zerocopy::FromBytes;

use crate::{
    fact::{Cause, Details, Fact, FactKind, TimerEvent, TimerFact},
    tcp::{Bytes, Comm, Owner, OwnerSource, TIMEWAIT_LEN_NS, TcpState, Tuple},
};

#[cfg(test)]
mod tests;

/// Why bytes are no fact. Each means that loader and programs do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than the kind of record has.
    #[error("a record of {0} bytes is too short")]
    Short(usize),
    /// An unknown kind of record.
    #[error("record kind {0} is unknown")]
    Kind(u8),
    /// A number that is no TCP state.
    #[error("state number {0} is unknown")]
    State(u8),
    /// Neither IPv4 nor IPv6.
    #[error("address family {0} is unknown")]
    Family(u8),
    /// An owner without a process id.
    #[error("an owner without a process id")]
    Nobody,
}

/// Decodes one record of a kernel whose timers count in jiffies of `tick_ns`.
///
/// # Errors
/// [`DecodeError`] says what is wrong with the bytes.
pub fn decode(bytes: &[u8], tick_ns: u32) -> Result<Fact, DecodeError> {
    let record: Record = beginning(bytes)?;
    let mini = || beginning::<MiniRecord>(bytes);
    let full = || beginning::<FullRecord>(bytes);
    let substate = || substate(record.new);
    let kind = match record.kind {
        kind::TRANSITION | kind::STILLBORN => transition(&record, None)?,
        kind::DETAILED => transition(&record, Some(details(&full()?)))?,
        kind::SOCKET => exists(state(record.new)?, &full()?, None),
        kind::TIMEWAIT => {
            let full = full()?;
            let substate = substate()?;
            // Only in TIME_WAIT is the timer's length known, so that what remains tells the age.
            let since_ns = (substate == TcpState::TimeWait)
                .then(|| armed(record.time_ns, jiffies_ns(full.mini.value, tick_ns)));
            exists(substate, &full, since_ns)
        }
        kind::REQUEST => exists(TcpState::SynRecv, &full()?, None),
        kind::TIMEWAIT_CREATED => FactKind::TimewaitCreated {
            substate: substate()?,
        },
        kind::TIMEWAIT_REARMED => FactKind::TimewaitSubstate {
            substate: substate()?,
        },
        kind::TIMEWAIT_ENDED => FactKind::TimewaitEnded {
            substate: substate()?,
            cause: why(record.old),
            armed_ns: None,
        },
        kind::TIMEWAIT_OVERFLOW => FactKind::TimewaitOverflow,
        kind::TIMEWAIT_SEGMENT => FactKind::TimewaitSegment {
            substate: substate()?,
            reset: record.old != 0,
        },
        kind::REQUEST_ADDED => {
            let full = full()?;
            FactKind::RequestAdded {
                cookie: full.cookie,
                listener: full.mini.related,
            }
        }
        kind::REQUEST_ENDED => FactKind::RequestEnded {
            cause: why(record.old),
        },
        kind::TIMER_START => timer(TimerEvent::Start, &mini()?, tick_ns)?,
        kind::TIMER_CANCEL => timer(TimerEvent::Cancel, &mini()?, tick_ns)?,
        kind::TIMER_EXPIRE => timer(TimerEvent::Expire, &mini()?, tick_ns)?,
        kind::USED => {
            let owner = owner(&full()?, OwnerSource::Accept).ok_or(DecodeError::Nobody)?;
            FactKind::Used { owner }
        }
        kind::HELD => {
            let owner = owner(&full()?, OwnerSource::Snapshot).ok_or(DecodeError::Nobody)?;
            FactKind::Held { owner }
        }
        unknown => return Err(DecodeError::Kind(unknown)),
    };
    Ok(Fact {
        time_ns: record.time_ns,
        cpu: record.cpu,
        object: record.object,
        netns: record.netns,
        tuple: tuple(&record)?,
        kind,
    })
}

/// The record that `bytes` begin with.
#[inline(always)]
fn beginning<T: FromBytes>(bytes: &[u8]) -> Result<T, DecodeError> {
    T::read_from_prefix(bytes)
        .map(|(record, _)| record)
        .map_err(|_| DecodeError::Short(bytes.len()))
}

/// When the 60 s timer of a TIME_WAIT was last started, given what remains of it at `now_ns`.
#[must_use]
pub fn armed(now_ns: u64, remaining_ns: i64) -> u64 {
    let elapsed_ns = i64::try_from(TIMEWAIT_LEN_NS)
        .unwrap_or(i64::MAX)
        .saturating_sub(remaining_ns);
    now_ns
        .saturating_sub(u64::try_from(elapsed_ns).unwrap_or(0))
        .min(now_ns)
}

fn state(number: u8) -> Result<TcpState, DecodeError> {
    TcpState::from_kernel(number).ok_or(DecodeError::State(number))
}

/// A timewait socket's.
fn substate(number: u8) -> Result<TcpState, DecodeError> {
    match state(number)? {
        substate @ (TcpState::FinWait2 | TcpState::TimeWait) => Ok(substate),
        _ => Err(DecodeError::State(number)),
    }
}

fn exists(state: TcpState, full: &FullRecord, since_ns: Option<u64>) -> FactKind {
    FactKind::Exists {
        state,
        cookie: full.cookie,
        since_ns,
        cgroup: cgroup(full),
    }
}

fn transition(record: &Record, details: Option<Details>) -> Result<FactKind, DecodeError> {
    Ok(FactKind::Transition {
        old: state(record.old)?,
        new: state(record.new)?,
        error: record.error,
        stillborn: record.kind == kind::STILLBORN,
        details,
    })
}

fn timer(event: TimerEvent, timer: &MiniRecord, tick_ns: u32) -> Result<FactKind, DecodeError> {
    let record = &timer.record;
    let (mini, substate) = match record.old {
        mini::TIMEWAIT => (TcpState::TimeWait, substate(record.new)?),
        mini::REQUEST => (TcpState::SynRecv, TcpState::SynRecv),
        unknown => return Err(DecodeError::State(unknown)),
    };
    Ok(FactKind::Timer(TimerFact {
        event,
        mini,
        substate,
        remaining_ns: jiffies_ns(timer.value, tick_ns),
        listener: timer.related,
        by_worker: record.error != 0,
    }))
}

/// A signed number of jiffies, ns.
fn jiffies_ns(value: u64, tick_ns: u32) -> i64 {
    value.cast_signed().saturating_mul(i64::from(tick_ns))
}

fn why(number: u8) -> Cause {
    match number {
        cause::TIMER => Cause::Timer,
        cause::RESET => Cause::Reset,
        cause::SYN | cause::TAKEN => Cause::Reused,
        cause::NETNS => Cause::NetnsGone,
        cause::ABORT | cause::SEGMENT => Cause::Aborted,
        cause::UNREACHABLE => Cause::Unreachable,
        _ => Cause::Unknown,
    }
}

fn details(full: &FullRecord) -> Details {
    let record = &full.mini.record;
    let source = match (
        TcpState::from_kernel(record.old),
        TcpState::from_kernel(record.new),
    ) {
        (_, Some(TcpState::Listen)) => OwnerSource::Listen,
        (Some(TcpState::Close), _) => OwnerSource::Connect,
        _ => OwnerSource::Accept,
    };
    Details {
        cookie: full.cookie,
        owner: owner(full, source),
        cgroup: cgroup(full),
        bytes: (TcpState::from_kernel(record.new) == Some(TcpState::Close)).then_some(Bytes {
            sent: full.mini.related,
            received: full.mini.value,
        }),
    }
}

/// The owner that a record names. Process 0 is the idle task, which owns no socket: the programs leave 0 where they do
/// not know.
fn owner(full: &FullRecord, source: OwnerSource) -> Option<Owner> {
    (full.tgid != 0).then_some(Owner {
        pid: full.tgid,
        uid: full.uid,
        comm: comm(full.comm),
        source,
    })
}

fn comm([first, second]: [u64; 2]) -> Comm {
    let mut bytes = [0; COMM_LEN];
    bytes[..8].copy_from_slice(&first.to_ne_bytes());
    bytes[8..].copy_from_slice(&second.to_ne_bytes());
    Comm(bytes)
}

fn cgroup(full: &FullRecord) -> Option<u64> {
    (full.cgroup != 0).then_some(full.cgroup)
}

fn tuple(record: &Record) -> Result<Tuple, DecodeError> {
    let address = |words: [u32; 4]| -> Result<IpAddr, DecodeError> {
        match record.family {
            FAMILY_IPV4 => Ok(Ipv4Addr::from(words[0].to_ne_bytes()).into()),
            FAMILY_IPV6 => {
                let mut bytes = [0; 16];
                for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
                    bytes.copy_from_slice(&word.to_ne_bytes());
                }
                Ok(Ipv6Addr::from(bytes).into())
            }
            unknown => Err(DecodeError::Family(unknown)),
        }
    };
    Ok(Tuple {
        laddr: address(record.laddr)?,
        lport: (record.lport != 0).then_some(record.lport),
        raddr: address(record.raddr)?,
        rport: record.rport,
    })
}
