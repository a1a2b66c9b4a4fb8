//! Sockets that exist: an iterator walk over one network namespace, written to the reader of the iterator itself.
use aya_ebpf::helpers::generated::bpf_seq_write;
use tcpstate_ebpf::{FullRecord, kind};

use crate::{
    fields::{Probed, Sock, Timer, Typed},
    ring,
};

/// `struct bpf_iter__tcp`.
#[repr(C)]
pub struct IterContext {
    meta: *const IterMeta,
    sk_common: *const Sock,
    uid: u32,
}

/// `struct bpf_iter_meta`.
#[repr(C)]
pub struct IterMeta {
    pub seq: *mut aya_ebpf::bindings::seq_file,
}

/// `TCP_TIME_WAIT`, the state of every timewait socket.
const TIME_WAIT: u8 = 6;
/// `TCP_NEW_SYN_RECV`, the state of every request socket.
const NEW_SYN_RECV: u8 = 12;

/// Writes a record of the socket that the walk stands at.
#[inline(always)]
pub fn visit(ctx: *const IterContext) {
    // SAFETY: the kernel passes a valid context; the verifier knows the types of its members.
    let (meta, sk) = unsafe { ((*ctx).meta, (*ctx).sk_common) };
    if sk.is_null() {
        return;
    }
    let mut full = FullRecord {
        cookie: Sock::cookie(sk),
        ..FullRecord::default()
    };
    full.mini.record = match Sock::state(sk) {
        TIME_WAIT => {
            full.mini.value = Timer::timewait_remaining(sk) as u64;
            ring::record::<Typed>(sk, kind::TIMEWAIT, 0, Sock::substate::<Probed>(sk))
        }
        NEW_SYN_RECV => {
            full.mini.related = Sock::listener::<Typed>(sk);
            ring::record::<Typed>(sk, kind::REQUEST, 0, 0)
        }
        state => {
            full.cgroup = Sock::cgroup(sk);
            ring::record::<Typed>(sk, kind::SOCKET, 0, state)
        }
    };
    // SAFETY: `seq` is the iterator's own; the data lies on this program's stack. An overflow makes the kernel
    // grow its buffer and call again, so the result needs no look.
    unsafe {
        bpf_seq_write(
            (*meta).seq,
            (&raw const full).cast_mut().cast(),
            size_of::<FullRecord>() as u32,
        );
    }
}
