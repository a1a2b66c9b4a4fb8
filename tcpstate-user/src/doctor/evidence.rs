//! What the rules look at: numbers of one network namespace, whoever gathered them. No I/O. What is not known is `None`.
mod settings;

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Serialize, Serializer};

pub use self::settings::Settings;
use crate::tcp::TcpState;

/// One network namespace.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Space {
    /// Its inode.
    pub netns: u32,
    /// What `ip netns` calls it.
    pub name: Option<String>,
    /// Kernel settings.
    pub settings: Settings,
    /// Kernel counters.
    pub counters: Counters,
    /// The sockets as the kernel's tables show them.
    pub sockets: Option<Sockets>,
    /// What was measured.
    pub measured: Option<Measured>,
}

/// How long a socket must have been in a state that passes in milliseconds to be taken for stuck there, ms.
pub const LASTING_MS: u64 = 5_000;
/// Without keepalive, an established connection that has been quiet for so long may have lost its peer unnoticed, ms:
/// what keepalive would wait by default (`tcp_keepalive_time`).
pub const IDLE_MS: u64 = 7_200_000;
/// Owners, peers, destinations and listeners kept at most.
pub const MOST: usize = 5;

/// Counters of `/proc/net/netstat` and `/proc/net/snmp`, and gauges of `/proc/net/sockstat`, by the kernel's names.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counters {
    /// Since the namespace exists: since boot for the initial one.
    pub total: BTreeMap<String, u64>,
    /// How much they grew while we watched.
    pub watched: Option<Watched>,
    /// Values of now: `orphan`, `tw`, … of TCP.
    pub sockstat: BTreeMap<String, u64>,
}

/// Growth of counters.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Watched {
    /// How long we watched, ms.
    pub span_ms: u64,
    /// Growth by name.
    pub grown: BTreeMap<String, u64>,
}

impl Counters {
    /// Total since the namespace exists.
    #[must_use]
    pub fn total(&self, name: &str) -> Option<u64> {
        self.total.get(name).copied()
    }

    /// Growth while we watched.
    #[must_use]
    pub fn grown(&self, name: &str) -> Option<u64> {
        self.watched.as_ref()?.grown.get(name).copied()
    }
}

/// The sockets of a namespace as `sock_diag` shows them now.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sockets {
    /// By state.
    #[serde(serialize_with = "by_state")]
    pub states: [InState; 12],
    /// Where this host connects to, with the local ports that takes; most first, at most [`MOST`].
    pub destinations: Vec<Destination>,
    /// Listeners that somebody waits for; the fullest first, at most [`MOST`].
    pub listeners: Vec<Listener>,
}

impl Sockets {
    /// Those in `state`.
    #[must_use]
    pub fn of(&self, state: TcpState) -> &InState {
        &self.states[state.index()]
    }

    /// Connections with a peer that may still answer: all but listeners and TIME_WAIT.
    #[must_use]
    pub fn connections(&self) -> u64 {
        TcpState::live()
            .filter(|state| !matches!(state, TcpState::Listen | TcpState::TimeWait))
            .map(|state| self.of(state).sockets)
            .sum()
    }
}

/// The sockets in one state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InState {
    /// All of them.
    pub sockets: u64,
    /// Timewait mini-sockets among them.
    pub minis: u64,
    /// Those that no process holds: these, and full sockets that were closed or are not accepted yet.
    pub orphans: u64,
    /// Those whose last segment has been sent again, a SYN or SYN-ACK once, anything else twice, without an answer.
    pub unanswered: u64,
    /// Those whose peer has no room: the kernel probes for some.
    pub probing: u64,
    /// Those with a keepalive timer.
    pub keepalive: u64,
    /// Those without, quiet for [`IDLE_MS`].
    pub idle: u64,
    /// Those that have certainly been here for [`LASTING_MS`]: in CLOSE_WAIT, and FIN_WAIT2 with a process, which an
    /// acknowledgment opens, the last acknowledgment came before that. 0 elsewhere.
    pub lasting: u64,
    /// Remote addresses of those that are unanswered, most first, at most [`MOST`].
    pub peers: Vec<(IpAddr, u64)>,
}

/// Connections that differ in nothing but their local port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Destination {
    /// Local address.
    pub laddr: IpAddr,
    /// Remote address.
    pub raddr: IpAddr,
    /// Remote port.
    pub rport: u16,
    /// Local ports in use, of those that the kernel may choose.
    pub ports: u64,
    /// Those of them that a TIME_WAIT holds.
    pub time_wait: u64,
}

/// The listening sockets of one address and port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// Address.
    pub laddr: IpAddr,
    /// Port.
    pub lport: u16,
    /// Connections that wait to be accepted.
    pub waiting: u64,
    /// How many may wait: the backlog of `listen`, cut to `somaxconn`; of all sockets together where several share the
    /// port.
    pub limit: u64,
    /// Half-open connections.
    pub half_open: u64,
    /// Listening sockets that have no room: one more waits than their limit.
    pub full: u64,
    /// The process, escaped, where it was seen.
    pub owner: Option<String>,
}

/// What a measurement has shown of a namespace.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Measured {
    /// How long it took, ms.
    pub span_ms: u64,
    /// Facts that were lost meanwhile, in the whole host.
    pub lost: u64,
    /// By state.
    #[serde(serialize_with = "by_state")]
    pub states: [Sojourn; 12],
}

impl Measured {
    /// What was measured of `state`.
    #[must_use]
    pub fn of(&self, state: TcpState) -> &Sojourn {
        &self.states[state.index()]
    }
}

/// Sockets in one state, as measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sojourn {
    /// Sockets in it at the end.
    pub sockets: u64,
    /// Those of them that have certainly been there for [`LASTING_MS`].
    pub lasting: u64,
    /// Connections that entered it meanwhile.
    pub entered: u64,
    /// Stays that ended meanwhile, as far as their length is known.
    pub finished: Option<Finished>,
    /// Who holds the sockets, most first, at most [`MOST`]; of those in CLOSE_WAIT, only the lasting ones and those that
    /// were there for half of a shorter measurement. An owner that is only guessed from the listener is no owner here.
    pub holders: Vec<Held>,
    /// Holders beside those.
    pub other_holders: u64,
}

/// Stays that ended, µs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Finished {
    /// How many.
    pub count: u64,
    /// Half of them were no longer.
    pub p50_us: u64,
    /// 99 of 100 were no longer.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// A process and its sockets in one state. All names are escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The process; `None` where it is not known, or where there is none (any more).
    pub pid: Option<u32>,
    /// Name of its task.
    pub comm: Option<String>,
    /// Its command line.
    pub command_line: Option<String>,
    /// Sockets.
    pub sockets: u64,
    /// Age of the oldest in this state, ms.
    pub oldest_ms: u64,
    /// That age is known exactly; else it is at least that.
    pub exact: bool,
    /// Remote addresses, most first, at most [`MOST`].
    pub peers: Vec<(IpAddr, u64)>,
    /// Remote addresses beside those.
    pub other_peers: u64,
}

/// An object by the names of the live states.
fn by_state<S: Serializer, T: Serialize>(
    states: &[T; 12],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(TcpState::live().map(|state| (state.name(), &states[state.index()])))
}
