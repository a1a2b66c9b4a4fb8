//! Timewait sockets: what they take over, and how they end.
use hashbrown::HashSet;

use super::*;

#[test]
fn the_whole_of_a_closed_client() {
    let mut facts = closed_client();
    facts.push(fact(
        50,
        TIMEWAIT,
        FactKind::TimewaitSubstate { substate: TimeWait },
    ));
    facts.push(timewait_ended(60_050, TimeWait, Cause::Timer, None));
    let run = told(&facts);
    assert_eq!(
        last(&run, 3),
        [
            (FinWait1, FinWait2, Some(10), None),
            (FinWait2, TimeWait, Some(20), None),
            (TimeWait, Close, Some(60_000), Some(Reason::Expired)),
        ]
    );
    assert!(
        run.out
            .iter()
            .all(|transition| transition.id == run.out[0].id)
    );
    assert_eq!(run.tracker.tracked(), 0);
}

#[test]
fn why_a_timewait_socket_ends() {
    for (cause, reason) in [
        (Cause::Timer, Some(Reason::Expired)),
        (Cause::Reused, Some(Reason::Reused)),
        (Cause::Reset, Some(Reason::Reset)),
        (Cause::NetnsGone, Some(Reason::NetnsGone)),
        (Cause::Aborted, Some(Reason::Aborted)),
        (Cause::Unknown, None),
    ] {
        let mut facts = closed_client();
        facts.push(timewait_ended(100, FinWait2, cause, None));
        let run = told(&facts);
        assert_eq!(
            last(&run, 1),
            [(FinWait2, Close, Some(70), reason)],
            "{cause:?}"
        );
    }
}

/// A walk that comes in between finds it in `TIME_WAIT`: the counts were wrong, and it is the same connection.
#[test]
fn a_walk_recovers_it_too() {
    let mut run = told(&closed_client());
    run.tracker.walk_begins();
    run.tracker.walk_ends(0, &HashSet::new(), &mut |_| {}); // the first takes up what exists
    run.tracker.walk_begins();
    run.apply(&fact(
        30_000,
        TIMEWAIT,
        FactKind::Exists {
            state: TimeWait,
            cookie: 0,
            since_ns: Some(50 * MS),
            cgroup: None,
        },
    ));
    let netns = HashSet::from_iter([NETNS]);
    let drift = run.tracker.walk_ends(30_000 * MS, &netns, &mut |_| {});
    assert_eq!((drift.of(FinWait2), drift.of(TimeWait)), (1, -1));
    run.assert_counts_are_the_table();
    run.apply(&timewait_ended(60_050, TimeWait, Cause::Timer, Some(50)));
    let expected = [
        (FinWait2, TimeWait, Some(20), None),
        (TimeWait, Close, Some(60_000), Some(Reason::Expired)),
    ];
    assert_eq!(last(&run, 2), expected);
    assert!(run.out.iter().rev().take(2).all(|line| line.estimated));
    assert!(run.out.iter().all(|line| line.id == run.out[0].id));
}

/// Where the peer's FIN cannot be seen when it comes, the timer tells afterwards, and the lines say so.
#[test]
fn a_recovered_time_is_marked() {
    let mut facts = closed_client();
    facts.push(timewait_ended(60_050, TimeWait, Cause::Timer, Some(50)));
    let run = told(&facts);
    let expected = [
        (FinWait2, TimeWait, Some(20), None),
        (TimeWait, Close, Some(60_000), Some(Reason::Expired)),
    ];
    assert_eq!(last(&run, 2), expected);
    let marks: Vec<_> = run
        .out
        .iter()
        .map(|transition| transition.estimated)
        .collect();
    assert_eq!(marks, [false, false, false, false, true, true]);
}

/// Where not even the timer tells, the time is unknown, not guessed.
#[test]
fn a_time_that_cannot_be_recovered_is_unknown() {
    let mut facts = closed_client();
    facts.push(timewait_ended(60_050, TimeWait, Cause::Timer, None));
    let run = told(&facts);
    let dwells: Vec<_> = last(&run, 2).into_iter().map(|step| step.2).collect();
    assert_eq!(dwells, [None, None]);
}

#[test]
fn too_many_timewait_sockets() {
    let run = told(&[
        change(0, SOCKET, Established, FinWait1),
        change(1, SOCKET, FinWait1, FinWait2),
        fact(2, SOCKET, FactKind::TimewaitOverflow),
        change(2, SOCKET, FinWait2, Close),
    ]);
    assert_eq!(
        last(&run, 1),
        [(FinWait2, Close, Some(1), Some(Reason::TwOverflow))]
    );
}
