//! The contract between kernel side and user side: the records that cross the ring buffers, the counters that user
//! space reads, and the kernel fields whose offsets the loader supplies. All integers are in host byte order;
//! addresses are in network byte order, as they stand on the wire.
//!
//! Three record sizes exist, each of which begins with the smaller ones. A [`Record`] carries what changes at every
//! transition together with the tuple, so that each one can be understood, filtered and attributed on its own, even when
//! its neighbours were lost. A [`MiniRecord`] adds what belongs to a mini-socket, a [`FullRecord`] what is worth saying
//! once in an object's life.
//!
//! ```text
//! Record      0        8        16       32       48    52    54    56   57  58  59     60    64
//!             | time   | object | laddr  | raddr  |netns|lport|rport|kind|old|new|family|error|cpu|
//! MiniRecord  0 … 64   64        72      80
//!             | Record | related | value |
//! FullRecord  0 … 80       80       88       96    100   104   120
//!             | MiniRecord | cookie | cgroup | tgid| uid | comm |
//! ```
#![cfg_attr(target_arch = "bpf", no_std)]
mod filter;

#[cfg(not(target_arch = "bpf"))]
use zerocopy::FromBytes;

pub use self::filter::{FILTER_VALUES, Filter, Lengths, Net, Ports};

/// Version of the records below; it changes with any change of their meaning or layout.
pub const ABI_VERSION: u32 = 4;

/// What a record says. The value stands in [`Record::kind`].
pub mod kind {
    /// A full socket changed state (`sock:inet_sock_set_state`).
    pub const TRANSITION: u8 = 1;
    /// The same, as a [`FullRecord`](crate::FullRecord) with what is worth saying at that moment, where it is
    /// [wanted](crate::Want): a socket connects, listens, leaves `SYN_RECV`, closes, or its owner shuts it down. Where it closes, `value` is the payload
    /// received and `related` the payload sent and acknowledged, bytes.
    pub const DETAILED: u8 = 2;
    /// A full socket met by an iterator walk; `new` is its state.
    pub const SOCKET: u8 = 3;
    /// A timewait socket met by an iterator walk; `new` is its substate, `value` the jiffies until its timer ends.
    pub const TIMEWAIT: u8 = 4;
    /// A request socket met by an iterator walk.
    pub const REQUEST: u8 = 5;
    /// A timewait socket takes over from a full socket; `new` is its substate.
    pub const TIMEWAIT_CREATED: u8 = 6;
    /// A timewait socket's timer starts again; `new` is its substate, which may just have changed.
    pub const TIMEWAIT_REARMED: u8 = 7;
    /// A timewait socket is gone; `new` is its last substate, `old` one of [`cause`](crate::cause).
    pub const TIMEWAIT_ENDED: u8 = 8;
    /// A full socket gets no timewait socket because there are too many; `object` is the full socket.
    pub const TIMEWAIT_OVERFLOW: u8 = 9;
    /// A segment for a timewait socket was processed; `new` is the substate after it, `old` 1 if it was a reset.
    pub const TIMEWAIT_SEGMENT: u8 = 10;
    /// A request socket enters the listen queue; `related` is its listener.
    pub const REQUEST_ADDED: u8 = 11;
    /// A request socket is gone; `old` one of [`cause`](crate::cause). Sent for an accepted one as well.
    pub const REQUEST_ENDED: u8 = 12;
    /// The timer of a mini-socket starts; `old` tells which kind ([`mini`](crate::mini)), `new` a timewait
    /// socket's substate, `value` the jiffies until the timer ends.
    pub const TIMER_START: u8 = 13;
    /// The timer of a mini-socket is taken off its wheel: stopped, moved, or about to run out. `error` is 1 where a
    /// workqueue did it.
    pub const TIMER_CANCEL: u8 = 14;
    /// The timer of a mini-socket runs out.
    pub const TIMER_EXPIRE: u8 = 15;
    /// The current task accepts, or uses, a full socket: it is its owner.
    pub const USED: u8 = 16;
    /// A task that an iterator walk met holds a full socket open. Only `time_ns`, `object` and the owner are filled.
    pub const HELD: u8 = 17;
    /// As [`TRANSITION`], of a listener's child that goes from `SYN_RECV` to `CLOSE` and is not TCP Fast Open's: it was
    /// never anybody's. Two segments that complete one handshake at the same time make two, or the accept queue is full.
    pub const STILLBORN: u8 = 18;
}

/// Kinds of mini-socket, in [`Record::old`] of a timer's fact: the state in which `ss` shows them.
pub mod mini {
    /// A timewait socket.
    pub const TIMEWAIT: u8 = 6;
    /// A request socket.
    pub const REQUEST: u8 = 3;
}

/// Why a mini-socket ended, as far as the kernel side can tell; in [`Record::old`] of an `…_ENDED` fact.
pub mod cause {
    /// Nothing was seen that would explain it.
    pub const UNKNOWN: u8 = 0;
    /// Its timer ran out.
    pub const TIMER: u8 = 1;
    /// A reset arrived.
    pub const RESET: u8 = 2;
    /// A SYN arrived that starts a new connection.
    pub const SYN: u8 = 3;
    /// Taken off by something other than a segment: a new connection takes its place.
    pub const TAKEN: u8 = 4;
    /// Taken off by a workqueue: its network namespace goes.
    pub const NETNS: u8 = 5;
    /// `SOCK_DESTROY`.
    pub const ABORT: u8 = 6;
    /// The network reports the peer as unreachable.
    pub const UNREACHABLE: u8 = 7;
    /// A segment other than a reset.
    pub const SEGMENT: u8 = 8;
}

/// Length of a task's name in the kernel, with its terminating zero.
pub const COMM_LEN: usize = 16;

/// `AF_INET`; [`Record::family`] of a connection over IPv4, also on a dual-stack IPv6 socket.
pub const FAMILY_IPV4: u8 = 2;
/// `AF_INET6`.
pub const FAMILY_IPV6: u8 = 10;

/// One fact of the kernel: 64 bytes, one cache line.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(not(target_arch = "bpf"), derive(FromBytes))]
pub struct Record {
    /// `CLOCK_MONOTONIC`, ns, taken after the record was reserved in its ring.
    pub time_ns: u64,
    /// Kernel address of the object that the fact is about (socket, timewait socket, request).
    pub object: u64,
    /// Local address, by words in memory order; an IPv4 address is the first word.
    pub laddr: [u32; 4],
    /// Remote address, likewise.
    pub raddr: [u32; 4],
    /// Inode of the network namespace.
    pub netns: u32,
    /// Local port; 0 while the socket is unbound.
    pub lport: u16,
    /// Remote port; 0 where there is none.
    pub rport: u16,
    /// One of [`kind`].
    pub kind: u8,
    /// Kernel number of the state left.
    pub old: u8,
    /// Kernel number of the state entered.
    pub new: u8,
    /// [`FAMILY_IPV4`] or [`FAMILY_IPV6`].
    pub family: u8,
    /// The socket's pending error (`sk_err`, an errno), 0 if none.
    pub error: u16,
    /// CPU on which the fact was stated.
    pub cpu: u16,
}

/// A fact about a mini-socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(not(target_arch = "bpf"), derive(FromBytes))]
pub struct MiniRecord {
    /// The fact itself.
    pub record: Record,
    /// Kernel address of the other object of the fact (the listener of a request); 0 if none.
    pub related: u64,
    /// A number that belongs to the kind of fact.
    pub value: u64,
}

/// A fact with what is said once in an object's life.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(not(target_arch = "bpf"), derive(FromBytes))]
pub struct FullRecord {
    /// The fact, with the other object and the number that belong to its kind.
    pub mini: MiniRecord,
    /// Socket cookie; 0 where the kernel has none or the helper does not exist (5.10).
    pub cookie: u64,
    /// Id of the socket's cgroup (version 2); 0 if not known.
    pub cgroup: u64,
    /// Process id (`tgid`) of the socket's owner, 0 where this fact does not tell.
    pub tgid: u32,
    /// User id of that task.
    pub uid: u32,
    /// Name of that task, zero-terminated, by words in memory order.
    pub comm: [u64; COMM_LEN / 8],
}

const _: () = assert!(size_of::<Record>() == 64 && align_of::<Record>() == 8);
const _: () = assert!(size_of::<MiniRecord>() == 80 && align_of::<MiniRecord>() == 8);
const _: () = assert!(size_of::<FullRecord>() == 120 && align_of::<FullRecord>() == 8);

/// What the programs say beyond states and tuples; each level costs more than the one before.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Nothing.
    States = 0,
    /// Who connects and listens.
    Openers = 1,
    /// And who shuts a socket down, its cookie, its cgroup, and the payload that it has carried.
    Everything = 2,
}

/// Number of states that the transition matrix has room for, in each direction; a power of two above the kernel's
/// largest state number, so that a mask bounds every index for the verifier.
pub const STATES: usize = 16;

/// Why the kernel side could not deliver a fact; index into [`Counters::lost`].
#[repr(usize)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The ring buffer of the CPU had no room.
    RingFull = 0,
}

/// Number of causes in [`Loss`].
pub const LOSSES: usize = 1;

/// Transitions that may wait on one CPU for the second program to look at them: one for each level of interrupts, and
/// those few that it never saw because an interrupt came while it was running.
pub const STATED: usize = 8;

/// Counters of one CPU. They are exact whatever happens to the ring buffers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    /// Transitions of TCP sockets that the tracepoint reported, at `old * STATES + new`.
    pub transitions: [u64; STATES * STATES],
    /// Facts not delivered, by cause.
    pub lost: [u64; LOSSES],
    /// Records written; one in so many wakes the reader.
    pub written: u64,
    /// What the main program has stated and the second one has not looked at yet: the sockets.
    pub stated: [u64; STATED],
    /// And the states; 0 where there is nothing.
    pub stated_states: [u64; STATED],
    /// Transitions that the second program stated, because the kernel did not run the first for them.
    pub nested: u64,
}

/// A field of a kernel structure whose offset the loader reads from the running kernel's BTF.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name of the program's read-only global that takes the offset in bytes.
    pub symbol: &'static str,
    /// The structure the path starts from.
    pub structure: &'static str,
    /// Field names separated by dots; anonymous members are passed through.
    pub path: &'static str,
}

/// Calls the macro `$with` with every `SYMBOL = structure.path` that the programs need.
#[macro_export]
macro_rules! for_each_field {
    ($with:ident) => {
        $with! {
            SK_FAMILY = "sock_common" "skc_family",
            SK_STATE = "sock_common" "skc_state",
            SK_HASH = "sock_common" "skc_hash",
            SK_DADDR = "sock_common" "skc_daddr",
            SK_RCV_SADDR = "sock_common" "skc_rcv_saddr",
            SK_V6_DADDR = "sock_common" "skc_v6_daddr",
            SK_V6_RCV_SADDR = "sock_common" "skc_v6_rcv_saddr",
            SK_DPORT = "sock_common" "skc_dport",
            SK_NUM = "sock_common" "skc_num",
            SK_NET = "sock_common" "skc_net.net",
            SK_PROTOCOL = "sock" "sk_protocol",
            SK_ERR = "sock" "sk_err",
            SK_OWNED = "sock" "sk_lock.owned",
            SK_CGROUP = "sock" "sk_cgrp_data",
            CGROUP_NODE = "cgroup" "kn",
            CGROUP_ID = "kernfs_node" "id",
            TCP_BYTES_RECEIVED = "tcp_sock" "bytes_received",
            TCP_BYTES_ACKED = "tcp_sock" "bytes_acked",
            TCP_FASTOPEN = "tcp_sock" "fastopen_rsk",
            INET_SPORT = "inet_sock" "inet_sport",
            NET_INUM = "net" "ns.inum",
            TW_SUBSTATE = "inet_timewait_sock" "tw_substate",
            TW_TIMER = "inet_timewait_sock" "tw_timer",
            REQ_TIMER = "request_sock" "rsk_timer",
            REQ_LISTENER = "sock_common" "skc_listener",
            TIMER_EXPIRES = "timer_list" "expires",
            TIMER_FUNCTION = "timer_list" "function",
            SKB_HEAD = "sk_buff" "head",
            SKB_TRANSPORT_HEADER = "sk_buff" "transport_header",
            TASK_FLAGS = "task_struct" "flags",
            TASK_TGID = "task_struct" "tgid",
            TASK_COMM = "task_struct" "comm",
            TASK_CRED = "task_struct" "cred",
            CRED_UID = "cred" "uid.val",
            FILE_INODE = "file" "f_inode",
            FILE_PRIVATE = "file" "private_data",
            INODE_SUPER = "inode" "i_sb",
            SUPER_MAGIC = "super_block" "s_magic",
            SOCKET_SK = "socket" "sk",
        }
    };
}

macro_rules! field_table {
    ($($symbol:ident = $structure:literal $path:literal,)*) => {
        /// Every field the programs read, for the loader.
        pub const FIELDS: &[Field] = &[
            $(Field { symbol: stringify!($symbol), structure: $structure, path: $path },)*
        ];
    };
}
for_each_field!(field_table);
