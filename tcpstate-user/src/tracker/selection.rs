//! Which connections are followed: the filters that hold for a connection's whole life.
use std::net::IpAddr;

use crate::tcp::Tuple;

/// A range of ports, both ends included; a single port is a range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

impl Port {
    fn holds(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// Values of one filter are alternatives; different filters must all agree; an empty one admits everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// IPv4 only.
    pub ipv4: bool,
    /// IPv6 only; both or neither: every family.
    pub ipv6: bool,
    /// Local ports.
    pub local_ports: Vec<Port>,
    /// Remote ports.
    pub remote_ports: Vec<Port>,
}

impl Selection {
    /// Whether no filter is set.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.ipv4 == self.ipv6 && self.local_ports.is_empty() && self.remote_ports.is_empty()
    }

    /// Whether a connection with this tuple is followed; `None` if that depends on a local port not yet chosen.
    #[must_use]
    pub fn admits(&self, tuple: &Tuple) -> Option<bool> {
        let family = self.ipv4 == self.ipv6
            || match tuple.raddr {
                IpAddr::V4(_) => self.ipv4,
                IpAddr::V6(_) => self.ipv6,
            };
        let any =
            |ports: &[Port], port| ports.is_empty() || ports.iter().any(|range| range.holds(port));
        if !family || !any(&self.remote_ports, tuple.rport) {
            return Some(false);
        }
        match tuple.lport {
            Some(port) => Some(any(&self.local_ports, port)),
            None if self.local_ports.is_empty() => Some(true),
            None => None,
        }
    }
}
