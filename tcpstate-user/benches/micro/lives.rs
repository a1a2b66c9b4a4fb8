//! Connections that the benchmarks tell of.
use std::net::Ipv4Addr;

use tcpstate::{
    fact::{Details, Fact, FactKind},
    tcp::{
        Bytes, Comm, ConnectionId, Owner, OwnerSource, Role,
        TcpState::{self, *},
        Transition, Tuple,
    },
    tracker::{Config, Tracker},
};

/// Inode of their network namespace.
const NETNS: u32 = 4_026_531_840;
/// Time between two facts, ns.
const STEP_NS: u64 = 1_000;
/// How a client's connection goes on once it is open, when the peer closes first.
const END: [(TcpState, TcpState); 3] = [
    (Established, CloseWait),
    (CloseWait, LastAck),
    (LastAck, Close),
];
/// How it begins.
const BEGINNING: [(TcpState, TcpState); 2] = [(Close, SynSent), (SynSent, Established)];
/// Transitions of a whole life.
pub const OF_A_LIFE: usize = END.len() + BEGINNING.len();

/// Connections in a tracker, and the time there.
pub struct Crowd {
    tracker: Tracker,
    live: u32,
    now_ns: u64,
    next: u32,
}

impl Crowd {
    /// So many open connections.
    pub fn new(live: u32) -> Self {
        let mut crowd = Self {
            tracker: Tracker::new(Config::default()),
            live,
            now_ns: 0,
            next: 0,
        };
        for number in 0..live {
            crowd.tell(number, &BEGINNING, &mut |_| {});
        }
        crowd
    }

    /// Ends so many connections one by one, each followed by a new one in its place, all over the table.
    pub fn turn_over(&mut self, lives: usize, out: &mut dyn FnMut(&Transition)) {
        for _ in 0..lives {
            // A prime, so that every connection has its turn and no two neighbours follow each other.
            self.next = self.next.wrapping_add(7_368_787) % self.live;
            self.tell(self.next, &END, out);
            self.tell(self.next, &BEGINNING, out);
        }
    }

    fn tell(
        &mut self,
        number: u32,
        steps: &[(TcpState, TcpState)],
        out: &mut dyn FnMut(&Transition),
    ) {
        for (old, new) in steps {
            self.now_ns += STEP_NS;
            let fact = fact(number, self.now_ns, *old, *new);
            self.tracker.apply(&fact, out);
        }
        self.tracker.tick(self.now_ns, out);
    }
}

/// A fact about the connection `number`.
pub fn fact(number: u32, time_ns: u64, old: TcpState, new: TcpState) -> Fact {
    let details = match (old, new) {
        (Close, SynSent) => Some(Details {
            cookie: u64::from(number) + 1,
            owner: Some(owner()),
            cgroup: Some(4_242),
            bytes: None,
        }),
        (_, Close) => Some(Details {
            bytes: Some(Bytes {
                sent: 512,
                received: 4_096,
            }),
            ..Details::default()
        }),
        _ => None,
    };
    Fact {
        time_ns,
        cpu: 0,
        object: 0xffff_8880_0000_0000 + u64::from(number) * 2_304,
        netns: NETNS,
        tuple: tuple(number),
        kind: FactKind::Transition {
            old,
            new,
            error: 0,
            stillborn: false,
            details,
        },
    }
}

/// Transitions of so many whole lives, as the tracker gives them out.
pub fn transitions(lives: usize) -> Vec<Transition> {
    let mut crowd = Crowd::new(1_000);
    let mut all = Vec::with_capacity(lives * OF_A_LIFE);
    crowd.turn_over(lives, &mut |transition| all.push(*transition));
    assert_eq!(all.len(), lives * OF_A_LIFE);
    all
}

/// One of them, with everything known about it.
pub fn transition() -> Transition {
    Transition {
        mono_ns: 123_456_789_012,
        id: ConnectionId {
            cookie: 0x1_0001,
            serial: 123_456,
        },
        skaddr: 0xffff_8880_1234_5678,
        netns: NETNS,
        tuple: Some(tuple(12_345)),
        from: Established,
        to: CloseWait,
        dwell_ns: Some(1_234_567),
        estimated: false,
        reason: None,
        role: Some(Role::Client),
        owner: Some(owner()),
        cgroup: Some(4_242),
        container: None,
        bytes: None,
    }
}

fn tuple(number: u32) -> Tuple {
    let port = 10_000 + u16::try_from(number % 50_000).expect("below 60000");
    Tuple {
        laddr: Ipv4Addr::new(10, 0, 0, 1).into(),
        lport: Some(port),
        raddr: Ipv4Addr::from_bits(0x0a01_0000 + number / 50_000).into(),
        rport: 443,
    }
}

fn owner() -> Owner {
    Owner {
        pid: 4_711,
        uid: 1_000,
        comm: Comm(*b"nginx\0\0\0\0\0\0\0\0\0\0\0"),
        source: OwnerSource::Connect,
    }
}
