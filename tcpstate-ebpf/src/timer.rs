//! Mini-sockets where functions cannot be traced: their timers, and the segments that they take.
use tcpstate_ebpf::{MiniRecord, Record, kind, mini};

use crate::{
    counters,
    fields::{
        Common, Copied, Probed, REQ_TIMER_HANDLER, Sock, TW_TIMER_HANDLER, Timer, Typed, in_worker,
        tcp_flags,
    },
    ring, wanted,
};

/// `TCP_TIME_WAIT`, the state of every timewait socket.
const TIME_WAIT: u8 = 6;
/// `RST` in the flags of a TCP header.
const RST: u8 = 0x04;

/// Something happens to a timer; nearly all are not of mini-sockets, and cost two loads and two comparisons.
#[inline(always)]
pub fn observe(timer: *const Sock, kind: u8) {
    let function = Timer::function(timer);
    if function == TW_TIMER_HANDLER.load() {
        state(Timer::timewait(timer), timer, kind, mini::TIMEWAIT);
    } else if function == REQ_TIMER_HANDLER.load() {
        state(Timer::request(timer), timer, kind, mini::REQUEST);
    }
}

#[inline(always)]
fn state(object: *const Sock, timer: *const Sock, kind: u8, of: u8) {
    let common = Common::of(object);
    if !wanted::admits::<Copied>(common.as_sock()) {
        return;
    }
    let Some(counters) = counters::this_cpu() else {
        return;
    };
    let Some(room) = ring::reserve::<MiniRecord>(counters) else {
        return;
    };
    let (substate, related) = if of == mini::TIMEWAIT {
        (common.substate(object), 0)
    } else {
        (0, Sock::listener::<Copied>(common.as_sock()))
    };
    let mut record = ring::record::<Copied>(common.as_sock(), kind, of, substate);
    record.object = object as u64;
    record.error = u16::from(kind == kind::TIMER_CANCEL && in_worker());
    let mini = MiniRecord {
        record,
        related,
        value: Timer::remaining::<Typed>(timer) as u64,
    };
    room.fill(counters, mini);
}

/// The kernel frees a segment that socket `sk` has looked at: every segment for a timewait socket ends here.
#[inline(always)]
pub fn segment_freed(skb: *const Sock, sk: *const Sock) {
    if sk.is_null() || Sock::state(sk) != TIME_WAIT || !wanted::admits::<Typed>(sk) {
        return;
    }
    let Some(counters) = counters::this_cpu() else {
        return;
    };
    let reset = u8::from(tcp_flags(skb) & RST != 0);
    let substate = Sock::substate::<Probed>(sk);
    let Some(room) = ring::reserve::<Record>(counters) else {
        return;
    };
    room.fill(
        counters,
        ring::record::<Typed>(sk, kind::TIMEWAIT_SEGMENT, reset, substate),
    );
}
