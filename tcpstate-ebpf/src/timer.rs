//! Mini-sockets where functions cannot be traced: their timers, and the segments that they take.
use tcpstate_ebpf::{FullRecord, Record, kind, mini};

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
        let tw = Timer::timewait(timer);
        emit(
            tw,
            timer,
            kind,
            mini::TIMEWAIT,
            Sock::substate::<Probed>(tw),
        );
    } else if function == REQ_TIMER_HANDLER.load() {
        emit(Timer::request(timer), timer, kind, mini::REQUEST, 0);
    }
}

#[inline(always)]
fn emit(object: *const Sock, timer: *const Sock, kind: u8, of: u8, substate: u8) {
    if !wanted::admits_mini(object) {
        return;
    }
    let Some(counters) = counters::this_cpu() else {
        return;
    };
    ring::emit::<FullRecord>(counters, |entry| {
        let common = Common::of(object);
        let mut record = ring::record::<Copied>(common.as_sock(), kind, of, substate);
        record.object = object as u64;
        record.error = u16::from(kind == kind::TIMER_CANCEL && in_worker());
        entry.write(FullRecord {
            record,
            value: Timer::remaining::<Typed>(timer) as u64,
            related: if of == mini::REQUEST {
                Sock::listener::<Copied>(common.as_sock())
            } else {
                0
            },
            ..FullRecord::default()
        });
    });
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
    ring::emit::<Record>(counters, |entry| {
        entry.write(ring::record::<Typed>(
            sk,
            kind::TIMEWAIT_SEGMENT,
            reset,
            substate,
        ));
    });
}
