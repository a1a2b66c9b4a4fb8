//! Why a mini-socket ends: what last happened to one on this CPU, kept until its destructor asks.
use aya_ebpf::{macros::map, maps::PerCpuArray};
use tcpstate_ebpf::cause;

use crate::fields::{Sock, in_worker};

/// The mini-socket that something last happened to on this CPU, and what.
#[repr(C)]
#[derive(Clone, Copy)]
struct Last {
    object: u64,
    cause: u64,
}

#[map]
static LAST: PerCpuArray<Last> = PerCpuArray::with_max_entries(1, 0);

/// Notes that `cause` happened to `object`.
#[inline(always)]
pub fn note(object: *const Sock, cause: u8) {
    if let Some(last) = LAST.get_ptr_mut(0) {
        // SAFETY: this CPU's map value, alive as long as the program.
        unsafe {
            (*last).object = object as u64;
            (*last).cause = u64::from(cause);
        }
    }
}

/// What was last noted about `object` on this CPU; [`cause::UNKNOWN`] if that was another one.
#[inline(always)]
pub fn of(object: *const Sock) -> u8 {
    let Some(last) = LAST.get(0) else {
        return cause::UNKNOWN;
    };
    if last.object == object as u64 {
        last.cause as u8
    } else {
        cause::UNKNOWN
    }
}

/// The same for an object that is gone now: where nothing explains it, a workqueue is what cleans up namespaces.
#[inline(always)]
pub fn of_end(object: *const Sock) -> u8 {
    match of(object) {
        cause::UNKNOWN if in_worker() => cause::NETNS,
        cause => cause,
    }
}
