//! Timewait sockets, where functions can be traced.
use tcpstate_ebpf::{Record, cause, kind};

use crate::{
    cause as causes, counters,
    fields::{Access, Probed, Sock, Timer, Typed, header_flags, in_worker},
    ring, wanted,
};

/// `TCP_FIN_WAIT2`
const FIN_WAIT2: u8 = 5;
/// Flags of a TCP header.
const SYN: u8 = 0x02;
const RST: u8 = 0x04;

/// One takes over from a full socket. Its fields are final.
#[inline(always)]
pub fn created(tw: *const Sock) {
    emit::<Typed>(tw, kind::TIMEWAIT_CREATED, 0);
}

/// Its timer starts again; the substate may just have changed.
#[inline(always)]
pub fn rearmed(tw: *const Sock) {
    emit::<Typed>(tw, kind::TIMEWAIT_REARMED, 0);
}

/// A segment arrives for it.
#[inline(always)]
pub fn segment(tw: *const Sock, header: *const Sock) {
    let flags = header_flags(header);
    causes::note(
        tw,
        if flags & RST != 0 {
            cause::RESET
        } else if flags & SYN != 0 {
            cause::SYN
        } else {
            cause::SEGMENT
        },
    );
}

/// Its timer runs out.
#[inline(always)]
pub fn timer(timer: *const Sock) {
    causes::note(Timer::timewait(timer), cause::TIMER);
}

/// It is taken off before its time.
#[inline(always)]
pub fn descheduled(tw: *const Sock) {
    match causes::of(tw) {
        cause::RESET | cause::SYN | cause::ABORT => {}
        // Data for an orphan in FIN_WAIT2: it is answered with a reset.
        cause::SEGMENT if Sock::substate::<Typed>(tw) == FIN_WAIT2 => {
            causes::note(tw, cause::ABORT)
        }
        _ if in_worker() => causes::note(tw, cause::NETNS),
        _ => causes::note(tw, cause::TAKEN),
    }
}

/// It is gone. The argument's type is `struct sock`, so what lies beyond the common part is probed.
#[inline(always)]
pub fn ended(tw: *const Sock) {
    let cause = match causes::of_end(tw) {
        // A segment that ends one is noted as what it is. So this one did not: a worker took it off on another CPU, and
        // went on here.
        cause::SEGMENT if in_worker() => cause::NETNS,
        cause::SEGMENT => cause::UNKNOWN,
        cause => cause,
    };
    emit::<Probed>(tw, kind::TIMEWAIT_ENDED, cause);
}

/// None is made for the full socket `sk`.
#[inline(always)]
pub fn overflow(sk: *const Sock) {
    if !wanted::admits_step(sk, Sock::state(sk)) {
        return;
    }
    let Some(counters) = counters::this_cpu() else {
        return;
    };
    let Some(room) = ring::reserve::<Record>(counters) else {
        return;
    };
    room.fill(
        counters,
        ring::record::<Typed>(sk, kind::TIMEWAIT_OVERFLOW, 0, 0),
    );
}

#[inline(always)]
fn emit<A: Access>(tw: *const Sock, kind: u8, old: u8) {
    if !wanted::admits::<Typed>(tw) {
        return;
    }
    let Some(counters) = counters::this_cpu() else {
        return;
    };
    let Some(room) = ring::reserve::<Record>(counters) else {
        return;
    };
    room.fill(
        counters,
        ring::record::<Typed>(tw, kind, old, Sock::substate::<A>(tw)),
    );
}
