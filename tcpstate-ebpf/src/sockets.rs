//! Sockets that exist: an iterator walk over one network namespace, written to the reader of the iterator itself.
use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_seq_write};
use tcpstate_ebpf::{FullRecord, Record, kind};

use crate::fields::Sock;

/// `struct bpf_iter__tcp`.
#[repr(C)]
pub struct IterContext {
    meta: *const IterMeta,
    sk_common: *const Sock,
    uid: u32,
}

/// `struct bpf_iter_meta`.
#[repr(C)]
struct IterMeta {
    seq: *mut aya_ebpf::bindings::seq_file,
}

/// Largest state of a full socket that this walk reports: timewait (6) and request (12) sockets have another layout.
const TIME_WAIT: u8 = 6;
const NEW_SYN_RECV: u8 = 12;

/// Writes a record of the socket that the walk stands at.
#[inline(always)]
pub fn visit(ctx: *const IterContext) {
    // SAFETY: the kernel passes a valid context; the verifier knows the types of its members.
    let (meta, sk) = unsafe { ((*ctx).meta, (*ctx).sk_common) };
    if sk.is_null() {
        return;
    }
    let state = Sock::state(sk);
    if state == TIME_WAIT || state == NEW_SYN_RECV {
        return;
    }
    let mut full = FullRecord {
        record: Record {
            // SAFETY: the helper has no preconditions.
            time_ns: unsafe { bpf_ktime_get_ns() },
            object: sk as u64,
            kind: kind::SOCKET,
            new: state,
            ..Record::default()
        },
        cookie: Sock::cookie(sk),
        ..FullRecord::default()
    };
    Sock::describe(sk, &mut full.record);
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
