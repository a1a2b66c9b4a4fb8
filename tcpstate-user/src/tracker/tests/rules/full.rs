//! Full sockets: why they end, and whose they are.
use super::*;

#[test]
fn why_a_full_socket_ends() {
    for (from, error, reason) in [
        (SynSent, 111, Some(Reason::Refused)),
        (SynSent, 110, Some(Reason::Timeout)),
        (SynSent, 113, Some(Reason::Unreachable)),
        (SynSent, 101, Some(Reason::Unreachable)),
        (Established, 104, Some(Reason::Reset)),
        (CloseWait, 32, Some(Reason::Reset)),
        (Established, 103, Some(Reason::Aborted)),
        // No error: this end threw the connection away.
        (Established, 0, Some(Reason::Aborted)),
        (CloseWait, 0, Some(Reason::Aborted)),
        // That is how it should end.
        (LastAck, 0, None),
    ] {
        let run = told(&[failing(0, SOCKET, from, Close, error)]);
        assert_eq!(
            last(&run, 1),
            [(from, Close, None, reason)],
            "{from} {error}"
        );
    }
}

#[test]
fn a_client_keeps_its_owner() {
    let owner = Owner {
        pid: 42,
        uid: 1000,
        comm: Comm(*b"curl\0\0\0\0\0\0\0\0\0\0\0\0"),
        source: OwnerSource::Connect,
    };
    let mut facts = closed_client();
    facts[0].kind = FactKind::Transition {
        old: Close,
        new: SynSent,
        error: 0,
        stillborn: false,
        details: Some(Details {
            cookie: 7,
            owner: Some(owner),
            ..Details::default()
        }),
    };
    facts.push(timewait_ended(50, FinWait2, Cause::Timer, None));
    for transition in told(&facts).out {
        assert_eq!(
            (transition.owner, transition.role),
            (Some(owner), Some(Role::Client))
        );
        assert_eq!(transition.id.cookie, 7);
    }
}

/// The raw view ends while a child's own tuple is not known yet: the line is given out without it.
#[test]
fn the_end_of_a_run_gives_out_what_is_held_back() {
    let mut run = Run::new(Config {
        raw: true,
        ..Config::default()
    });
    run.apply(&change(0, SOCKET, Listen, SynRecv));
    assert!(run.out.is_empty());
    run.finish();
    assert_eq!(last(&run, 1), [(Listen, SynRecv, None, None)]);
    assert_eq!(run.out[0].tuple, None);
}
