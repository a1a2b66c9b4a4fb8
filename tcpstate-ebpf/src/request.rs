//! Request sockets (half-open connections), where functions can be traced.
use tcpstate_ebpf::{FullRecord, Record, cause, kind};

use crate::{
    cause as causes, counters,
    fields::{Sock, Timer, Typed, tcp_flags},
    ring, wanted,
};

/// `RST` in the flags of a TCP header.
const RST: u8 = 0x04;

/// One enters the listen queue. Its fields are complete.
#[inline(always)]
pub fn added(request: *const Sock) {
    if !wanted::admits::<Typed>(request) {
        return;
    }
    let Some(counters) = counters::this_cpu() else {
        return;
    };
    let Some(room) = ring::reserve::<FullRecord>(counters) else {
        return;
    };
    let mut full = FullRecord::default();
    full.mini.record = ring::record::<Typed>(request, kind::REQUEST_ADDED, 0, 0);
    full.mini.related = Sock::listener::<Typed>(request);
    full.cookie = Sock::cookie(request);
    room.fill(counters, full);
}

/// Its timer runs out: the SYN-ACK is sent again, or it is given up.
#[inline(always)]
pub fn timer(timer: *const Sock) {
    causes::note(Timer::request(timer), cause::TIMER);
}

/// A segment arrives for it.
#[inline(always)]
pub fn segment(skb: *const Sock, request: *const Sock) {
    let reset = tcp_flags(skb) & RST != 0;
    causes::note(request, if reset { cause::RESET } else { cause::SEGMENT });
}

/// The network reports its peer as unreachable.
#[inline(always)]
pub fn unreachable(request: *const Sock) {
    causes::note(request, cause::UNREACHABLE);
}

/// Somebody destroys the socket; a full one says so itself, by its error.
#[inline(always)]
pub fn aborted(sk: *const Sock) {
    causes::note(sk, cause::ABORT);
}

/// It is gone.
#[inline(always)]
pub fn ended(request: *const Sock) {
    if !wanted::admits::<Typed>(request) {
        return;
    }
    let Some(counters) = counters::this_cpu() else {
        return;
    };
    let cause = causes::of_end(request);
    let Some(room) = ring::reserve::<Record>(counters) else {
        return;
    };
    room.fill(
        counters,
        ring::record::<Typed>(request, kind::REQUEST_ENDED, cause, 0),
    );
}
