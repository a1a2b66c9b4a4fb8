//! What a report says: plain numbers and words. JSON is these, as they are; the page shows them and nothing else.
use std::net::IpAddr;

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::advice::AdviceFindings;
use crate::{
    source::Lost,
    tcp::{Owner, TcpState, Tuple},
};

/// One value for each state that something is known of, in the order in which a connection goes through them.
#[derive(Clone, Debug)]
pub(super) struct ByState<T>(pub(super) Vec<(TcpState, T)>);

impl<T> ByState<T> {
    /// What is known of `state`.
    pub(super) fn get(&self, state: TcpState) -> Option<&T> {
        let mut pairs = self.0.iter();
        pairs.find(|(of, _)| *of == state).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (TcpState, &T)> {
        self.0.iter().map(|(state, value)| (*state, value))
    }
}

impl<T: Serialize> Serialize for ByState<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (state, value) in self.iter() {
            map.serialize_entry(state.name(), value)?;
        }
        map.end()
    }
}

fn name<S: Serializer>(state: &TcpState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.name())
}

/// The whole report.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Findings {
    pub(super) v: u32,
    pub(super) about: Subject,
    /// RFC 3339, UTC.
    pub(super) begin: String,
    /// RFC 3339, UTC.
    pub(super) end: String,
    pub(super) span_ns: u64,
    pub(super) transitions: u64,
    pub(super) transitions_per_second: Option<f64>,
    pub(super) lost: Lost,
    /// Why the recording ends early, if it does.
    pub(super) incomplete: Option<String>,
    pub(super) states: ByState<StateFindings>,
    pub(super) edges: Vec<EdgeFindings>,
    pub(super) over_time: OverTime,
    pub(super) ends: Vec<End>,
    pub(super) ranked: ByState<Ranked>,
    /// `None` where there was nothing to look at, as with a recording.
    pub(super) advice: Option<Vec<AdviceFindings>>,
}

/// Which host was measured, with what.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Subject {
    /// Version of the tool that measured.
    pub(super) tool: String,
    /// Release of the kernel. Untrusted, as all text here.
    pub(super) kernel: String,
    /// Name of the host.
    pub(super) host: String,
    /// Which probes were attached.
    pub(super) tier: String,
    /// The command line that made the report.
    pub(super) command: String,
}

/// What is known of a state.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StateFindings {
    pub(super) entered: u64,
    pub(super) left: u64,
    pub(super) entered_per_second: Option<f64>,
    pub(super) left_per_second: Option<f64>,
    pub(super) open: OpenSockets,
    /// Live count minus the kernel's at the last comparison.
    pub(super) drift: Option<i64>,
    pub(super) dwell: Dwells,
    pub(super) slowest: Vec<StayFindings>,
}

/// Sockets still in a state.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct OpenSockets {
    pub(super) sockets: u64,
    pub(super) unknown_age: u64,
    pub(super) oldest_ns: Option<u64>,
    pub(super) oldest_at_least_ns: Option<u64>,
}

/// Lengths of finished stays.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Dwells {
    pub(super) count: u64,
    pub(super) unknown: u64,
    pub(super) estimated: u64,
    /// Longer than 24 hours.
    pub(super) outliers: u64,
    pub(super) min_us: Option<u64>,
    pub(super) mean_us: Option<f64>,
    pub(super) p50_us: Option<u64>,
    pub(super) p90_us: Option<u64>,
    pub(super) p99_us: Option<u64>,
    pub(super) p999_us: Option<u64>,
    pub(super) max_us: Option<u64>,
    pub(super) distribution: Vec<Bucket>,
    pub(super) percentiles: Vec<Percentile>,
}

/// Stays from `from_us` to less than `to_us`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Bucket {
    pub(super) from_us: f64,
    pub(super) to_us: f64,
    pub(super) count: u64,
}

/// A share of `quantile` of the stays was not longer than `us`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Percentile {
    pub(super) quantile: f64,
    pub(super) us: u64,
}

/// One of the longest stays.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StayFindings {
    /// `None` where only a lower bound is known.
    pub(super) dwell_ns: Option<u64>,
    pub(super) at_least_ns: u64,
    pub(super) estimated: bool,
    /// The state after it; `None` while the socket is still there.
    pub(super) to: Option<&'static str>,
    pub(super) reason: Option<&'static str>,
    #[serde(flatten)]
    pub(super) connection: Addresses,
    #[serde(flatten)]
    pub(super) owner: Process,
}

/// Addresses and ports.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Addresses {
    pub(super) laddr: Option<IpAddr>,
    pub(super) lport: Option<u16>,
    pub(super) raddr: Option<IpAddr>,
    pub(super) rport: Option<u16>,
}

impl Addresses {
    pub(super) fn of(tuple: Option<Tuple>) -> Self {
        Self {
            laddr: tuple.map(|tuple| tuple.laddr),
            lport: tuple.and_then(|tuple| tuple.lport),
            raddr: tuple.map(|tuple| tuple.raddr),
            rport: tuple.map(|tuple| tuple.rport),
        }
    }
}

/// The process that a socket belongs to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Process {
    pub(super) pid: Option<u32>,
    pub(super) uid: Option<u32>,
    /// Untrusted.
    pub(super) comm: Option<String>,
    pub(super) owner_source: Option<&'static str>,
}

impl Process {
    pub(super) fn of(owner: Option<Owner>) -> Self {
        Self {
            pid: owner.map(|owner| owner.pid),
            uid: owner.map(|owner| owner.uid),
            comm: owner.map(|owner| String::from_utf8_lossy(owner.comm.bytes()).into_owned()),
            owner_source: owner.map(|owner| owner.source.name()),
        }
    }
}

/// An edge of the state diagram.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct EdgeFindings {
    #[serde(serialize_with = "name")]
    pub(super) from: TcpState,
    #[serde(serialize_with = "name")]
    pub(super) to: TcpState,
    /// Whether the diagram of RFC 9293 has it.
    pub(super) rfc9293: bool,
    pub(super) count: u64,
    pub(super) per_second: Option<f64>,
    /// Known times spent in `from`.
    pub(super) dwell_count: u64,
    pub(super) dwell_p50_us: Option<u64>,
    pub(super) dwell_max_us: Option<u64>,
}

/// What happened over time; times are ns since the begin.
#[derive(Clone, Debug, Serialize)]
pub(super) struct OverTime {
    pub(super) width_ns: u64,
    pub(super) begin_ns: Vec<u64>,
    pub(super) end_ns: Vec<u64>,
    /// Transitions into each state, by bin.
    pub(super) entered: ByState<Vec<u64>>,
    pub(super) sampled_ns: Vec<u64>,
    /// Sockets in each state, by sample.
    pub(super) sockets: ByState<Vec<u64>>,
}

/// Connections that ended in a way.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct End {
    #[serde(serialize_with = "name")]
    pub(super) state: TcpState,
    pub(super) reason: Option<&'static str>,
    pub(super) count: u64,
}

/// Who has, or had, sockets in a state.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ranked {
    pub(super) processes: PartyList<Holder>,
    pub(super) peers: PartyList<Peer>,
}

/// The first of many, and the others together.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PartyList<T> {
    pub(super) first: Vec<PartyFindings<T>>,
    pub(super) others: usize,
    pub(super) others_open: u64,
    pub(super) others_entered: u64,
    /// Of these, sockets of parties too many to be told apart.
    pub(super) unranked: u64,
}

/// A process, with its command line where it still runs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Holder {
    #[serde(flatten)]
    pub(super) process: Process,
    /// Untrusted.
    pub(super) command_line: Option<String>,
}

/// A remote address.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Peer {
    pub(super) raddr: Option<IpAddr>,
}

/// What one party has in the state, and had.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PartyFindings<T> {
    #[serde(flatten)]
    pub(super) who: T,
    /// `None` for a party that was not followed.
    pub(super) entered: Option<u64>,
    /// Longest finished stay.
    pub(super) longest_ns: Option<u64>,
    #[serde(flatten)]
    pub(super) open: OpenSockets,
}
