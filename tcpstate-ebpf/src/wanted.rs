//! Asks the filter, as the user side has set it, which facts are delivered. The user side decides again, so what is not
//! certain here passes.
use core::ptr;

use aya_ebpf::Global;
use tcpstate_ebpf::{Filter, Record};

use crate::fields::{Access, Sock, Typed};

/// 1 where [`FILTER`] asks for anything, else 0: then it costs nothing.
#[unsafe(no_mangle)]
static FILTERED: Global<u8> = Global::new(0);

/// The words of a [`Filter`]: constants to the verifier, which takes off what they do not ask for. Used, or the compiler
/// makes several of it.
#[used]
#[unsafe(no_mangle)]
static FILTER: Global<[u32; WORDS]> = Global::new([0; WORDS]);

const WORDS: usize = size_of::<Filter>() / size_of::<u32>();

/// Whether a fact about `sk` is wanted. Of what was found by arithmetic a copy is asked for: up to 6.1 the verifier follows both
/// ends of a helper for each field, and of the next one's, and so on.
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
    let mut record = Record::default();
    Sock::describe::<A>(sk, &mut record);
    filter().admits(&record, read)
}

#[inline(never)]
fn asked_step(sk: *const Sock, old: u8) -> bool {
    let mut record = Record::default();
    Sock::describe::<Typed>(sk, &mut record);
    if record.lport == 0 {
        record.lport = Sock::source_port(sk);
    }
    filter().admits_step(&record, old, read)
}

#[inline(always)]
fn filter() -> &'static Filter {
    // SAFETY: it is transparent, and a filter is nothing but its words. Nobody writes them while a program is there.
    unsafe { &*(&raw const FILTER).cast() }
}

/// Reads a part of the filter where it is needed: the compiler must not think that it knows it.
#[inline(always)]
fn read(part: &u32) -> u32 {
    // SAFETY: a reference may be read from.
    unsafe { ptr::from_ref(part).read_volatile() }
}
