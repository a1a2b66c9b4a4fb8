//! Half-open connections: request sockets, and children that come without one.
use super::*;

#[test]
fn a_half_open_connection_counts_and_its_listener_stays() {
    let mut run = told(&[change(0, LISTENER, Close, Listen), requested(5)]);
    assert_eq!(last(&run, 1), [(Listen, SynRecv, None, None)]);
    assert_eq!(run.out[1].role, Some(Role::Server));
    assert_eq!(
        (run.tracker.count(Listen), run.tracker.count(SynRecv)),
        (1, 1)
    );
    run.apply(&request_ended(3005, Cause::Timer));
    assert_eq!(
        last(&run, 1),
        [(SynRecv, Close, Some(3000), Some(Reason::Timeout))]
    );
    assert_eq!(
        (run.tracker.count(Listen), run.tracker.count(SynRecv)),
        (1, 0)
    );
}

#[test]
fn why_a_half_open_connection_ends() {
    for (cause, reason) in [
        (Cause::Reset, Some(Reason::Reset)),
        (Cause::NetnsGone, Some(Reason::NetnsGone)),
        (Cause::Unreachable, Some(Reason::Unreachable)),
        (Cause::Unknown, None),
    ] {
        let run = told(&[requested(0), request_ended(4, cause)]);
        assert_eq!(
            last(&run, 1),
            [(SynRecv, Close, Some(4), reason)],
            "{cause:?}"
        );
    }
}

/// The kernel leaves half-open connections of a closed listener to their timers.
#[test]
fn a_half_open_connection_whose_listener_has_closed() {
    let run = told(&[
        change(0, LISTENER, Close, Listen),
        requested(1),
        change(2, LISTENER, Listen, Close),
        request_ended(9, Cause::Timer),
    ]);
    assert_eq!(
        last(&run, 1),
        [(SynRecv, Close, Some(8), Some(Reason::ListenerClosed))]
    );
}

/// Two CPUs make a child each; the second one's end comes after the first has taken the connection over.
#[test]
fn a_stillborn_child_that_ends_late_is_nothing() {
    let mut thrown_away = change(9, SOCKET + 10, SynRecv, Close);
    if let FactKind::Transition { stillborn, .. } = &mut thrown_away.kind {
        *stillborn = true;
    }
    let run = told(&[
        requested(0),
        change(1, SOCKET, Listen, SynRecv),
        change(2, SOCKET + 10, Listen, SynRecv),
        change(3, SOCKET, SynRecv, Established),
        thrown_away,
    ]);
    assert_eq!(last(&run, 1), [(SynRecv, Established, Some(3), None)]);
    assert_eq!((run.out.len(), run.tracker.count(SynRecv)), (2, 0));
}

/// The kernel makes a child, finds that another one has the connection, and throws the new one away.
#[test]
fn a_stillborn_child_is_nothing() {
    let run = told(&[
        requested(0),
        change(1, SOCKET, Listen, SynRecv),
        change(1, SOCKET, SynRecv, Close),
    ]);
    assert_eq!(last(&run, 1), [(Listen, SynRecv, None, None)]);
    assert_eq!((run.out.len(), run.tracker.count(SynRecv)), (1, 1));
}

#[test]
fn a_syn_cookie_leaves_the_half_open_time_unknown() {
    let run = told(&[
        change(5, SOCKET, Listen, SynRecv),
        change(5, SOCKET, SynRecv, Established),
    ]);
    assert_eq!(
        last(&run, 2),
        [
            (Listen, SynRecv, None, None),
            (SynRecv, Established, None, None)
        ]
    );
}

/// With TCP Fast Open the child stays in `SYN_RECV` for a round trip, and no request is queued.
#[test]
fn a_fast_open_child_counts_while_it_waits() {
    let mut run = told(&[change(0, SOCKET, Listen, SynRecv)]);
    run.tick(50 * MS);
    assert_eq!(run.tracker.count(SynRecv), 1);
    run.apply(&change(480, SOCKET, SynRecv, Established));
    assert_eq!(last(&run, 1), [(SynRecv, Established, Some(480), None)]);
    assert_eq!(run.tracker.count(SynRecv), 0);
}

/// Another CPU accepts the child, which frees the request, before the segment that made it has established it.
#[test]
fn a_child_that_is_accepted_before_it_is_established() {
    let begin = [requested(0), change(3, SOCKET, Listen, SynRecv)];
    let mut run = told(&begin);
    run.apply(&request_ended(4, Cause::Unknown));
    run.tick(50 * MS);
    run.apply(&change(60, SOCKET, SynRecv, Established));
    run.tick(500 * MS);
    assert_eq!(
        last(&run, run.out.len()),
        [
            (Listen, SynRecv, None, None),
            (SynRecv, Established, Some(60), None)
        ]
    );
    assert_eq!(run.out[0].id, run.out[1].id);
}

/// While a child waits, a request that ends for no known reason may be its own; in the end it was not.
#[test]
fn a_half_open_connection_that_ends_beside_a_child() {
    let mut other = change(3, SOCKET, Listen, SynRecv);
    other.tuple.rport = 4321;
    let mut run = told(&[requested(0), other, request_ended(4, Cause::Unknown)]);
    run.tick(1003 * MS);
    assert_eq!(run.out.len(), 1);
    run.tick(1004 * MS);
    assert_eq!(last(&run, 1), [(SynRecv, Close, Some(4), None)]);
    // Or its memory is another's sooner.
    let run = told(&[
        requested(0),
        other,
        request_ended(4, Cause::Unknown),
        requested(5),
    ]);
    assert_eq!(
        last(&run, 2),
        [
            (SynRecv, Close, Some(4), None),
            (Listen, SynRecv, None, None)
        ]
    );
    assert_eq!(run.tracker.count(SynRecv), 1);
}
