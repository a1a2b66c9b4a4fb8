//! The JSON of `life`, as `docs/output.md` promises it: every field there, none besides.
use std::{collections::BTreeMap, net::IpAddr, ops::RangeInclusive, time::Duration};

use serde::Deserialize;

use crate::line::present;

/// The life of one connection.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/output.md says what each field means")]
pub struct Whole {
    pub v: u32,
    pub time: String,
    pub mono_ns: u64,
    pub id: String,
    pub finished: bool,
    #[serde(deserialize_with = "present")]
    pub opened: Option<String>,
    #[serde(deserialize_with = "present")]
    pub opened_mono_ns: Option<u64>,
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
    #[serde(deserialize_with = "present")]
    pub role: Option<String>,
    #[serde(deserialize_with = "present")]
    pub closer: Option<String>,
    #[serde(deserialize_with = "present")]
    pub reason: Option<String>,
    pub last: String,
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
    #[serde(deserialize_with = "present")]
    pub bytes_sent: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub bytes_received: Option<u64>,
    #[serde(deserialize_with = "present")]
    pub total_ns: Option<u64>,
    pub estimated: bool,
    pub durations: BTreeMap<String, Option<u64>>,
    pub seq: u64,
}

impl Whole {
    /// Reads a line and checks what holds for each by itself.
    ///
    /// # Panics
    /// It is not as promised.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let life: Self = serde_json::from_str(text)
            .unwrap_or_else(|error| panic!("not a life as promised: {error}: {text}"));
        assert_eq!(life.v, 1, "{text}");
        assert_eq!(
            life.opened.is_some(),
            life.opened_mono_ns.is_some(),
            "{text}"
        );
        assert!(life.durations.contains_key(&life.last), "{text}");
        let stays: Option<Vec<u64>> = life.durations.values().copied().collect();
        if let (Some(stays), Some(opened_ns)) = (stays, life.opened_mono_ns) {
            assert_eq!(life.total_ns, Some(stays.iter().sum()), "{text}");
            assert_eq!(life.total_ns, life.mono_ns.checked_sub(opened_ns), "{text}");
        }
        life
    }

    /// Its ports, local and remote.
    #[must_use]
    pub fn ports(&self) -> (Option<u16>, Option<u16>) {
        (self.lport, self.rport)
    }

    /// Checks who opened it, who closed it first, and how it ended.
    ///
    /// # Panics
    /// It was otherwise.
    pub fn assert_ended(&self, role: &str, closer: &str, last: &str, reason: Option<&str>) {
        assert!(self.finished, "{self:#?}");
        let shown = (self.role.as_deref(), self.closer.as_deref());
        assert_eq!(shown, (Some(role), Some(closer)), "{self:#?}");
        let shown = (&*self.last, self.reason.as_deref());
        assert_eq!(shown, (last, reason), "{self:#?}");
    }

    /// Checks that it was seen from its opening to its end, in these states and no others, for a known time in each.
    ///
    /// # Panics
    /// It was not.
    pub fn assert_whole(&self, states: &[&str]) {
        let mut expected = states.to_vec();
        expected.sort_unstable();
        let entered: Vec<&str> = self.durations.keys().map(String::as_str).collect();
        assert_eq!(entered, expected, "{self:#?}");
        assert!(self.total_ns.is_some(), "{self:#?}");
        assert!(self.durations.values().all(Option::is_some), "{self:#?}");
    }

    /// Checks how long it was in `state`.
    ///
    /// # Panics
    /// It was longer or shorter, or that is not known.
    pub fn assert_stay(&self, state: &str, truth: &RangeInclusive<Duration>) {
        let stay = self.durations[state].map(Duration::from_nanos);
        assert!(
            stay.is_some_and(|stay| truth.contains(&stay)),
            "{stay:?} in {state} is not in {truth:?}: {self:#?}"
        );
    }
}
