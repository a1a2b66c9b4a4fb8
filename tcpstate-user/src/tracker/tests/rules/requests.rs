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
