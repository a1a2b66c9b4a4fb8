//! Ephemeral ports: how many there are, and how many of them one destination takes. A connection is told from others by
//! its four numbers, so each pair of local address and destination has the whole range to itself.
use std::{hash::BuildHasher as _, time::Duration};

use anyhow::Context as _;
use hashbrown::DefaultHashBuilder;

use crate::{
    netns::{self, Netns, Object},
    tcp::Role,
    tracker::Open,
};

/// How often the use of ports is looked at, at most.
pub const USED_EVERY: Duration = Duration::from_secs(5);

/// The ports that `connect` chooses from in a network namespace: the range without those reserved in it.
///
/// # Errors
/// The kernel does not tell.
pub fn available(ns: &Netns) -> anyhow::Result<u64> {
    let read = |path| netns::read(ns, Object::Setting(path));
    let range = read("ipv4/ip_local_port_range").context("reading net.ipv4.ip_local_port_range")?;
    let reserved =
        read("ipv4/ip_local_reserved_ports").context("reading net.ipv4.ip_local_reserved_ports")?;
    count(&range, &reserved).context("net.ipv4.ip_local_port_range is no range")
}

/// Ports in `range` (`32768 60999`) that are not in the list `reserved` (`8080,9148-9150`), which does not overlap.
pub(crate) fn count(range: &str, reserved: &str) -> Option<u64> {
    let mut ends = range.split_whitespace().map(str::parse);
    let (first, last): (u16, u16) = (ends.next()?.ok()?, ends.next()?.ok()?);
    let (first, last) = (u64::from(first), u64::from(last));
    let mut ports = (last + 1).checked_sub(first)?;
    for part in reserved.trim().split(',').filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
        let (from, to) = (u64::from(from), u64::from(to));
        ports = ports.checked_sub((to.min(last) + 1).saturating_sub(from.max(first)))?;
    }
    Some(ports)
}

/// Connections by where they go, of one network namespace. Each counts as a hash of 64 bits: 2 million destinations
/// share one by chance once in 10 million looks, and sorting hashes takes a twentieth of the time that a table would.
pub struct Destinations {
    netns: u32,
    hasher: DefaultHashBuilder,
    seen: Vec<u64>,
}

impl Destinations {
    /// None yet, of the namespace with this inode.
    #[must_use]
    pub fn of(netns: u32) -> Self {
        Self {
            netns,
            hasher: DefaultHashBuilder::default(),
            seen: Vec::new(),
        }
    }

    /// Takes an open connection, if it is a client's there. One that was there before the measurement began may be: its
    /// role is not known. A server's cannot disturb: few of its connections share a peer's address and port.
    pub fn add(&mut self, open: &Open) {
        if let Some(tuple) = open.tuple
            && open.netns == self.netns
            && !matches!(open.role, Some(Role::Server | Role::Listener))
        {
            let destination = (tuple.laddr, tuple.raddr, tuple.rport);
            self.seen.push(self.hasher.hash_one(destination));
        }
    }

    /// Ports that the destination with the most connections takes. Forgets them all.
    pub fn take_most(&mut self) -> u64 {
        self.seen.sort_unstable();
        let runs = self.seen.chunk_by(|one, next| one == next);
        let most = runs.map(<[u64]>::len).max().unwrap_or(0);
        self.seen.clear();
        most as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::{ConnectionId, TcpState, Tuple};

    #[test]
    fn reserved_ports_are_not_available() {
        for (range, reserved, ports) in [
            ("32768\t60999\n", "\n", Some(28_232)),
            ("10000 10009\n", "10003\n", Some(9)),
            (
                "10000 10009\n",
                "80,9990-10001,10009-10020,40000\n",
                Some(7),
            ),
            ("10000 10009\n", "1-65535\n", Some(0)),
            ("", "", None),
            ("10000", "", None),
            // What the kernel never writes.
            ("1 65536", "", None),
            ("0 18446744073709551615", "", None),
            ("1 9", "1-9,1-9", None),
            ("1 9", "0-18446744073709551615", None),
        ] {
            assert_eq!(
                count(range, reserved),
                ports,
                "{range:?} without {reserved:?}"
            );
        }
    }

    #[test]
    fn each_destination_has_the_range_to_itself() {
        let mut destinations = Destinations::of(1);
        let mut add = |netns, role, raddr: &str, rport| {
            destinations.add(&Open {
                id: ConnectionId {
                    cookie: 0,
                    serial: 1,
                },
                skaddr: 1,
                netns,
                tuple: Some(Tuple {
                    laddr: "10.0.0.1".parse().expect("an address"),
                    lport: Some(40_000),
                    raddr: raddr.parse().expect("an address"),
                    rport,
                }),
                state: TcpState::Established,
                since_ns: None,
                seen_ns: 0,
                role,
                owner: None,
                cgroup: None,
                bytes: None,
            });
        };
        for _ in 0..3 {
            add(1, Some(Role::Client), "10.0.0.2", 80);
            add(1, Some(Role::Server), "10.0.0.2", 443);
            add(2, Some(Role::Client), "10.0.0.2", 80);
        }
        add(1, None, "10.0.0.2", 80);
        add(1, Some(Role::Client), "10.0.0.3", 80);
        assert_eq!(destinations.take_most(), 4);
        assert_eq!(destinations.take_most(), 0);
    }
}
