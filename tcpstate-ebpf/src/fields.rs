//! Fields of kernel structures. Their offsets are read-only globals that the loader fills from the running kernel's
//! BTF, so the verifier sees constants and the loads are single instructions.
use aya_ebpf::{
    Global,
    helpers::{bpf_probe_read_kernel, generated::bpf_get_socket_cookie},
};
use tcpstate_ebpf::{FAMILY_IPV4, FAMILY_IPV6, Record, for_each_field};

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

/// A kernel `struct sock` or `struct sock_common`, opaque.
#[repr(C)]
pub struct Sock(u8);

/// Loads the field at `offset` of `base`.
#[inline(always)]
pub fn load<T: Copy>(base: *const Sock, offset: &Global<u32>) -> T {
    // SAFETY: the verifier follows the BTF type of `base` and rejects an offset that is no field; a fault reads 0.
    unsafe {
        base.byte_add(offset.load() as usize)
            .cast::<T>()
            .read_volatile()
    }
}

/// Loads four words of an IPv6 address; the verifier wants the type's own element size.
#[inline(always)]
fn load_v6(base: *const Sock, offset: &Global<u32>) -> [u32; 4] {
    let first = offset.load() as usize;
    // SAFETY: as in `load`.
    let word = |i: usize| unsafe { base.byte_add(first + 4 * i).cast::<u32>().read_volatile() };
    [word(0), word(1), word(2), word(3)]
}

/// `IPPROTO_TCP`.
const IPPROTO_TCP: u16 = 6;

/// The first 96 bits of an IPv4-mapped IPv6 address, as loaded on this machine.
const MAPPED: [u32; 3] = [0, 0, 0xffff_u32.to_be()];

impl Sock {
    /// `IPPROTO_TCP` and nothing else: MPTCP, SCTP and DCCP use the same tracepoint.
    #[inline(always)]
    pub fn is_tcp(sk: *const Self) -> bool {
        load::<u16>(sk, &SK_PROTOCOL) == IPPROTO_TCP
    }

    /// `sk_state`; 6 and 12 for timewait and request sockets.
    #[inline(always)]
    pub fn state(sk: *const Self) -> u8 {
        load(sk, &SK_STATE)
    }

    /// The socket's pending error, an errno.
    #[inline(always)]
    pub fn error(sk: *const Self) -> u32 {
        load(sk, &SK_ERR)
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
    /// that is an `inet_sock`, as every full TCP socket is.
    #[inline(always)]
    pub fn source_port(sk: *const Self) -> u16 {
        // SAFETY: the helper checks the address; the field lies beyond `struct sock`, so a direct load is refused.
        let port =
            unsafe { bpf_probe_read_kernel(sk.byte_add(INET_SPORT.load() as usize).cast::<u16>()) };
        u16::from_be(port.unwrap_or(0))
    }

    /// Fills addresses, ports, family and namespace of `record`. An IPv4-mapped peer makes it IPv4: the kernel
    /// keeps the IPv4 fields of such a socket right from `connect` on, the mapped ones only later.
    #[inline(always)]
    pub fn describe(sk: *const Self, record: &mut Record) {
        let mut family = load::<u16>(sk, &SK_FAMILY) as u8;
        let mut local = [0; 4];
        let mut remote = [0; 4];
        if family == FAMILY_IPV6 {
            remote = load_v6(sk, &SK_V6_DADDR);
            if [remote[0], remote[1], remote[2]] == MAPPED {
                family = FAMILY_IPV4;
            } else {
                local = load_v6(sk, &SK_V6_RCV_SADDR);
            }
        }
        if family == FAMILY_IPV4 {
            local = [load(sk, &SK_RCV_SADDR), 0, 0, 0];
            remote = [load(sk, &SK_DADDR), 0, 0, 0];
        }
        record.laddr = bytes(local);
        record.raddr = bytes(remote);
        record.family = family;
        record.rport = u16::from_be(load(sk, &SK_DPORT));
        record.lport = load(sk, &SK_NUM);
        let net: *const Sock = load(sk, &SK_NET);
        record.netns = load(net, &NET_INUM);
    }
}

/// Words in memory order as bytes.
#[inline(always)]
fn bytes(words: [u32; 4]) -> [u8; 16] {
    // SAFETY: both are 16 bytes of plain integers.
    unsafe { core::mem::transmute(words) }
}
