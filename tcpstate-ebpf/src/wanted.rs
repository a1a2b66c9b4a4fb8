//! Asks the filter, as the user side has set it, which facts are delivered. The user side decides again, so what is not
//! certain here passes.
use core::arch::asm;

use aya_ebpf::{Global, macros::map, maps::Array};
use tcpstate_ebpf::{Filter, Record};

use crate::fields::{Access, Sock, Typed};

/// 1 where [`FILTER`] asks for anything, else 0: then it costs nothing.
#[unsafe(no_mangle)]
static FILTERED: Global<u8> = Global::new(0);

#[map]
static FILTER: Array<Filter> = Array::with_max_entries(1, 0);

/// Whether a fact about `sk` is wanted.
#[inline(always)]
pub fn admits<A: Access>(sk: *const Sock) -> bool {
    FILTERED.load() == 0 || asked::<A>(sk)
}

/// Whether a transition of the full socket `sk` out of `old` is wanted. Its port may already be given back.
#[inline(always)]
pub fn admits_step(sk: *const Sock, old: u8) -> bool {
    FILTERED.load() == 0 || asked_step(sk, old)
}

/// A function of its own, as the next: its caller calls others, and up to 6.1 there is no room on the stack for all three.
#[inline(never)]
fn asked<A: Access>(sk: *const Sock) -> bool {
    let Some(filter) = FILTER.get(0) else {
        return true;
    };
    let mut record = Record::default();
    Sock::describe::<A>(sk, &mut record);
    filter.admits(&record, apart)
}

#[inline(never)]
fn asked_step(sk: *const Sock, old: u8) -> bool {
    let Some(filter) = FILTER.get(0) else {
        return true;
    };
    let mut record = Record::default();
    Sock::describe::<Typed>(sk, &mut record);
    if record.lport == 0 {
        record.lport = Sock::source_port(sk);
    }
    filter.admits_step(&record, old, apart)
}

/// Gives back the bit that it takes, in an instruction that the compiler does not see through.
#[inline(always)]
fn apart(mut bit: u64) -> u64 {
    // SAFETY: it changes nothing: the value is 0 or 1. An instruction all the same, because two lines of source cannot
    // share one.
    unsafe { asm!("{0} &= 1", inout(reg) bit) };
    bit
}
