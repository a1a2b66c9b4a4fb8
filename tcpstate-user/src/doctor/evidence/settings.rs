//! Kernel settings of a namespace, as text of `/proc/sys`, and what they mean.
use std::{collections::BTreeMap, ops::RangeInclusive};

use serde::Serialize;

/// Settings by name: those of `net.ipv4`, and `somaxconn`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Settings(pub BTreeMap<String, String>);

impl Settings {
    /// The settings that rules look at, below `/proc/sys/net`. What a kernel does not have is not there.
    pub const PATHS: &[&str] = &[
        "core/somaxconn",
        "ipv4/ip_local_port_range",
        "ipv4/ip_local_reserved_ports",
        "ipv4/tcp_abort_on_overflow",
        "ipv4/tcp_fin_timeout",
        "ipv4/tcp_keepalive_intvl",
        "ipv4/tcp_keepalive_probes",
        "ipv4/tcp_keepalive_time",
        "ipv4/tcp_max_orphans",
        "ipv4/tcp_max_syn_backlog",
        "ipv4/tcp_max_tw_buckets",
        "ipv4/tcp_retries1",
        "ipv4/tcp_retries2",
        "ipv4/tcp_rfc1337",
        "ipv4/tcp_syn_linear_timeouts",
        "ipv4/tcp_syn_retries",
        "ipv4/tcp_synack_retries",
        "ipv4/tcp_syncookies",
        "ipv4/tcp_timestamps",
        "ipv4/tcp_tw_recycle",
        "ipv4/tcp_tw_reuse",
    ];

    /// A setting that is one number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.trim().parse().ok()
    }

    /// The ports that the kernel chooses local ports from, reserved ones included.
    #[must_use]
    pub fn port_range(&self) -> Option<RangeInclusive<u16>> {
        let text = self.0.get("ip_local_port_range")?;
        let mut words = text.split_whitespace().map(str::parse);
        match (words.next(), words.next()) {
            (Some(Ok(first)), Some(Ok(last))) if first <= last => Some(first..=last),
            _ => None,
        }
    }

    /// Ports of that range that the kernel must not choose.
    fn reserved(&self) -> Option<Vec<RangeInclusive<u16>>> {
        let text = self.0.get("ip_local_reserved_ports")?;
        let ranges = text.trim().split(',').filter(|range| !range.is_empty());
        ranges
            .map(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                Some(first.parse().ok()?..=last.parse().ok()?)
            })
            .collect()
    }

    /// The ports that the kernel may choose, as a test and as their number.
    #[must_use]
    pub fn usable_ports(&self) -> Option<(impl Fn(u16) -> bool + use<>, u64)> {
        let range = self.port_range()?;
        let reserved = self.reserved()?;
        let usable = move |port: u16| {
            range.contains(&port) && !reserved.iter().any(|range| range.contains(&port))
        };
        let number = (1..=u16::MAX).filter(|port| usable(*port)).count() as u64;
        Some((usable, number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(range: &str, reserved: &str) -> Settings {
        Settings(BTreeMap::from([
            ("ip_local_port_range".to_owned(), range.to_owned()),
            ("ip_local_reserved_ports".to_owned(), reserved.to_owned()),
        ]))
    }

    #[test]
    fn reserved_ports_are_not_usable() {
        for (range, reserved, number) in [
            ("32768\t60999\n", "\n", 28_232),
            ("1000 1009", "1000,1005-1020\n", 4),
            ("1000 1009", "80,443", 10),
            ("1 65535", "", 65_535),
        ] {
            let (usable, count) = settings(range, reserved).usable_ports().unwrap();
            assert_eq!(count, number, "{range} without {reserved}");
            assert!(!usable(0));
        }
        let (usable, _) = settings("1000 1009", "1003").usable_ports().unwrap();
        assert_eq!(
            [1002, 1003, 1009, 1010].map(usable),
            [true, false, true, false]
        );
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        for (range, reserved) in [("", ""), ("5", ""), ("9 5", ""), ("5 9", "x")] {
            assert!(
                settings(range, reserved).usable_ports().is_none(),
                "{range}|{reserved}"
            );
        }
        assert_eq!(Settings::default().number("tcp_fin_timeout"), None);
    }
}
