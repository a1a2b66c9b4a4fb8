//! Lives put together from hand-made transitions: who closed first, every stay, and what is not known.
use super::{Closer, IN_ORDER, Life, Lives};
use crate::{
    tcp::{
        ConnectionId, Reason, Role,
        TcpState::{self, *},
        Transition,
    },
    tracker::{Config, Tracker},
};

const MS: u64 = 1_000_000;
const START_NS: u64 = 1_000_000_000;

/// A step: state left, state entered, and how long after the step before it, ms.
type Step = (TcpState, TcpState, u64);

const CONNECTS: [Step; 2] = [(Close, SynSent, 0), (SynSent, Established, 3)];
const ACCEPTS: [Step; 2] = [(Listen, SynRecv, 0), (SynRecv, Established, 5)];

/// The transitions of one connection.
fn transitions(serial: u64, role: Role, steps: &[Step], reason: Option<Reason>) -> Vec<Transition> {
    let mut now_ns = START_NS;
    let mut told: Vec<Transition> = Vec::new();
    for (from, to, after_ms) in steps {
        now_ns += after_ms * MS;
        told.push(Transition {
            mono_ns: now_ns,
            id: ConnectionId { cookie: 7, serial },
            skaddr: 0xabc,
            netns: 1,
            tuple: None,
            from: *from,
            to: *to,
            dwell_ns: (!told.is_empty()).then_some(after_ms * MS),
            estimated: false,
            reason: reason.filter(|_| *to == Close),
            role: Some(role),
            owner: None,
            cgroup: None,
            container: None,
            bytes: None,
        });
    }
    told
}

/// The life that these transitions make; all of them are wanted.
fn put_together(told: &[Transition]) -> Life {
    let mut lives = Lives::default();
    let (end, before) = told.split_last().expect("a life has transitions");
    for transition in before {
        assert!(lives.transition(transition, true).is_none(), "it goes on");
    }
    let life = lives.transition(end, true).expect("it has ended");
    assert_eq!(lives.len(), 0, "nothing stays behind");
    life
}

fn life(role: Role, steps: &[&[Step]], reason: Option<Reason>) -> Life {
    put_together(&transitions(1, role, &steps.concat(), reason))
}

/// Checks who closed first, how long it stayed in each state, ms, and that this is its whole life.
fn assert_whole(life: &Life, closer: Closer, stays: &[(TcpState, u64)]) {
    assert_eq!(life.closer, Some(closer), "{life:#?}");
    assert_eq!(life.course.opened_ns(), Some(START_NS));
    for state in IN_ORDER {
        let stay = stays.iter().find(|(known, _)| *known == state);
        assert_eq!(life.course.entered(state), stay.is_some(), "{state}");
        let stay_ns = stay.map_or(0, |(_, ms)| ms * MS);
        assert_eq!(life.course.stay_ns(state), Some(stay_ns), "{state}");
    }
    let sum_ms: u64 = stays.iter().map(|(_, ms)| ms).sum();
    assert_eq!(life.total_ns(), Some(sum_ms * MS));
}

#[test]
fn client_closes() {
    let steps: [&[Step]; 2] = [
        &CONNECTS,
        &[
            (Established, FinWait1, 100),
            (FinWait1, FinWait2, 1),
            (FinWait2, TimeWait, 20),
            (TimeWait, Close, 60_000),
        ],
    ];
    let life = life(Role::Client, &steps, Some(Reason::Expired));
    let stays = [
        (SynSent, 3),
        (Established, 100),
        (FinWait1, 1),
        (FinWait2, 20),
        (TimeWait, 60_000),
    ];
    assert_whole(&life, Closer::Active, &stays);
    assert_eq!(
        (life.role, life.reason, life.last),
        (Some(Role::Client), Some(Reason::Expired), TimeWait)
    );
}

#[test]
fn server_closes() {
    let client: [&[Step]; 2] = [
        &CONNECTS,
        &[
            (Established, CloseWait, 100),
            (CloseWait, LastAck, 7),
            (LastAck, Close, 1),
        ],
    ];
    let stays = [
        (SynSent, 3),
        (Established, 100),
        (CloseWait, 7),
        (LastAck, 1),
    ];
    assert_whole(&life(Role::Client, &client, None), Closer::Passive, &stays);
    let server: [&[Step]; 2] = [
        &ACCEPTS,
        &[
            (Established, FinWait1, 100),
            (FinWait1, FinWait2, 1),
            (FinWait2, TimeWait, 7),
            (TimeWait, Close, 60_000),
        ],
    ];
    let stays = [
        (SynRecv, 5),
        (Established, 100),
        (FinWait1, 1),
        (FinWait2, 7),
        (TimeWait, 60_000),
    ];
    let life = life(Role::Server, &server, Some(Reason::Expired));
    assert_whole(&life, Closer::Active, &stays);
}

#[test]
fn simultaneous_close() {
    let steps: [&[Step]; 2] = [
        &CONNECTS,
        &[
            (Established, FinWait1, 9),
            (FinWait1, Closing, 2),
            (Closing, TimeWait, 1),
            (TimeWait, Close, 60_000),
        ],
    ];
    let stays = [
        (SynSent, 3),
        (Established, 9),
        (FinWait1, 2),
        (Closing, 1),
        (TimeWait, 60_000),
    ];
    let life = life(Role::Client, &steps, Some(Reason::Expired));
    assert_whole(&life, Closer::Simultaneous, &stays);
}

/// Whose reset it was, the reason says; a connection that nobody answers any more is broken, not reset.
#[test]
fn ends_without_a_fin() {
    for (reason, closer) in [
        (Some(Reason::Reset), Some(Closer::Reset)),
        (Some(Reason::Aborted), Some(Closer::Reset)),
        (Some(Reason::Timeout), Some(Closer::Broken)),
        (Some(Reason::Unreachable), Some(Closer::Broken)),
        (Some(Reason::NetnsGone), Some(Closer::Broken)),
        (None, None),
    ] {
        let steps: [&[Step]; 2] = [&CONNECTS, &[(Established, Close, 40)]];
        let life = life(Role::Client, &steps, reason);
        assert_eq!((life.closer, life.reason), (closer, reason));
        assert_eq!(life.total_ns(), Some(43 * MS));
    }
}

/// A reset after the first FIN does not change who was first.
#[test]
fn reset_while_closing() {
    for (state, closer) in [(FinWait1, Closer::Active), (CloseWait, Closer::Passive)] {
        let steps: [&[Step]; 2] = [&CONNECTS, &[(Established, state, 10), (state, Close, 2)]];
        let life = life(Role::Client, &steps, Some(Reason::Reset));
        let stays = [(SynSent, 3), (Established, 10), (state, 2)];
        assert_whole(&life, closer, &stays);
    }
}

#[test]
fn never_established() {
    for (role, steps, state, reason) in [
        (
            Role::Client,
            [(Close, SynSent, 0), (SynSent, Close, 2)],
            SynSent,
            Reason::Refused,
        ),
        (
            Role::Client,
            [(Close, SynSent, 0), (SynSent, Close, 127_000)],
            SynSent,
            Reason::Timeout,
        ),
        (
            Role::Server,
            [(Listen, SynRecv, 0), (SynRecv, Close, 3000)],
            SynRecv,
            Reason::Timeout,
        ),
    ] {
        let life = life(role, &[&steps], Some(reason));
        assert_whole(&life, Closer::Unopened, &[(state, steps[1].2)]);
        assert_eq!((life.role, life.reason), (Some(role), Some(reason)));
    }
}

#[test]
fn time_wait_cut_short() {
    for (end, reason) in [
        ((TimeWait, Close, 800), Reason::Reused),
        ((TimeWait, Close, 1), Reason::Reset),
    ] {
        let steps: [&[Step]; 3] = [
            &CONNECTS,
            &[
                (Established, FinWait1, 1),
                (FinWait1, FinWait2, 1),
                (FinWait2, TimeWait, 1),
            ],
            &[end],
        ];
        let life = life(Role::Client, &steps, Some(reason));
        assert_eq!(
            (life.closer, life.reason),
            (Some(Closer::Active), Some(reason))
        );
        assert_eq!(life.total_ns(), Some((6 + end.2) * MS));
    }
}

/// No TIME_WAIT is made: the life ends in FIN_WAIT2, and no time in TIME_WAIT is made up.
#[test]
fn time_wait_overflow() {
    let steps: [&[Step]; 2] = [
        &CONNECTS,
        &[
            (Established, FinWait1, 1),
            (FinWait1, FinWait2, 1),
            (FinWait2, Close, 4),
        ],
    ];
    let life = life(Role::Client, &steps, Some(Reason::TwOverflow));
    let stays = [(SynSent, 3), (Established, 1), (FinWait1, 1), (FinWait2, 4)];
    assert_whole(&life, Closer::Active, &stays);
    assert_eq!(
        (life.reason, life.last),
        (Some(Reason::TwOverflow), FinWait2)
    );
}

/// The first state and the total are unknown, what came later is known; nothing that was not seen is 0.
#[test]
fn existed_before() {
    let steps = [
        (Established, CloseWait, 0),
        (CloseWait, LastAck, 30),
        (LastAck, Close, 1),
    ];
    let life = life(Role::Client, &[&steps], None);
    assert_eq!(life.closer, Some(Closer::Passive));
    assert_eq!((life.course.opened_ns(), life.total_ns()), (None, None));
    for (state, stay_ns) in [
        (SynSent, None),
        (Established, None),
        (CloseWait, Some(30 * MS)),
        (LastAck, Some(MS)),
    ] {
        assert_eq!(life.course.stay_ns(state), stay_ns, "{state}");
    }
}

/// It may come from FIN_WAIT2 or from CLOSING.
#[test]
fn existed_before_in_time_wait() {
    let steps = [(TimeWait, Close, 0)];
    let life = life(Role::Client, &[&steps], Some(Reason::Expired));
    assert_eq!((life.closer, life.total_ns()), (None, None));
}

/// Nobody knows how long it was half open, so nobody knows when it was opened.
#[test]
fn syn_cookie() {
    let mut told = transitions(
        1,
        Role::Server,
        &[&ACCEPTS[..], &[(Established, Close, 4)]].concat(),
        Some(Reason::Reset),
    );
    told[1].dwell_ns = None;
    let life = put_together(&told);
    assert_eq!((life.course.opened_ns(), life.total_ns()), (None, None));
    assert_eq!(life.course.stay_ns(SynRecv), None);
    assert_eq!(life.course.stay_ns(Established), Some(4 * MS));
}

/// A time in the middle is not known, but beginning and end are.
#[test]
fn unknown_in_the_middle() {
    let steps = [
        &CONNECTS[..],
        &[
            (Established, FinWait1, 1),
            (FinWait1, FinWait2, 1),
            (FinWait2, TimeWait, 60_000),
            (TimeWait, Close, 0),
        ],
    ]
    .concat();
    let mut told = transitions(1, Role::Client, &steps, Some(Reason::Expired));
    for transition in &mut told[4..] {
        transition.dwell_ns = None;
        transition.estimated = true;
    }
    let life = put_together(&told);
    assert_eq!(life.total_ns(), Some(60_005 * MS));
    assert!(life.course.is_estimated());
    assert_eq!(life.course.stay_ns(FinWait1), Some(MS));
    for state in [FinWait2, TimeWait] {
        assert_eq!(life.course.stay_ns(state), None, "{state}");
    }
}

/// Transitions were lost in between: the states around the gap are unknown, and so is the total.
#[test]
fn a_gap() {
    let steps = [
        &CONNECTS[..],
        &[(CloseWait, LastAck, 50), (LastAck, Close, 1)],
    ]
    .concat();
    let mut told = transitions(1, Role::Client, &steps, None);
    told[2].dwell_ns = None;
    let life = put_together(&told);
    assert_eq!(life.closer, Some(Closer::Passive));
    assert_eq!(life.course.opened_ns(), Some(START_NS));
    assert_eq!(life.total_ns(), None);
    for (state, stay_ns) in [
        (SynSent, Some(3 * MS)),
        (Established, None),
        (CloseWait, None),
        (LastAck, Some(MS)),
        (FinWait2, None),
    ] {
        assert_eq!(life.course.stay_ns(state), stay_ns, "{state}");
    }
}

#[test]
fn listeners_have_no_life() {
    let mut lives = Lives::default();
    for transition in transitions(
        1,
        Role::Listener,
        &[(Close, Listen, 0), (Listen, Close, 9)],
        None,
    ) {
        assert!(lives.transition(&transition, true).is_none());
    }
    assert_eq!(lives.len(), 0);
}

/// One transition that was asked for is enough, whichever it is.
#[test]
fn only_lives_that_did_what_was_asked_for() {
    let steps = [
        &CONNECTS[..],
        &[(Established, CloseWait, 1), (CloseWait, Close, 1)],
    ]
    .concat();
    let told = transitions(1, Role::Client, &steps, Some(Reason::Reset));
    for wanted in 0..=told.len() {
        let mut lives = Lives::default();
        let ended: Vec<Life> = told
            .iter()
            .enumerate()
            .filter_map(|(number, transition)| lives.transition(transition, number == wanted))
            .collect();
        assert_eq!(ended.len(), usize::from(wanted < told.len()));
    }
}

/// Lives that the tracker has forgotten are dropped and counted, and so is what finds no room.
#[test]
fn the_table_is_bounded() {
    let tracker = Tracker::new(Config::default()); // knows nobody
    let mut lives = Lives::new(3);
    for serial in 1..=5 {
        for transition in transitions(serial, Role::Client, &CONNECTS, None) {
            assert!(lives.transition(&transition, true).is_none());
        }
    }
    assert_eq!((lives.len(), lives.table_full()), (3, 2 * 2));
    lives.sweep_if_due(&tracker);
    assert_eq!((lives.len(), lives.ended_unseen()), (0, 3));
}
