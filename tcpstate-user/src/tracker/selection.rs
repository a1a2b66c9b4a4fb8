//! Which connections are followed: the filters that hold for a connection's whole life.
use std::net::IpAddr;

use hashbrown::HashSet;
use ipnet::IpNet;

use crate::tcp::{Comm, Owner, OwnerSource, Role, Tuple};

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
    /// Networks of the local address.
    pub local_nets: Vec<IpNet>,
    /// Networks of the remote address.
    pub remote_nets: Vec<IpNet>,
    /// Inodes of network namespaces.
    pub netns: Vec<u32>,
    /// Processes that own the socket.
    pub pids: Vec<u32>,
    /// Names of tasks that own the socket.
    pub comms: Vec<Comm>,
    /// Ids of cgroups; every cgroup if `None`. Who fills it resolves an id before the first fact that carries it.
    pub cgroups: Option<HashSet<u64>>,
}

impl Selection {
    /// Whether every connection passes by its tuple, so that one passes whose tuple is not known.
    #[must_use]
    pub fn takes_any_tuple(&self) -> bool {
        self.ipv4 == self.ipv6
            && self.local_ports.is_empty()
            && self.remote_ports.is_empty()
            && self.local_nets.is_empty()
            && self.remote_nets.is_empty()
    }

    /// Whether connections of this network namespace are followed.
    #[must_use]
    pub fn admits_netns(&self, netns: u32) -> bool {
        self.netns.is_empty() || self.netns.contains(&netns)
    }

    /// Whether a connection with this tuple is followed; `None` if that depends on a local port or address that is not
    /// chosen yet.
    #[must_use]
    pub fn admits(&self, tuple: &Tuple) -> Option<bool> {
        let family = self.ipv4 == self.ipv6
            || match tuple.raddr {
                IpAddr::V4(_) => self.ipv4,
                IpAddr::V6(_) => self.ipv6,
            };
        let any =
            |ports: &[Port], port| ports.is_empty() || ports.iter().any(|range| range.holds(port));
        let within = |nets: &[IpNet], address: IpAddr| {
            nets.is_empty() || nets.iter().any(|net| net.contains(&address))
        };
        if !family
            || !any(&self.remote_ports, tuple.rport)
            || !within(&self.remote_nets, tuple.raddr)
        {
            return Some(false);
        }
        // A socket that connects has no local port, and may have no address, until the kernel has found a route.
        let undecided = tuple.lport.is_none();
        let local = (self.local_ports.is_empty() || tuple.lport.is_some())
            && (self.local_nets.is_empty() || !undecided);
        let port = tuple.lport.is_none_or(|port| any(&self.local_ports, port));
        let address = undecided || within(&self.local_nets, tuple.laddr);
        match (local, port && address) {
            (_, false) => Some(false),
            (true, true) => Some(true),
            (false, true) => None,
        }
    }

    /// Whether what is followed depends on the owner or the cgroup.
    #[must_use]
    pub fn asks_for_owner(&self) -> bool {
        !self.pids.is_empty() || !self.comms.is_empty() || self.cgroups.is_some()
    }

    /// Whether a connection of this owner and cgroup is followed; `None` as long as that is not known. The owner of a
    /// listener is only a hint to that of an accepted socket, unless `hints` are good enough.
    #[must_use]
    pub fn admits_owner(
        &self,
        role: Option<Role>,
        owner: Option<&Owner>,
        cgroup: Option<u64>,
        hints: bool,
    ) -> Option<bool> {
        let certain = owner.filter(|owner| {
            hints || owner.source != OwnerSource::Listen || role == Some(Role::Listener)
        });
        let pid = ask(!self.pids.is_empty(), certain, |owner| {
            self.pids.contains(&owner.pid)
        });
        let comm = ask(!self.comms.is_empty(), certain, |owner| {
            self.comms
                .iter()
                .any(|comm| comm.bytes() == owner.comm.bytes())
        });
        let place = match &self.cgroups {
            Some(inside) => cgroup.map(|cgroup| inside.contains(&cgroup)),
            None => Some(true),
        };
        let all = [pid, comm, place];
        if all.contains(&Some(false)) {
            Some(false)
        } else if all.contains(&None) {
            None
        } else {
            Some(true)
        }
    }
}

/// The answer to one filter: yes if it is not set, unknown as long as there is no owner to ask about.
fn ask(set: bool, owner: Option<&Owner>, matches: impl Fn(&Owner) -> bool) -> Option<bool> {
    if set { owner.map(matches) } else { Some(true) }
}
