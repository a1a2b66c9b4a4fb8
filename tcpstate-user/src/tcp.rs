//! Domain words: TCP states, addresses, identities and transitions, free of kernel layouts, clocks and I/O.
use std::{fmt, net::IpAddr, str::FromStr};

/// How long a TIME_WAIT lasts from its last (re)start, ns: `TCP_TIMEWAIT_LEN`, fixed at 60 s in every Linux. The timer
/// wheel rounds it up, by at most 4.1 s with a tick of 1 ms.
pub const TIMEWAIT_LEN_NS: u64 = 60_000_000_000;

/// A TCP state, in the kernel's numbering (`include/net/tcp_states.h`), spelled as bcc's tcpstates spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum TcpState {
    /// `TCP_ESTABLISHED`
    Established = 1,
    /// `TCP_SYN_SENT`
    SynSent = 2,
    /// `TCP_SYN_RECV`; also a request socket (`TCP_NEW_SYN_RECV`), which `ss` shows the same way.
    SynRecv = 3,
    /// `TCP_FIN_WAIT1`
    FinWait1 = 4,
    /// `TCP_FIN_WAIT2`
    FinWait2 = 5,
    /// `TCP_TIME_WAIT`
    TimeWait = 6,
    /// `TCP_CLOSE`: the absence of a connection, never a live count.
    Close = 7,
    /// `TCP_CLOSE_WAIT`
    CloseWait = 8,
    /// `TCP_LAST_ACK`
    LastAck = 9,
    /// `TCP_LISTEN`
    Listen = 10,
    /// `TCP_CLOSING`
    Closing = 11,
}

impl TcpState {
    /// Every state, in the kernel's order.
    pub const ALL: [Self; 11] = [
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
    ];

    /// Every state that a socket can be counted in: all but `CLOSE`.
    pub fn live() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|state| *state != Self::Close)
    }

    /// The state with the kernel's `number`; `TCP_NEW_SYN_RECV` (12) is `SYN_RECV`. `None` for a number that is no
    /// TCP state of a socket.
    #[must_use]
    pub fn from_kernel(number: u8) -> Option<Self> {
        match number {
            12 => Some(Self::SynRecv),
            1..=11 => Some(Self::ALL[usize::from(number) - 1]),
            _ => None,
        }
    }

    /// The kernel's number of this state, 1 to 11; a dense index for tables of 12 or more.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The spelling of bcc's tcpstates, used in every output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
        }
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that names no TCP state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no TCP state; use one of ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK LISTEN CLOSING"
)]
pub struct UnknownState(String);

impl FromStr for TcpState {
    type Err = UnknownState;

    /// Reads any usual spelling, case-insensitive: `TIME-WAIT`, `time_wait`, `TCP_TIME_WAIT`, `ESTAB`, `SYN-RECV`,
    /// `SYN_RCVD`, `FIN-WAIT-1`, `UNCONN`, `CLOSED`.
    fn from_str(word: &str) -> Result<Self, UnknownState> {
        let mut key: String = word
            .chars()
            .filter(|c| !matches!(c, '-' | '_' | ' '))
            .map(|c| c.to_ascii_uppercase())
            .collect();
        if let Some(rest) = key.strip_prefix("TCP") {
            key = rest.to_owned();
        }
        Ok(match key.as_str() {
            "ESTABLISHED" | "ESTAB" => Self::Established,
            "SYNSENT" => Self::SynSent,
            "SYNRECV" | "SYNRCVD" | "SYNRECEIVED" | "NEWSYNRECV" => Self::SynRecv,
            "FINWAIT1" => Self::FinWait1,
            "FINWAIT2" => Self::FinWait2,
            "TIMEWAIT" => Self::TimeWait,
            "CLOSE" | "CLOSED" | "UNCONN" => Self::Close,
            "CLOSEWAIT" => Self::CloseWait,
            "LASTACK" => Self::LastAck,
            "LISTEN" | "LISTENING" => Self::Listen,
            "CLOSING" => Self::Closing,
            _ => return Err(UnknownState(word.to_owned())),
        })
    }
}

/// Addresses and ports of a connection. An IPv4-mapped connection of a dual-stack socket has IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Local address; unspecified for a listener on every address.
    pub laddr: IpAddr,
    /// Local port; `None` while the socket is unbound.
    pub lport: Option<u16>,
    /// Remote address; unspecified for a listener.
    pub raddr: IpAddr,
    /// Remote port; 0 for a listener.
    pub rport: u16,
}

impl Tuple {
    /// `"ipv4"` or `"ipv6"`, as every output spells it.
    #[must_use]
    pub const fn family(&self) -> &'static str {
        match self.raddr {
            IpAddr::V4(_) => "ipv4",
            IpAddr::V6(_) => "ipv6",
        }
    }
}

/// Identity of a connection over its whole life: the tracker's running number and, where the kernel has one, the
/// socket cookie (which `ss -e` prints as `sk:`). Printed as `COOKIE.NUMBER`, the cookie in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    /// Socket cookie; 0 where there is none.
    pub cookie: u64,
    /// Running number in this run; unique by itself.
    pub serial: u64,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.cookie, self.serial)
    }
}

impl FromStr for ConnectionId {
    type Err = NoConnectionId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Each row of a recording has one, and the searcher of `split_once` is made for longer texts.
        let dot = text.bytes().position(|byte| byte == b'.');
        let (cookie, serial) = text.split_at(dot.ok_or(NoConnectionId)?);
        let serial = &serial[1..];
        Ok(Self {
            cookie: u64::from_str_radix(cookie, 16).map_err(|_| NoConnectionId)?,
            serial: serial.parse().map_err(|_| NoConnectionId)?,
        })
    }
}

/// A text that is no identity of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an identity is COOKIE.NUMBER, the cookie in hexadecimal")]
pub struct NoConnectionId;

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// This end connected.
    Client,
    /// This end accepted.
    Server,
    /// A listening socket.
    Listener,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Client, Self::Server, Self::Listener];

    /// The word every output uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Listener => "listener",
        }
    }
}

/// How the owner of a socket is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnerSource {
    /// The task that called `connect`.
    Connect,
    /// The task that accepted it, or that was seen to use it.
    Accept,
    /// A task that holds it open, as a walk over the open files found.
    Snapshot,
    /// The task that called `listen`; on an accepted socket only a hint.
    Listen,
}

impl OwnerSource {
    /// Every source.
    pub const ALL: [Self; 4] = [Self::Connect, Self::Accept, Self::Snapshot, Self::Listen];

    /// The word every output uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Accept => "accept",
            Self::Snapshot => "snapshot",
            Self::Listen => "listen",
        }
    }
}

/// A task's name as the kernel keeps it: at most 15 bytes, any bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Comm(pub [u8; 16]);

impl Comm {
    /// The bytes before the terminating zero. Untrusted: escape them before they reach any output.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(self.0.len());
        &self.0[..end]
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.bytes().escape_ascii().to_string())
    }
}

/// The process that a socket belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Process id, as the initial pid namespace numbers it.
    pub pid: u32,
    /// User id, as the initial user namespace numbers it.
    pub uid: u32,
    /// Name of the task.
    pub comm: Comm,
    /// How it is known.
    pub source: OwnerSource,
}

/// Payload that a connection has carried: what the kernel counts (`tcpi_bytes_acked`, `tcpi_bytes_received`) without the
/// one that SYN and FIN each add to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bytes {
    /// Sent by this end and acknowledged, bytes.
    pub sent: u64,
    /// Received by this end, bytes.
    pub received: u64,
}

/// Id of a container, as docker, containerd, CRI-O and podman write it: 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId(pub [u8; 32]);

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ContainerId {
    type Err = NoContainerId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NoContainerId);
        }
        for (index, byte) in id.iter_mut().enumerate() {
            let digits = &text[2 * index..2 * index + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| NoContainerId)?;
        }
        Ok(Self(id))
    }
}

/// A text that is no container id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a container id has 64 hexadecimal digits")]
pub struct NoContainerId;

/// Why a connection, or a state of it, ended. The words are the same in every output and in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A reset arrived (`ECONNRESET`, `EPIPE`).
    Reset,
    /// The peer refused the connection (`ECONNREFUSED`).
    Refused,
    /// Retransmissions or keepalive gave up (`ETIMEDOUT`).
    Timeout,
    /// The network said that the peer cannot be reached (`EHOSTUNREACH`, `ENETUNREACH`).
    Unreachable,
    /// This end aborted (`SO_LINGER` 0, unread data, `SOCK_DESTROY`, data for an orphan).
    Aborted,
    /// The timer of a TIME_WAIT or FIN_WAIT2 ran out.
    Expired,
    /// A new connection took the place of a TIME_WAIT.
    Reused,
    /// The listener of a half-open connection was closed.
    ListenerClosed,
    /// No TIME_WAIT was made because there are `tcp_max_tw_buckets` already.
    TwOverflow,
    /// The network namespace went away.
    NetnsGone,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::Reset,
        Self::Refused,
        Self::Timeout,
        Self::Unreachable,
        Self::Aborted,
        Self::Expired,
        Self::Reused,
        Self::ListenerClosed,
        Self::TwOverflow,
        Self::NetnsGone,
    ];

    /// The word every output uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Aborted => "aborted",
            Self::Expired => "expired",
            Self::Reused => "reused",
            Self::ListenerClosed => "listener_closed",
            Self::TwOverflow => "tw_overflow",
            Self::NetnsGone => "netns_gone",
        }
    }
}

/// One transition of one connection, complete for every view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition {
    /// `CLOCK_MONOTONIC`, ns.
    pub mono_ns: u64,
    /// The connection.
    pub id: ConnectionId,
    /// Kernel address of the socket, as bcc's tcpstates shows it; 0 where a recording has none.
    pub skaddr: u64,
    /// Inode of the network namespace.
    pub netns: u32,
    /// Addresses and ports; `None` where they could not be learned.
    pub tuple: Option<Tuple>,
    /// State left.
    pub from: TcpState,
    /// State entered.
    pub to: TcpState,
    /// Time spent in `from`, ns; `None` where it is not known or has no meaning.
    pub dwell_ns: Option<u64>,
    /// A time of this transition was recovered or bounded, not seen.
    pub estimated: bool,
    /// Why it ended, where it did and the cause is known.
    pub reason: Option<Reason>,
    /// Who opened.
    pub role: Option<Role>,
    /// The owner, as far as known.
    pub owner: Option<Owner>,
    /// Id of the socket's cgroup (version 2), as `ss --cgroup` takes it.
    pub cgroup: Option<u64>,
    /// The container that the cgroup belongs to. Unknown to the tracker: filled in on the way to the views.
    pub container: Option<ContainerId>,
    /// Payload carried, in the last transition of a connection whose full socket was seen to close.
    pub bytes: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_reads_its_own_name_and_number() {
        for state in TcpState::ALL {
            assert_eq!(state.name().parse(), Ok(state));
            assert_eq!(TcpState::from_kernel(state as u8), Some(state));
        }
        assert_eq!(TcpState::from_kernel(12), Some(TcpState::SynRecv));
        for number in [0, 13, 16, 255] {
            assert_eq!(TcpState::from_kernel(number), None);
        }
    }

    #[test]
    fn states_read_in_any_usual_spelling() {
        for (word, state) in [
            ("TIME-WAIT", TcpState::TimeWait),
            ("time_wait", TcpState::TimeWait),
            ("TCP_TIME_WAIT", TcpState::TimeWait),
            ("ESTAB", TcpState::Established),
            ("SYN-RECV", TcpState::SynRecv),
            ("SYN_RCVD", TcpState::SynRecv),
            ("FIN-WAIT-1", TcpState::FinWait1),
            ("UNCONN", TcpState::Close),
            ("closed", TcpState::Close),
        ] {
            assert_eq!(word.parse(), Ok(state), "{word}");
        }
        for word in ["", "TCP", "TIME", "FIN_WAIT3", "ESTABLISHED2"] {
            assert_eq!(word.parse::<TcpState>(), Err(UnknownState(word.to_owned())));
        }
    }
}
