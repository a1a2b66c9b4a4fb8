//! Bytes of a ring buffer or an iterator → [`Fact`]. Takes any bytes and never panics.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tcpstate_ebpf::{FAMILY_IPV4, FAMILY_IPV6, FullRecord, Record, kind};

use crate::{
    fact::{Fact, FactKind, Opened},
    tcp::{Comm, Owner, OwnerSource, TcpState, Tuple},
};

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
}

/// Decodes one record.
///
/// # Errors
/// [`DecodeError`] says what is wrong with the bytes.
pub fn decode(bytes: &[u8]) -> Result<Fact, DecodeError> {
    let short = DecodeError::Short(bytes.len());
    let record = Record::from_bytes(bytes).ok_or(short)?;
    let full = || FullRecord::from_bytes(bytes).ok_or(short);
    let kind = match record.kind {
        kind::TRANSITION => transition(&record, None)?,
        kind::OPENED => transition(&record, Some(opened(&full()?)))?,
        kind::SOCKET => FactKind::Socket {
            state: state(record.new)?,
            cookie: full()?.cookie,
        },
        unknown => return Err(DecodeError::Kind(unknown)),
    };
    Ok(Fact {
        time_ns: record.time_ns,
        object: record.object,
        netns: record.netns,
        tuple: tuple(&record)?,
        kind,
    })
}

fn state(number: u8) -> Result<TcpState, DecodeError> {
    TcpState::from_kernel(number).ok_or(DecodeError::State(number))
}

fn transition(record: &Record, opened: Option<Opened>) -> Result<FactKind, DecodeError> {
    Ok(FactKind::Transition {
        old: state(record.old)?,
        new: state(record.new)?,
        error: record.error,
        opened,
    })
}

fn opened(full: &FullRecord) -> Opened {
    // Process 0 is the idle task, which owns no socket: the programs leave 0 where the task is not the owner.
    let owner = (full.tgid != 0).then(|| Owner {
        pid: full.tgid,
        uid: full.uid,
        comm: Comm(full.comm),
        source: match TcpState::from_kernel(full.record.new) {
            Some(TcpState::Listen) => OwnerSource::Listen,
            _ => OwnerSource::Connect,
        },
    });
    Opened {
        cookie: full.cookie,
        owner,
    }
}

fn tuple(record: &Record) -> Result<Tuple, DecodeError> {
    let address = |bytes: [u8; 16]| -> Result<IpAddr, DecodeError> {
        match record.family {
            FAMILY_IPV4 => {
                let [a, b, c, d, ..] = bytes;
                Ok(Ipv4Addr::new(a, b, c, d).into())
            }
            FAMILY_IPV6 => Ok(Ipv6Addr::from(bytes).into()),
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
