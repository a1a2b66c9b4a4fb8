//! The kernel's own counters of TCP, as `/proc/net/netstat` and `/proc/net/snmp` show them for a network namespace.
use std::collections::BTreeMap;

use crate::netns::{self, Netns, Object, Table};

/// The counters of a namespace by the kernel's names; empty where they cannot be read.
#[must_use]
pub fn tcp(ns: &Netns) -> BTreeMap<String, u64> {
    let [netstat, snmp] = [Table::Netstat, Table::Snmp]
        .map(|table| netns::read(ns, Object::Table(table)).unwrap_or_default());
    let mut all = section(&netstat, "TcpExt:");
    all.extend(section(&snmp, "Tcp:"));
    all
}

/// One section of `netstat` or `snmp`: a line of names and a line of values, both of which begin with `title`. Values
/// that are no count (`MaxConn` is -1) are left out.
pub(crate) fn section(text: &str, title: &str) -> BTreeMap<String, u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(title));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return BTreeMap::new();
    };
    names
        .split_whitespace()
        .zip(values.split_whitespace())
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read_by_name() {
        let text = "IpExt: TW\nIpExt: 9\nTcpExt: SyncookiesSent TW\nTcpExt: 3 17\n";
        let expected = BTreeMap::from([("SyncookiesSent".to_owned(), 3), ("TW".to_owned(), 17)]);
        assert_eq!(section(text, "TcpExt:"), expected);
        let snmp = section("Tcp: MaxConn ActiveOpens\nTcp: -1 5\n", "Tcp:");
        assert_eq!(snmp, BTreeMap::from([("ActiveOpens".to_owned(), 5)]));
        for text in ["", "TcpExt: TW", "TcpExt: \nTcpExt: \n"] {
            assert!(section(text, "TcpExt:").is_empty(), "{text:?}");
        }
    }
}
