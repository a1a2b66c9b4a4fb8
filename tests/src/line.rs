//! The JSON of event commands, as product.md promises it: every field there, none besides.
use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Deserializer};

/// One transition.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "product.md says what each field means")]
pub struct Line {
    pub v: u32,
    pub time: String,
    pub mono_ns: u64,
    pub id: String,
    #[serde(deserialize_with = "present")]
    pub skaddr: Option<String>,
    #[serde(deserialize_with = "present")]
    pub family: Option<String>,
    pub netns: u32,
    #[serde(deserialize_with = "present")]
    pub laddr: Option<IpAddr>,
    #[serde(deserialize_with = "present")]
    pub lport: Option<u16>,
    #[serde(deserialize_with = "present")]
    pub raddr: Option<IpAddr>,
    #[serde(deserialize_with = "present")]
    pub rport: Option<u16>,
    pub from: String,
    pub to: String,
    #[serde(deserialize_with = "present")]
    pub dwell_ns: Option<u64>,
    pub estimated: bool,
    #[serde(deserialize_with = "present")]
    pub reason: Option<String>,
    #[serde(deserialize_with = "present")]
    pub role: Option<String>,
    #[serde(deserialize_with = "present")]
    pub pid: Option<u32>,
    #[serde(deserialize_with = "present")]
    pub uid: Option<u32>,
    #[serde(deserialize_with = "present")]
    pub comm: Option<String>,
    #[serde(deserialize_with = "present")]
    pub owner_source: Option<String>,
    #[serde(deserialize_with = "present")]
    pub cgroup: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub container: Option<String>,
    pub seq: u64,
}

/// A field that may be `null` but not absent, which is what serde would make of an `Option` by itself.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

/// The summary record.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "product.md says what each field means")]
pub struct Summary {
    pub v: u32,
    pub summary: bool,
    pub transitions: u64,
    pub by_transition: BTreeMap<String, u64>,
    #[serde(deserialize_with = "present")]
    pub kernel_transitions: Option<BTreeMap<String, u64>>,
    pub lost: BTreeMap<String, u64>,
    pub tracked: u64,
    pub cpu_seconds: f64,
    #[serde(deserialize_with = "present")]
    pub bpf_seconds: Option<f64>,
}

/// The causes of loss that must be in every summary.
const CAUSES: [&str; 5] = [
    "ring_full",
    "table_full",
    "reader_slow",
    "writer_slow",
    "missed_start",
];

impl Line {
    /// Reads a line and checks what holds for each by itself.
    ///
    /// # Panics
    /// It is not as promised.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let line: Self = serde_json::from_str(text)
            .unwrap_or_else(|error| panic!("not a line of JSON as promised: {error}: {text}"));
        assert_eq!(line.v, 1, "{text}");
        // 2024-05-06T07:08:09.123456789Z
        assert_eq!((line.time.len(), &line.time[10..11]), (30, "T"), "{text}");
        assert!(line.time.ends_with('Z'), "{text}");
        let skaddr = line.skaddr.as_ref();
        assert!(skaddr.is_none_or(|skaddr| skaddr.len() == 16), "{text}");
        let family = match line.raddr {
            None => None,
            Some(IpAddr::V4(_)) => Some("ipv4"),
            Some(IpAddr::V6(_)) => Some("ipv6"),
        };
        assert_eq!(line.family.as_deref(), family, "{text}");
        assert_eq!(
            line.laddr.map(|ip| ip.is_ipv4()),
            line.raddr.map(|ip| ip.is_ipv4()),
            "{text}"
        );
        let owner = line.owner_source.is_some();
        assert_eq!(line.pid.is_some(), owner, "{text}");
        assert_eq!(line.uid.is_some(), owner, "{text}");
        assert_eq!(line.comm.is_some(), owner, "{text}");
        line
    }

    /// The transition, as the summary spells it: `CLOSE->SYN_SENT`.
    #[must_use]
    pub fn edge(&self) -> String {
        format!("{}->{}", self.from, self.to)
    }
}

impl Summary {
    /// Reads the record.
    ///
    /// # Panics
    /// It is not as promised.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let summary: Self = serde_json::from_str(text)
            .unwrap_or_else(|error| panic!("no summary as promised: {error}: {text}"));
        assert!(summary.v == 1 && summary.summary, "{text}");
        for cause in CAUSES {
            assert!(summary.lost.contains_key(cause), "no {cause}: {text}");
        }
        assert_eq!(
            summary.transitions,
            summary.by_transition.values().sum::<u64>(),
            "{text}"
        );
        summary
    }

    /// Checks that nothing was lost: the other numbers are worth nothing otherwise.
    ///
    /// # Panics
    /// Something was.
    pub fn assert_nothing_lost(&self) {
        let lost: Vec<_> = self.lost.iter().filter(|(_, count)| **count > 0).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
    }
}
