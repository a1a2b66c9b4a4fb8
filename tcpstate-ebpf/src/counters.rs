//! What stays exact under any overload: per-CPU counters that user space reads.
use core::arch::asm;

use aya_ebpf::{macros::map, maps::PerCpuArray};
use tcpstate_ebpf::{Counters, LOSSES, Loss, STATES};

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

/// Notes whether the main program runs on this CPU.
#[inline(always)]
pub fn set_busy(counters: *mut Counters, busy: u64) {
    // SAFETY: a plain field of this CPU's map value, written by this CPU alone.
    unsafe { (&raw mut (*counters).busy).write_volatile(busy) }
}

/// Whether the main program runs on this CPU, interrupted by what asks.
#[inline(always)]
pub fn is_busy(counters: *mut Counters) -> bool {
    // SAFETY: as in `set_busy`.
    unsafe { (&raw const (*counters).busy).read_volatile() != 0 }
}

/// Counts a transition that came while the main program was running.
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
