//! What the tracker tells of the connections that are open now.
use crate::tcp::{Bytes, ConnectionId, Owner, Role, TcpState, Tuple};

/// A connection that is followed now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Open {
    /// Its identity.
    pub id: ConnectionId,
    /// Kernel address of the socket, full or mini; 0 in a replay.
    pub skaddr: u64,
    /// Inode of its network namespace.
    pub netns: u32,
    /// Addresses and ports; `None` where they could not be learned.
    pub tuple: Option<Tuple>,
    /// Its state.
    pub state: TcpState,
    /// When it entered that state, monotonic, ns; `None` if that was not seen.
    pub since_ns: Option<u64>,
    /// When it was first seen in that state, monotonic, ns.
    pub seen_ns: u64,
    /// Who opened it.
    pub role: Option<Role>,
    /// Its owner, as far as known.
    pub owner: Option<Owner>,
    /// Its cgroup, as far as known.
    pub cgroup: Option<u64>,
    /// Payload that it has carried, once its full socket has closed.
    pub bytes: Option<Bytes>,
}

impl Open {
    /// Time spent in its state up to `now_ns`, ns, and whether that is exact; else it is a lower bound.
    #[must_use]
    pub fn age(&self, now_ns: u64) -> (u64, bool) {
        let since_ns = self.since_ns.unwrap_or(self.seen_ns);
        (now_ns.saturating_sub(since_ns), self.since_ns.is_some())
    }
}

/// Sockets still in a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StillOpen {
    /// How many.
    pub sockets: u64,
    /// How many of them were already in that state when they were first seen.
    pub unknown_age: u64,
    /// Age of the oldest in ns; a lower bound where `unknown_age` is not 0. `None` if there is no socket.
    pub oldest_ns: Option<u64>,
}

impl StillOpen {
    /// Counts one more.
    pub fn add(&mut self, open: &Open, now_ns: u64) {
        let (age_ns, exact) = open.age(now_ns);
        self.sockets += 1;
        self.unknown_age += u64::from(!exact);
        self.oldest_ns = self.oldest_ns.max(Some(age_ns));
    }
}
