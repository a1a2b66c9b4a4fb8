//! Sockets by state as the kernel counts them now: no privileges, no temporary files, one pass over its tables.
//!
//! All states but one are dumped over `sock_diag` netlink. TIME_WAIT alone can hold a hundred thousand sockets, and
//! the kernel needs most of the time of a dump to write a message for each; but it keeps their number: `tw` of
//! `/proc/net/sockstat` is the number of timewait mini-sockets, IPv4 and IPv6, of the namespace (each holds one count of
//! `tcp_death_row.tw_refcount` while its timer is armed, that is, while it exists). They are in FIN_WAIT2 or in TIME_WAIT.
//! The dump shows those in FIN_WAIT2, so that the others are the TIME_WAIT sockets.
use std::{
    io,
    ops::AddAssign,
    os::fd::{AsRawFd as _, OwnedFd},
};

use netlink_packet_core::{
    DecodeError, DoneBuffer, ErrorBuffer, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE,
    NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN, NetlinkBuffer, Parseable,
};
use netlink_packet_sock_diag::inet::{InetResponseHeader, Timer};
use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, NetlinkAddr, connect, recv, send},
};

pub mod each;

use crate::{
    netns::{self, Netns, Object, Table},
    tcp::TcpState,
};

/// Sockets in each live state. Invariant: `CLOSE` is the absence of a socket and always counts 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateCounts([u64; 12]);

impl StateCounts {
    /// Counts `sockets` more in `state`; `CLOSE` takes none.
    pub fn add(&mut self, state: TcpState, sockets: u64) {
        if state != TcpState::Close {
            self.0[state.index()] += sockets;
        }
    }

    /// The sockets in `state`.
    #[must_use]
    pub fn get(&self, state: TcpState) -> u64 {
        self.0[state.index()]
    }

    /// Every live state with its sockets, in the order of every output.
    pub fn iter(&self) -> impl Iterator<Item = (TcpState, u64)> {
        TcpState::live().map(|state| (state, self.get(state)))
    }
}

impl AddAssign for StateCounts {
    fn add_assign(&mut self, other: Self) {
        for (state, sockets) in other.iter() {
            self.add(state, sockets);
        }
    }
}

/// Why the sockets could not be counted.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// No netlink socket to ask with.
    #[error(
        "sock_diag netlink socket: {0}; a container or security policy that filters netlink must let NETLINK_SOCK_DIAG pass"
    )]
    Socket(io::Error),
    /// The kernel answered with an error.
    #[error(
        "sock_diag dump of TCP sockets: {0}; if the module tcp_diag is missing, load it (modprobe tcp_diag)"
    )]
    Refused(io::Error),
    /// The dump lost messages or changed under way, each time it was tried.
    #[error("sock_diag dump of TCP sockets: interrupted by changes {ATTEMPTS} times; try again")]
    Interrupted,
    /// The answer is not what the kernel's interface promises.
    #[error(
        "sock_diag dump of TCP sockets: malformed answer ({0}); report it with the output of 'uname -r'"
    )]
    Malformed(String),
}

impl From<DecodeError> for CountError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// How often an inconsistent dump is begun anew.
const ATTEMPTS: u32 = 5;

/// The kernel fills at most 32 KiB a datagram for readers that offer as much (`netlink_dump`), and fills the next one
/// only when this one is read: a larger buffer or `SO_RCVBUF` gains nothing, and a slow reader loses nothing.
const BUFFER_BYTES: usize = 64 * 1024;

/// The states to ask for: 1 (ESTABLISHED) to 11 (CLOSING) without CLOSE, and 12 (`TCP_NEW_SYN_RECV`, request sockets).
/// Not all bits: 13 (`TCP_BOUND_INACTIVE`) would add bound sockets that are in no TCP state.
const LIVE_STATES: u32 = 0b1_1111_0111_1110;
const TIME_WAIT: u32 = 1 << TcpState::TimeWait as u32;

/// Counts the TCP sockets, IPv4 and IPv6, of a network namespace by state; of the caller's own if it is none.
///
/// # Errors
/// The kernel does not show them.
pub fn count(ns: Option<&Netns>) -> Result<StateCounts, CountError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    consistent(|| count_once(ns, &mut buffer))
}

/// Repeats a dump that changes have interrupted.
fn consistent<T>(mut dump: impl FnMut() -> Result<T, CountError>) -> Result<T, CountError> {
    for _ in 0..ATTEMPTS {
        match dump() {
            Err(CountError::Interrupted) => {}
            result => return result,
        }
    }
    Err(CountError::Interrupted)
}

fn count_once(ns: Option<&Netns>, buffer: &mut [u8]) -> Result<StateCounts, CountError> {
    let minisockets = netns::read(ns, Object::Table(Table::Sockstat))
        .ok()
        .as_deref()
        .and_then(minisockets);
    let Some(minisockets) = minisockets else {
        return Ok(tally(ns, LIVE_STATES, buffer)?.counts); // slower, and as true
    };
    let mut tally = tally(ns, LIVE_STATES & !TIME_WAIT, buffer)?;
    tally.counts.add(
        TcpState::TimeWait,
        minisockets.saturating_sub(tally.fin_wait2_minisockets),
    );
    Ok(tally.counts)
}

/// Timewait mini-sockets according to the text of `/proc/net/sockstat`: `TCP: inuse 5 orphan 0 tw 3 alloc 8 mem 1`.
pub(crate) fn minisockets(sockstat: &str) -> Option<u64> {
    let mut words = sockstat
        .lines()
        .find_map(|line| line.strip_prefix("TCP:"))?
        .split_whitespace();
    words.find(|word| *word == "tw")?;
    words.next()?.parse().ok()
}

/// What a dump has shown so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) counts: StateCounts,
    /// Those of `counts` in FIN_WAIT2 that are timewait mini-sockets.
    fin_wait2_minisockets: u64,
}

fn tally(ns: Option<&Netns>, states: u32, buffer: &mut [u8]) -> Result<Tally, CountError> {
    let mut tally = Tally::default();
    dump(ns, &request(states, 0), buffer, &mut |payload| {
        add(payload, &mut tally)
    })?;
    Ok(tally)
}

/// Takes the payload of the message about one socket.
pub(crate) type Take<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), CountError>;

/// One dump, on a socket of its own: what an abandoned one left unread goes with it.
fn dump(
    ns: Option<&Netns>,
    request: &[u8],
    buffer: &mut [u8],
    take: Take<'_>,
) -> Result<(), CountError> {
    let refused = |error: Errno| CountError::Socket(error.into());
    let socket = netns::sock_diag(ns).map_err(CountError::Socket)?;
    let fd = socket.as_raw_fd();
    // Connected to the kernel, so that no other process can answer in its place.
    connect(fd, &NetlinkAddr::new(0, 0)).map_err(refused)?;
    retry_interrupted(|| send(fd, request, MsgFlags::empty())).map_err(refused)?;

    while receive(&socket, buffer, take)? == Progress::More {}
    Ok(())
}

const SEQUENCE: u32 = 1;

/// Type of request and answer (`linux/inet_diag.h`). The older of the two requests for a dump of TCP sockets: it takes
/// both address families in one pass (`inet_diag_dump_compat`), where `SOCK_DIAG_BY_FAMILY` walks all sockets for each.
const TCPDIAG_GETSOCK: u16 = 18;

/// The dump request: a netlink header (16 bytes) and `struct inet_diag_req` (60 bytes), zero but for `idiag_states` and
/// `idiag_ext`, the attributes asked for.
fn request(states: u32, attributes: u8) -> [u8; 76] {
    let mut bytes = [0; 76];
    bytes[19] = attributes;
    bytes[68..72].copy_from_slice(&states.to_ne_bytes());
    let mut header = NetlinkBuffer::new(&mut bytes);
    header.set_length(76);
    header.set_message_type(TCPDIAG_GETSOCK);
    header.set_flags(NLM_F_REQUEST | NLM_F_DUMP);
    header.set_sequence_number(SEQUENCE);
    bytes
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    Done,
}

fn receive(socket: &OwnedFd, buffer: &mut [u8], take: Take<'_>) -> Result<Progress, CountError> {
    // `MSG_TRUNC` returns the whole length of a datagram, also of one that did not fit.
    let received = retry_interrupted(|| recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC));
    let length = match received {
        Ok(length) => length,
        Err(Errno::ENOBUFS) => return Err(CountError::Interrupted),
        Err(error) => return Err(CountError::Socket(error.into())),
    };
    let datagram = buffer.get(..length).ok_or_else(|| {
        CountError::Malformed(format!(
            "a datagram of {length} bytes, expected at most {BUFFER_BYTES}"
        ))
    })?;
    read(datagram, take)
}

/// Takes the sockets that one datagram reports; messages that answer another request are passed over.
pub(crate) fn read(mut datagram: &[u8], take: Take<'_>) -> Result<Progress, CountError> {
    if datagram.is_empty() {
        return Err(CountError::Malformed("an empty datagram".to_owned()));
    }
    while !datagram.is_empty() {
        let message = NetlinkBuffer::new_checked(datagram)?;
        let padded = message.length().next_multiple_of(4) as usize;
        datagram = datagram.get(padded..).unwrap_or_default();
        if message.sequence_number() != SEQUENCE {
            continue;
        }
        if message.flags() & NLM_F_DUMP_INTR != 0 {
            return Err(CountError::Interrupted);
        }
        match message.message_type() {
            TCPDIAG_GETSOCK => take(message.payload())?,
            NLMSG_DONE => {
                let code = DoneBuffer::new_checked(message.payload())?.code();
                return if code < 0 {
                    Err(refused(code))
                } else {
                    Ok(Progress::Done)
                };
            }
            NLMSG_ERROR => {
                if let Some(code) = ErrorBuffer::new_checked(message.payload())?.code() {
                    return Err(refused(code.get()));
                }
            }
            NLMSG_NOOP => {}
            NLMSG_OVERRUN => return Err(CountError::Interrupted),
            other => return Err(CountError::Malformed(format!("a message of type {other}"))),
        }
    }
    Ok(Progress::More)
}

/// Counts one socket. Only the fixed header is parsed: attributes would be allocated, and the state is not in them.
pub(crate) fn add(payload: &[u8], tally: &mut Tally) -> Result<(), CountError> {
    let header = InetResponseHeader::parse(payload)?;
    let state = state(&header)?;
    tally.counts.add(state, 1);
    if state == TcpState::FinWait2 && header.timer == Some(Timer::TimeWait) {
        tally.fin_wait2_minisockets += 1;
    }
    Ok(())
}

fn state(header: &InetResponseHeader) -> Result<TcpState, CountError> {
    TcpState::from_kernel(header.state)
        .ok_or_else(|| CountError::Malformed(format!("a socket in state {}", header.state)))
}

fn refused(code: i32) -> CountError {
    CountError::Refused(io::Error::from_raw_os_error(code.saturating_neg()))
}

/// Repeats a system call that a signal interrupted.
fn retry_interrupted<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests;
