//! Fields of kernel structures. Their offsets are read-only globals that the loader fills from the running kernel's
//! BTF, so the verifier sees constants and the loads are single instructions.
use core::mem::MaybeUninit;

use aya_ebpf::{
    Global,
    helpers::{
        bpf_probe_read_kernel,
        generated::{self, bpf_get_current_task, bpf_get_socket_cookie, bpf_jiffies64},
    },
};
use tcpstate_ebpf::{COMM_LEN, FAMILY_IPV4, FAMILY_IPV6, Record, Want, for_each_field};

macro_rules! field_globals {
    ($($symbol:ident = $structure:literal $path:literal,)*) => {
        $(
            #[doc = concat!("Offset of `", $structure, ".", $path, "`.")]
            #[unsafe(no_mangle)]
            static $symbol: Global<u32> = Global::new(0);
        )*
    };
}
for_each_field!(field_globals);

/// 1 where `bpf_get_socket_cookie` takes a traced socket (5.12 and later), else 0.
#[unsafe(no_mangle)]
static HAS_COOKIE: Global<u8> = Global::new(0);

/// One of [`Want`].
#[unsafe(no_mangle)]
static WANT: Global<u8> = Global::new(0);

/// Address of the kernel function that ends a timewait socket, 0 where timers are not watched.
#[unsafe(no_mangle)]
pub static TW_TIMER_HANDLER: Global<u64> = Global::new(0);

/// Address of the kernel function that resends a SYN-ACK, 0 where timers are not watched.
#[unsafe(no_mangle)]
pub static REQ_TIMER_HANDLER: Global<u64> = Global::new(0);

/// A kernel object, opaque: a `struct sock`, something that begins with a `struct sock_common`, or what leads to one.
#[repr(C)]
pub struct Sock(u8);

/// How the memory of an object is read.
pub trait Access {
    /// How what it points to is read.
    type Beyond: Access;

    /// The field of type `T` that begins `offset` bytes into `base`.
    fn load<T: Copy + Default>(base: *const Sock, offset: u32) -> T;
}

/// Through a pointer whose BTF type the verifier knows: a single instruction.
pub struct Typed;

/// Through a helper, for an object that was found by arithmetic, as the owner of a timer is.
pub struct Probed;

impl Access for Typed {
    type Beyond = Self;

    #[inline(always)]
    fn load<T: Copy + Default>(base: *const Sock, offset: u32) -> T {
        // SAFETY: the verifier follows the BTF type of `base` and rejects what is no field; a fault reads 0.
        unsafe { base.byte_add(offset as usize).cast::<T>().read_volatile() }
    }
}

impl Access for Probed {
    type Beyond = Self;

    #[inline(always)]
    fn load<T: Copy + Default>(base: *const Sock, offset: u32) -> T {
        // SAFETY: the helper checks the address.
        unsafe { bpf_probe_read_kernel(base.byte_add(offset as usize).cast::<T>()) }
            .unwrap_or_default()
    }
}

/// From a copy of the object's beginning on the program's own stack.
pub struct Copied;

impl Access for Copied {
    type Beyond = Probed;

    #[inline(always)]
    fn load<T: Copy + Default>(base: *const Sock, offset: u32) -> T {
        // SAFETY: the verifier sees a constant offset, and rejects what is not within the copy.
        unsafe { base.byte_add(offset as usize).cast::<T>().read_volatile() }
    }
}

/// A copy of the `struct sock_common` with which a socket of any kind begins, and of a little more: one call of a helper
/// where each field would take one.
#[repr(C, align(8))]
pub struct Common(MaybeUninit<[u8; COMMON_BYTES]>);

/// More than `struct sock_common` has, less than the smallest of sockets, a request. The substate of a timewait socket comes
/// right behind.
const COMMON_BYTES: usize = 152;

impl Common {
    /// Copies the beginning of the socket at `sk`; zeroes where that is no address.
    #[inline(always)]
    pub fn of(sk: *const Sock) -> Self {
        let mut copy = MaybeUninit::<[u8; COMMON_BYTES]>::uninit();
        // SAFETY: the helper checks the address, and writes all of the copy even where it fails.
        unsafe {
            generated::bpf_probe_read_kernel(
                copy.as_mut_ptr().cast(),
                COMMON_BYTES as u32,
                sk.cast(),
            );
        }
        Self(copy)
    }

    /// `tw_substate` of the timewait socket at `tw`, of which this is a copy.
    #[inline(always)]
    pub fn substate(&self, tw: *const Sock) -> u8 {
        if (TW_SUBSTATE.load() as usize) < COMMON_BYTES {
            Sock::substate::<Copied>(self.as_sock())
        } else {
            Sock::substate::<Probed>(tw)
        }
    }

    /// To be read by [`Copied`].
    #[inline(always)]
    pub fn as_sock(&self) -> *const Sock {
        self.0.as_ptr().cast()
    }
}

/// Where the flags stand in a TCP header (RFC 9293, section 3.1).
const TCP_FLAGS_OFFSET: u32 = 13;
/// `PF_WQ_WORKER` (`include/linux/sched.h`).
const PF_WQ_WORKER: u32 = 0x20;
/// `PF_KTHREAD`, likewise.
const PF_KTHREAD: u32 = 0x0020_0000;
/// `SOCKFS_MAGIC` (`include/uapi/linux/magic.h`): the file system of all sockets.
const SOCKFS_MAGIC: u64 = 0x534f_434b;
/// `IPPROTO_TCP`.
const IPPROTO_TCP: u16 = 6;

/// The first 96 bits of an IPv4-mapped IPv6 address, as loaded on this machine.
const MAPPED: [u32; 3] = [0, 0, 0xffff_u32.to_be()];

impl Sock {
    /// `IPPROTO_TCP` and nothing else: MPTCP, SCTP and DCCP use the same tracepoint.
    #[inline(always)]
    pub fn is_tcp<A: Access>(sk: *const Self) -> bool {
        A::load::<u16>(sk, SK_PROTOCOL.load()) == IPPROTO_TCP
    }

    /// Whether a task holds the socket's lock. A softirq that finds it held leaves the socket alone, so what happens
    /// to the socket meanwhile is done by that task.
    #[inline(always)]
    pub fn is_owned(sk: *const Self) -> bool {
        Typed::load::<u32>(sk, SK_OWNED.load()) != 0
    }

    /// Id of the socket's cgroup, 0 if it has none. Children carry their listener's.
    #[inline(always)]
    pub fn cgroup(sk: *const Self) -> u64 {
        let cgroup: usize = Probed::load(sk, SK_CGROUP.load());
        // 5.10 keeps a class there if one of the low bits is set.
        if cgroup & 3 != 0 {
            return 0;
        }
        let node: usize = Probed::load(cgroup as *const Self, CGROUP_NODE.load());
        Probed::load(node as *const Self, CGROUP_ID.load())
    }

    /// Payload that a full socket has received and that was acknowledged to it, bytes.
    #[inline(always)]
    pub fn payload(sk: *const Self) -> (u64, u64) {
        (
            Probed::load(sk, TCP_BYTES_RECEIVED.load()),
            Probed::load(sk, TCP_BYTES_ACKED.load()),
        )
    }

    /// Whether a full socket in `SYN_RECV` is TCP Fast Open's: the only kind that is there for others to see.
    #[inline(always)]
    pub fn is_fast_open(sk: *const Self) -> bool {
        Probed::load::<usize>(sk, TCP_FASTOPEN.load()) != 0
    }

    /// The socket behind an open file, null if it is none.
    #[inline(always)]
    pub fn of_file(file: *const Self) -> *const Self {
        let inode: usize = Typed::load(file, FILE_INODE.load());
        let super_block: usize = Probed::load(inode as *const Self, INODE_SUPER.load());
        let magic: u64 = Probed::load(super_block as *const Self, SUPER_MAGIC.load());
        if magic != SOCKFS_MAGIC {
            return core::ptr::null();
        }
        let socket: usize = Probed::load(file, FILE_PRIVATE.load());
        let sk: usize = Probed::load(socket as *const Self, SOCKET_SK.load());
        sk as *const Self
    }

    /// A socket of the internet protocols, over which TCP runs.
    #[inline(always)]
    pub fn is_inet<A: Access>(sk: *const Self) -> bool {
        let family: u16 = A::load(sk, SK_FAMILY.load());
        family == u16::from(FAMILY_IPV4) || family == u16::from(FAMILY_IPV6)
    }

    /// `sk_state`; 6 and 12 for timewait and request sockets.
    #[inline(always)]
    pub fn state(sk: *const Self) -> u8 {
        Typed::load(sk, SK_STATE.load())
    }

    /// Hash of the tuple of a socket that is or was connected, which stays the same until it connects again.
    #[inline(always)]
    pub fn hash(sk: *const Self) -> u32 {
        Typed::load(sk, SK_HASH.load())
    }

    /// The socket's pending error, an errno.
    #[inline(always)]
    pub fn error(sk: *const Self) -> u16 {
        Typed::load::<u32>(sk, SK_ERR.load()) as u16
    }

    /// The socket cookie, made on first use; 0 where the helper does not exist.
    #[inline(always)]
    pub fn cookie(sk: *const Self) -> u64 {
        if HAS_COOKIE.load() == 0 {
            return 0;
        }
        // SAFETY: the helper takes any socket that BTF knows.
        unsafe { bpf_get_socket_cookie(sk.cast_mut().cast()) }
    }

    /// The local port that survives `inet_put_port`, for a socket whose `skc_num` is already 0. Only for a `sk`
    /// that is an `inet_sock`, as every full TCP socket is; the field lies beyond `struct sock`, so a typed load is
    /// refused.
    #[inline(always)]
    pub fn source_port(sk: *const Self) -> u16 {
        u16::from_be(Probed::load(sk, INET_SPORT.load()))
    }

    /// `tw_substate` of a timewait socket: `FIN_WAIT2` or `TIME_WAIT`.
    #[inline(always)]
    pub fn substate<A: Access>(tw: *const Self) -> u8 {
        A::load(tw, TW_SUBSTATE.load())
    }

    /// The listener of a request socket.
    #[inline(always)]
    pub fn listener<A: Access>(request: *const Self) -> u64 {
        A::load(request, REQ_LISTENER.load())
    }

    /// Fills addresses, ports, family and namespace of `record`. An IPv4-mapped peer makes it IPv4: the kernel
    /// keeps the IPv4 fields of such a socket right from `connect` on, the mapped ones only later.
    #[inline(always)]
    pub fn describe<A: Access>(sk: *const Self, record: &mut Record) {
        let mut family = A::load::<u16>(sk, SK_FAMILY.load()) as u8;
        let mut local = [0; 4];
        let mut remote = [0; 4];
        if family == FAMILY_IPV6 {
            remote = address::<A>(sk, SK_V6_DADDR.load());
            if [remote[0], remote[1], remote[2]] == MAPPED {
                family = FAMILY_IPV4;
            } else {
                local = address::<A>(sk, SK_V6_RCV_SADDR.load());
            }
        }
        if family == FAMILY_IPV4 {
            local = [A::load(sk, SK_RCV_SADDR.load()), 0, 0, 0];
            remote = [A::load(sk, SK_DADDR.load()), 0, 0, 0];
        }
        record.laddr = local;
        record.raddr = remote;
        record.family = family;
        record.rport = u16::from_be(A::load(sk, SK_DPORT.load()));
        record.lport = A::load(sk, SK_NUM.load());
        let net: usize = A::load(sk, SK_NET.load());
        record.netns = A::Beyond::load(net as *const Self, NET_INUM.load());
    }
}

/// A timer of a mini-socket.
pub struct Timer;

impl Timer {
    /// The function that runs when the timer ends.
    #[inline(always)]
    pub fn function(timer: *const Sock) -> u64 {
        Typed::load(timer, TIMER_FUNCTION.load())
    }

    /// The timewait socket that `timer` belongs to.
    #[inline(always)]
    pub fn timewait(timer: *const Sock) -> *const Sock {
        timer.wrapping_byte_sub(TW_TIMER.load() as usize)
    }

    /// The request socket that `timer` belongs to.
    #[inline(always)]
    pub fn request(timer: *const Sock) -> *const Sock {
        timer.wrapping_byte_sub(REQ_TIMER.load() as usize)
    }

    /// Jiffies until `timer` ends, negative when it is over.
    #[inline(always)]
    pub fn remaining<A: Access>(timer: *const Sock) -> i64 {
        let expires: u64 = A::load(timer, TIMER_EXPIRES.load());
        // SAFETY: the helper has no preconditions.
        expires.wrapping_sub(unsafe { bpf_jiffies64() }) as i64
    }

    /// Jiffies until the timer of a timewait socket ends.
    #[inline(always)]
    pub fn timewait_remaining(tw: *const Sock) -> i64 {
        Self::remaining::<Probed>(tw.wrapping_byte_add(TW_TIMER.load() as usize))
    }
}

/// The flags byte of the TCP header of `skb`.
#[inline(always)]
pub fn tcp_flags(skb: *const Sock) -> u8 {
    let head: usize = Typed::load(skb, SKB_HEAD.load());
    let header: u16 = Typed::load(skb, SKB_TRANSPORT_HEADER.load());
    Probed::load(
        (head + usize::from(header)) as *const Sock,
        TCP_FLAGS_OFFSET,
    )
}

/// The flags byte of a TCP header.
#[inline(always)]
pub fn header_flags(header: *const Sock) -> u8 {
    Probed::load(header, TCP_FLAGS_OFFSET)
}

/// A task of which an iterator tells.
pub struct Task;

impl Task {
    /// Its process id, the user it works for, and its name.
    #[inline(always)]
    pub fn identity(task: *const Sock) -> (u32, u32, [u64; COMM_LEN / 8]) {
        let cred: usize = Probed::load(task, TASK_CRED.load());
        (
            Probed::load(task, TASK_TGID.load()),
            Probed::load(cred as *const Sock, CRED_UID.load()),
            Probed::load(task, TASK_COMM.load()),
        )
    }
}

/// Whether so much is wanted.
#[inline(always)]
pub fn want(what: Want) -> bool {
    WANT.load() >= what as u8
}

/// Whether a thread of the kernel runs here: it works on sockets for others.
#[inline(always)]
pub fn in_kernel_thread() -> bool {
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    Probed::load::<u32>(task as *const Sock, TASK_FLAGS.load()) & PF_KTHREAD != 0
}

/// Whether a workqueue runs here: what cleans up network namespaces. (A kernel thread alone says nothing: softirqs run
/// in the idle task and in ksoftirqd too.)
#[inline(always)]
pub fn in_worker() -> bool {
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    Probed::load::<u32>(task as *const Sock, TASK_FLAGS.load()) & PF_WQ_WORKER != 0
}

/// An IPv6 address by words: the verifier wants the type's own element size.
#[inline(always)]
fn address<A: Access>(sk: *const Sock, offset: u32) -> [u32; 4] {
    [
        A::load(sk, offset),
        A::load(sk, offset + 4),
        A::load(sk, offset + 8),
        A::load(sk, offset + 12),
    ]
}
