//! The rules of product.md that need a certain story, one by one.
mod full;
mod requests;
mod timewait;

use std::net::{IpAddr, Ipv4Addr};

use super::{Run, lives::NETNS};
use crate::{
    fact::{Cause, Details, Fact, FactKind},
    tcp::{
        Comm, Owner, OwnerSource, Reason, Role,
        TcpState::{self, *},
        Tuple,
    },
    tracker::Config,
};

const LISTENER: u64 = 1;
const SOCKET: u64 = 2;
const REQUEST: u64 = 3;
const TIMEWAIT: u64 = 4;
const MS: u64 = 1_000_000;

/// What comes out, as far as these tests look at it: state left and entered, dwell in ms, reason.
type Step = (TcpState, TcpState, Option<u64>, Option<Reason>);

fn tuple() -> Tuple {
    Tuple {
        laddr: Ipv4Addr::LOCALHOST.into(),
        lport: Some(80),
        raddr: Ipv4Addr::new(10, 0, 0, 1).into(),
        rport: 50_000,
    }
}

/// A fact at a time in ms.
fn fact(time: u64, object: u64, kind: FactKind) -> Fact {
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let listening = Tuple {
        raddr: nobody,
        rport: 0,
        ..tuple()
    };
    Fact {
        time_ns: time * MS,
        cpu: 0,
        object,
        netns: NETNS,
        tuple: if object == LISTENER {
            listening
        } else {
            tuple()
        },
        kind,
    }
}

fn change(time: u64, object: u64, old: TcpState, new: TcpState) -> Fact {
    failing(time, object, old, new, 0)
}

/// A change of state with a pending error.
fn failing(time: u64, object: u64, old: TcpState, new: TcpState, error: u16) -> Fact {
    let details = None;
    fact(
        time,
        object,
        FactKind::Transition {
            old,
            new,
            error,
            stillborn: false,
            details,
        },
    )
}

fn requested(time: u64) -> Fact {
    fact(
        time,
        REQUEST,
        FactKind::RequestAdded {
            cookie: 7,
            listener: LISTENER,
        },
    )
}

fn request_ended(time: u64, cause: Cause) -> Fact {
    fact(time, REQUEST, FactKind::RequestEnded { cause })
}

fn timewait_ended(time: u64, substate: TcpState, cause: Cause, armed: Option<u64>) -> Fact {
    let armed_ns = armed.map(|armed| armed * MS);
    fact(
        time,
        TIMEWAIT,
        FactKind::TimewaitEnded {
            substate,
            cause,
            armed_ns,
        },
    )
}

/// A client that has closed at 20 ms and is in `FIN_WAIT2` since 30 ms, as a mini-socket since 40 ms.
fn closed_client() -> Vec<Fact> {
    vec![
        change(0, SOCKET, Close, SynSent),
        change(10, SOCKET, SynSent, Established),
        change(20, SOCKET, Established, FinWait1),
        change(30, SOCKET, FinWait1, FinWait2),
        fact(
            40,
            TIMEWAIT,
            FactKind::TimewaitCreated { substate: FinWait2 },
        ),
        change(40, SOCKET, FinWait2, Close),
    ]
}

fn told(facts: &[Fact]) -> Run {
    let mut run = Run::new(Config::default());
    for fact in facts {
        run.apply(fact);
        run.assert_counts_are_the_table();
    }
    run
}

/// The last `count` steps.
fn last(run: &Run, count: usize) -> Vec<Step> {
    let steps = run.out.iter().map(|transition| {
        let dwell = transition.dwell_ns.map(|dwell_ns| dwell_ns / MS);
        (transition.from, transition.to, dwell, transition.reason)
    });
    steps.skip(run.out.len() - count).collect()
}
