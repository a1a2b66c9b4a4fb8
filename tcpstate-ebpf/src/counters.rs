//! What stays exact under any overload: per-CPU counters that user space reads.
use core::arch::asm;

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tcpstate_ebpf::{Counters, LOSSES, Loss, STATED, STATES};

use crate::fields::Sock;

#[map]
static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// The counters of this CPU.
#[inline(always)]
pub fn this_cpu() -> Option<*mut Counters> {
    COUNTERS.get_ptr_mut(0)
}

/// Adds one to a counter. Atomic, because a program may be interrupted on its own CPU by another that counts.
#[inline(always)]
fn add_one(counter: *mut u64) {
    // SAFETY: `counter` points into this CPU's map value, aligned and alive as long as the program. The instruction
    // is eBPF's atomic add; the target's core library has no fetch_add, as the oldest eBPF cannot fetch.
    unsafe {
        asm!("lock *(u64 *)({counter} + 0) += {one}", counter = in(reg) counter, one = in(reg) 1_u64);
    }
}

/// Counts a transition in the matrix.
#[inline(always)]
pub fn transition(counters: *mut Counters, old: u8, new: u8) {
    let cell = (usize::from(old) % STATES) * STATES + usize::from(new) % STATES;
    // SAFETY: `cell` is below STATES * STATES, the length of the array.
    add_one(unsafe { (&raw mut (*counters).transitions).cast::<u64>().add(cell) });
}

/// Counts a fact that could not be delivered.
#[inline(always)]
pub fn lost(counters: *mut Counters, cause: Loss) {
    const { assert!((Loss::RingFull as usize) < LOSSES) };
    // SAFETY: every cause is below LOSSES, the length of the array.
    add_one(unsafe {
        (&raw mut (*counters).lost)
            .cast::<u64>()
            .add(cause as usize)
    });
}

/// The main program has stated a transition of `sk`.
#[inline(always)]
pub fn has_stated(counters: *mut Counters, sk: *const Sock, states: u64) {
    // SAFETY: fields of this CPU's map value, read and written by this CPU alone. An interrupt takes another place, as
    // what it finds taken is taken, and gives it back before it ends.
    let (sockets, all) = unsafe { stated(counters) };
    for place in 0..STATED {
        // SAFETY: `place` is below the length of both arrays.
        unsafe {
            if all.add(place).read_volatile() == 0 {
                sockets.add(place).write_volatile(sk as u64);
                all.add(place).write_volatile(states);
                return;
            }
        }
    }
    // So many are not under way: they are left over from where the second program was not run, as before it was attached.
    for place in 0..STATED {
        // SAFETY: as above.
        unsafe { all.add(place).write_volatile(0) };
    }
    // SAFETY: as above.
    unsafe {
        sockets.write_volatile(sk as u64);
        all.write_volatile(states);
    }
}

/// Whether the main program has stated this transition of `sk`, which is forgotten then.
#[inline(always)]
pub fn was_stated(counters: *mut Counters, sk: *const Sock, states: u64) -> bool {
    // SAFETY: as in `has_stated`.
    let (sockets, all) = unsafe { stated(counters) };
    for place in 0..STATED {
        // SAFETY: `place` is below the length of both arrays.
        unsafe {
            if all.add(place).read_volatile() == states
                && sockets.add(place).read_volatile() == sk as u64
            {
                all.add(place).write_volatile(0);
                return true;
            }
        }
    }
    false
}

/// The places of what was stated: sockets and states.
///
/// # Safety
/// `counters` is this CPU's map value.
#[inline(always)]
unsafe fn stated(counters: *mut Counters) -> (*mut u64, *mut u64) {
    // SAFETY: plain fields of the map value.
    unsafe {
        (
            (&raw mut (*counters).stated).cast(),
            (&raw mut (*counters).stated_states).cast(),
        )
    }
}

/// Counts a transition that the main program was not run for.
#[inline(always)]
pub fn nested(counters: *mut Counters) {
    // SAFETY: a field of this CPU's map value.
    add_one(unsafe { &raw mut (*counters).nested });
}

/// Counts a record that was written and returns how many there were before it.
#[inline(always)]
pub fn written(counters: *mut Counters) -> u64 {
    // SAFETY: a plain field of this CPU's map value. Not atomic: a lost count only shifts a wake-up.
    unsafe {
        let before = (*counters).written;
        (*counters).written = before + 1;
        before
    }
}
