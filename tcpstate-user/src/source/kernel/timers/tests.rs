//! Every sequence of timer facts that the kernel makes, and what it means.
use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::tcp::TIMEWAIT_LEN_NS;

const TW: u64 = 0x1000;
const REQUEST: u64 = 0x2000;
const MS: u64 = 1_000_000;
const START: u64 = 100_000 * MS;

fn tuple(rport: u16) -> Tuple {
    let any = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Tuple {
        laddr: any,
        lport: Some(80),
        raddr: any,
        rport,
    }
}

fn fact(time_ns: u64, object: u64, kind: FactKind) -> Fact {
    Fact {
        time_ns,
        cpu: 0,
        object,
        netns: 1,
        tuple: tuple(1000),
        kind,
    }
}

/// A timer fact about the timewait or request socket; what remains is the 60 s of a fresh TIME_WAIT.
fn timer(time_ns: u64, object: u64, event: TimerEvent) -> Fact {
    let mini = if object == TW {
        TcpState::TimeWait
    } else {
        TcpState::SynRecv
    };
    let kind = FactKind::Timer(TimerFact {
        event,
        mini,
        substate: mini,
        remaining_ns: if event == TimerEvent::Expire {
            0
        } else {
            60_000 * MS as i64
        },
        listener: 7,
        by_worker: false,
    });
    fact(time_ns, object, kind)
}

/// What `facts` mean once everything has settled, as (time, kind).
fn meaning(facts: &[Fact]) -> Vec<(u64, FactKind)> {
    let mut timers = Timers::default();
    let mut out = Vec::new();
    for fact in facts {
        timers.apply(fact, &mut |fact| out.push(*fact));
    }
    timers.settle(u64::MAX, &mut |fact| out.push(*fact));
    out.into_iter()
        .map(|fact| (fact.time_ns, fact.kind))
        .collect()
}

fn ended(cause: Cause, armed_ns: u64) -> FactKind {
    FactKind::TimewaitEnded {
        substate: TcpState::TimeWait,
        cause,
        armed_ns: Some(armed_ns),
    }
}

const CREATED: FactKind = FactKind::TimewaitCreated {
    substate: TcpState::TimeWait,
};
const ADDED: FactKind = FactKind::RequestAdded {
    cookie: 0,
    listener: 7,
};

#[test]
fn a_timewait_that_expires() {
    let end = START + TIMEWAIT_LEN_NS;
    let facts = [
        timer(START, TW, TimerEvent::Start),
        timer(end, TW, TimerEvent::Cancel), // always stated just before the expiry
        timer(end, TW, TimerEvent::Expire),
    ];
    assert_eq!(
        meaning(&facts),
        [(START, CREATED), (end, ended(Cause::Timer, START))]
    );
}

#[test]
fn a_timewait_that_is_restarted_lives_on() {
    let facts = [
        timer(START, TW, TimerEvent::Start),
        timer(START + MS, TW, TimerEvent::Cancel),
        timer(START + MS + 1, TW, TimerEvent::Start),
    ];
    let substate = FactKind::TimewaitSubstate {
        substate: TcpState::TimeWait,
    };
    assert_eq!(
        meaning(&facts),
        [(START, CREATED), (START + MS + 1, substate)]
    );
}

#[test]
fn a_lone_cancel_is_an_end_and_its_cause_is_what_surrounds_it() {
    let cancel = timer(START, TW, TimerEvent::Cancel);
    let mut worker = cancel;
    if let FactKind::Timer(timer) = &mut worker.kind {
        timer.by_worker = true;
    }
    let reset = fact(
        START + 10,
        TW,
        FactKind::TimewaitSegment {
            substate: TcpState::TimeWait,
            reset: true,
        },
    );
    let syn = timer(START + 10, REQUEST, TimerEvent::Start);
    let mut connect = fact(
        START - 10,
        0x3000,
        FactKind::Transition {
            old: TcpState::Close,
            new: TcpState::SynSent,
            error: 0,
            stillborn: false,
            details: None,
        },
    );
    connect.tuple.lport = None;
    for (facts, cause) in [
        (vec![cancel], Cause::Unknown),
        (vec![worker], Cause::NetnsGone),
        (vec![cancel, reset], Cause::Reset),
        (vec![cancel, syn], Cause::Reused),
        (vec![connect, cancel], Cause::Reused),
    ] {
        let ends: Vec<_> = meaning(&facts)
            .into_iter()
            .filter(|(_, kind)| matches!(kind, FactKind::TimewaitEnded { .. }))
            .collect();
        assert_eq!(ends, [(START, ended(cause, START))], "{cause:?}");
    }
}

#[test]
fn memory_used_again_ends_what_was_there() {
    let facts = [
        timer(START, TW, TimerEvent::Cancel),
        fact(START + 5, 0x3000, FactKind::TimewaitOverflow), // another fact of that CPU: no move
        timer(START + 10, TW, TimerEvent::Start),
    ];
    let kinds: Vec<_> = meaning(&facts).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(
        kinds,
        [
            FactKind::TimewaitOverflow,
            ended(Cause::Unknown, START),
            CREATED
        ]
    );
}

#[test]
fn a_request_lives_through_its_retries_until_it_times_out() {
    let facts = [
        timer(START, REQUEST, TimerEvent::Start),
        timer(START + 1000 * MS, REQUEST, TimerEvent::Cancel),
        timer(START + 1000 * MS, REQUEST, TimerEvent::Expire),
        timer(START + 1000 * MS + 9, REQUEST, TimerEvent::Start), // the SYN-ACK again
        timer(START + 3000 * MS, REQUEST, TimerEvent::Cancel),
        timer(START + 3000 * MS, REQUEST, TimerEvent::Expire),
    ];
    let timeout = FactKind::RequestEnded {
        cause: Cause::Timer,
    };
    assert_eq!(
        meaning(&facts),
        [(START, ADDED), (START + 3000 * MS, timeout)]
    );
}

#[test]
fn an_accepted_or_dropped_request_ends_when_its_timer_is_cancelled() {
    let facts = [
        timer(START, REQUEST, TimerEvent::Start),
        timer(START + 20, REQUEST, TimerEvent::Cancel),
    ];
    let end = FactKind::RequestEnded {
        cause: Cause::Unknown,
    };
    assert_eq!(meaning(&facts), [(START, ADDED), (START + 20, end)]);
}

#[test]
fn nothing_is_settled_before_its_time() {
    let mut timers = Timers::default();
    let mut out = Vec::new();
    timers.apply(&timer(START, REQUEST, TimerEvent::Cancel), &mut |fact| {
        out.push(*fact)
    });
    timers.settle(START + SETTLE_NS - 1, &mut |fact| out.push(*fact));
    assert_eq!(out, []);
    timers.settle(START + SETTLE_NS, &mut |fact| out.push(*fact));
    assert_eq!(out.len(), 1);
}

#[test]
fn a_retry_may_come_late_and_another_request_in_the_same_memory_is_another() {
    let later = START + 50 * MS; // the softirq was preempted for so long
    let mut again = timer(later, REQUEST, TimerEvent::Start);
    for (tuple, cpu, goes_on) in [
        (tuple(1000), 0, true),
        (tuple(1001), 0, false),
        (tuple(1000), 1, false),
    ] {
        (again.tuple, again.cpu) = (tuple, cpu);
        let mut timers = Timers::default();
        let mut out = Vec::new();
        timers.apply(&timer(START, REQUEST, TimerEvent::Expire), &mut |fact| {
            out.push(*fact)
        });
        timers.settle(later, &mut |fact| out.push(*fact));
        assert_eq!(out, [], "it is too early to say");
        timers.apply(&again, &mut |fact| out.push(*fact));
        timers.settle(u64::MAX, &mut |fact| out.push(*fact));
        let told: Vec<_> = out.iter().map(|fact| (fact.time_ns, fact.kind)).collect();
        let timeout = FactKind::RequestEnded {
            cause: Cause::Timer,
        };
        let both = [(START, timeout), (later, ADDED)];
        assert_eq!(told, both[..if goes_on { 0 } else { 2 }], "{again:?}");
    }
}

#[test]
fn an_expiry_that_comes_late_is_one_end() {
    let mut due = timer(START, TW, TimerEvent::Cancel);
    if let FactKind::Timer(timer) = &mut due.kind {
        timer.remaining_ns = 0;
    }
    let late = START + 50 * MS;
    let mut timers = Timers::default();
    let mut out = Vec::new();
    timers.apply(&due, &mut |fact| out.push(*fact));
    timers.settle(late, &mut |fact| out.push(*fact));
    assert_eq!(out, []);
    timers.apply(&timer(late, TW, TimerEvent::Expire), &mut |fact| {
        out.push(*fact)
    });
    timers.settle(u64::MAX, &mut |fact| out.push(*fact));
    assert_eq!(out.len(), 1, "{out:?}");
}
