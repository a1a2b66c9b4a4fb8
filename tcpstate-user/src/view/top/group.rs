//! Groups of sockets: by process, remote address, local port, container or network namespace.
use std::{fmt, net::IpAddr};

use crate::{
    places::Places,
    sink::printable,
    tcp::{Comm, ContainerId},
    tracker::Open,
};

/// What sockets are grouped by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    /// The process that owns them.
    #[default]
    Process,
    /// The remote address, whatever its port.
    Remote,
    /// The local port.
    LocalPort,
    /// The container that their cgroup shows, else the cgroup.
    Container,
    /// The network namespace.
    Namespace,
}

impl Grouping {
    /// Every one, in the order of the left and right keys.
    pub const ALL: [Self; 5] = [
        Self::Process,
        Self::Remote,
        Self::LocalPort,
        Self::Container,
        Self::Namespace,
    ];

    /// Its name on the screen.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Remote => "remote",
            Self::LocalPort => "localport",
            Self::Container => "container",
            Self::Namespace => "namespace",
        }
    }

    /// The one after it, or before it if not `forward`, round and round.
    #[must_use]
    pub fn beside(self, forward: bool) -> Self {
        let count = Self::ALL.len();
        let step = if forward { 1 } else { count - 1 };
        let index = Self::ALL.iter().position(|one| *one == self).unwrap_or(0);
        Self::ALL[(index + step) % count]
    }

    /// The group that `open` belongs to.
    #[must_use]
    pub fn key(self, open: &Open, places: &mut Places) -> Key {
        let key = match self {
            Self::Process => open.owner.map(|owner| Key::Process(owner.pid)),
            Self::Remote => open.tuple.map(|tuple| Key::Remote(tuple.raddr)),
            Self::LocalPort => open.tuple.and_then(|tuple| tuple.lport).map(Key::LocalPort),
            Self::Container => open.cgroup.map(|cgroup| {
                let container = places.container(cgroup);
                container.map_or(Key::Cgroup(cgroup), Key::Container)
            }),
            Self::Namespace => Some(Key::Namespace(open.netns)),
        };
        key.unwrap_or(Key::Unknown)
    }
}

/// What the sockets of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Process id.
    Process(u32),
    /// Remote address.
    Remote(IpAddr),
    /// Local port.
    LocalPort(u16),
    /// Container.
    Container(ContainerId),
    /// Id of a cgroup that shows no container.
    Cgroup(u64),
    /// Inode of a network namespace.
    Namespace(u32),
    /// Nobody knows.
    Unknown,
}

impl Key {
    /// Its text with all names that are known, safe to show; `comm` is that of a process.
    #[must_use]
    pub fn label(&self, comm: Option<&Comm>, places: &mut Places) -> String {
        let name = match self {
            Self::Process(_) => comm.map(|comm| printable(comm.bytes())),
            Self::Cgroup(id) => places
                .cgroup(*id)
                .map(|cgroup| printable(cgroup.path.as_bytes())),
            Self::Namespace(inode) => places
                .netns_name(*inode)
                .map(|name| printable(name.as_bytes())),
            Self::Remote(_) | Self::LocalPort(_) | Self::Container(_) | Self::Unknown => None,
        };
        match (self, name) {
            (Self::Cgroup(_), Some(path)) => path,
            (key, Some(name)) => format!("{key} {name}"),
            (key, None) => key.to_string(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(pid) => write!(f, "{pid}"),
            Self::Remote(address) => write!(f, "{address}"),
            Self::LocalPort(port) => write!(f, "{port}"),
            Self::Container(id) => write!(f, "{}", short(id)),
            Self::Cgroup(id) => write!(f, "cgroup {id}"),
            Self::Namespace(inode) => write!(f, "{inode}"),
            Self::Unknown => f.write_str("- (not known)"),
        }
    }
}

/// The first twelve digits, as container tools show them.
#[must_use]
pub fn short(id: &ContainerId) -> String {
    let mut text = id.to_string();
    text.truncate(12);
    text
}
