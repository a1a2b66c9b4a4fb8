//! Gathers the evidence of a namespace from the running kernel: settings, counters, sockets. Works for an ordinary user.
mod sockets;

use std::{collections::BTreeMap, time::Instant};

use super::evidence::{Counters, Settings, Space, Watched};
use crate::{
    netns::{self, Netns, Object, Table},
    netstat,
};

/// Counters that rules and reports name: those of `TcpExt`, and those of `Tcp` in `/proc/net/snmp`.
const NAMES: &[&str] = &[
    "ListenOverflows",
    "ListenDrops",
    "TCPTimeWaitOverflow",
    "TCPReqQFullDoCookies",
    "TCPReqQFullDrop",
    "SyncookiesSent",
    "SyncookiesRecv",
    "SyncookiesFailed",
    "TW",
    "TWRecycled",
    "TWKilled",
    "TCPAbortOnData",
    "TCPAbortOnClose",
    "TCPAbortOnMemory",
    "TCPAbortOnTimeout",
    "TCPAbortOnLinger",
    "TCPAbortFailed",
    "TCPBacklogDrop",
    "TCPTimeouts",
    "TCPSynRetrans",
    "ActiveOpens",
    "PassiveOpens",
    "AttemptFails",
    "EstabResets",
    "RetransSegs",
    "OutRsts",
];

/// A namespace under examination: counters of before, to tell by how much they grow.
#[derive(Debug)]
pub struct Subject {
    netns: Netns,
    before: BTreeMap<String, u64>,
    since: Instant,
}

impl Subject {
    /// Begins to watch a namespace's counters.
    ///
    /// # Errors
    /// It cannot be entered.
    pub fn begin(netns: Netns) -> anyhow::Result<Self> {
        netns::check(&netns)?;
        Ok(Self {
            before: counters(&netns),
            netns,
            since: Instant::now(),
        })
    }

    /// The inode of the namespace.
    #[must_use]
    pub fn inode(&self) -> u32 {
        self.netns.inode
    }

    /// What there is to see now; with the growth of counters if `watched`. What could not be read goes to `missing`.
    ///
    /// # Errors
    /// It cannot be entered any more.
    pub fn space(&self, watched: bool, missing: &mut Vec<String>) -> anyhow::Result<Space> {
        netns::check(&self.netns)?;
        let settings = settings(&self.netns);
        let sockets = sockets::gather(&self.netns, &settings);
        let total = counters(&self.netns);
        let watched = watched.then(|| Watched {
            span_ms: u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            grown: total
                .iter()
                .filter_map(|(name, now)| {
                    let before = self.before.get(name)?;
                    Some((name.clone(), now.checked_sub(*before)?))
                })
                .collect(),
        });
        let sockets = match sockets {
            Ok(sockets) => Some(sockets),
            Err(error) => {
                missing.push(format!("sockets of {}: {error}", self.netns));
                None
            }
        };
        if total.is_empty() {
            missing.push(format!(
                "counters of {}: /proc/net/netstat cannot be read",
                self.netns
            ));
        }
        Ok(Space {
            netns: self.netns.inode,
            name: self.netns.name.clone(),
            settings,
            counters: Counters {
                total,
                watched,
                sockstat: sockstat(&self.netns),
            },
            sockets,
            measured: None,
        })
    }
}

/// The settings of a namespace, as far as it has them.
fn settings(ns: &Netns) -> Settings {
    let read = |path: &&'static str| {
        let name = path.rsplit('/').next()?;
        let text = netns::read(ns, Object::Setting(path)).ok()?;
        Some((name.to_owned(), text.trim().to_owned()))
    };
    Settings(Settings::PATHS.iter().filter_map(read).collect())
}

/// The counters of a namespace that are of use here.
fn counters(ns: &Netns) -> BTreeMap<String, u64> {
    let mut all = netstat::tcp(ns);
    all.retain(|name, _| NAMES.contains(&name.as_str()));
    all
}

fn sockstat(ns: &Netns) -> BTreeMap<String, u64> {
    tcp_line(&netns::read(ns, Object::Table(Table::Sockstat)).unwrap_or_default())
}

/// The TCP line of `/proc/net/sockstat`: `TCP: inuse 5 orphan 0 tw 3 alloc 8 mem 1`.
pub(crate) fn tcp_line(text: &str) -> BTreeMap<String, u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"));
    let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
    words
        .chunks_exact(2)
        .filter_map(|pair| Some((pair[0].to_owned(), pair[1].parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_can_be_looked_at_by_everybody() {
        let subject = Subject::begin(netns::current().unwrap()).unwrap();
        let mut missing = Vec::new();
        let space = subject.space(true, &mut missing).unwrap();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(space.settings.number("tcp_fin_timeout").is_some());
        assert!(space.settings.usable_ports().is_some());
        assert!(space.counters.total("ListenOverflows").is_some());
        assert!(space.counters.grown("ListenOverflows").is_some());
        assert!(space.counters.sockstat.contains_key("orphan"));
        assert!(space.sockets.is_some());
    }
}
