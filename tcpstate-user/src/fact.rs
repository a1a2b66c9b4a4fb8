//! Facts: what the kernel said, decoded and typed, before any opinion about it.
use crate::tcp::{Owner, TcpState, Tuple};

/// One fact about one kernel object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fact {
    /// `CLOCK_MONOTONIC`, ns.
    pub time_ns: u64,
    /// Kernel address of the object.
    pub object: u64,
    /// Inode of its network namespace.
    pub netns: u32,
    /// Its addresses and ports as the object has them at that moment.
    pub tuple: Tuple,
    /// What is said about it.
    pub kind: FactKind,
}

/// What a fact says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FactKind {
    /// A full socket changes state.
    Transition {
        /// State left.
        old: TcpState,
        /// State entered.
        new: TcpState,
        /// Pending error of the socket, an errno; 0 if none.
        error: u32,
        /// What is said only when a socket connects, listens, or leaves `SYN_RECV`.
        opened: Option<Opened>,
    },
    /// A full socket exists in this state.
    Socket {
        /// Its state.
        state: TcpState,
        /// Socket cookie; 0 if none.
        cookie: u64,
    },
}

/// What the kernel says once in a socket's life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Opened {
    /// Socket cookie; 0 if none.
    pub cookie: u64,
    /// The task that connects or listens.
    pub owner: Option<Owner>,
}
