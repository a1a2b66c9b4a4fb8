//! Facts: records of a ring as bytes, and what the tracker makes of any sequence of them.
use arbitrary::{Arbitrary, Unstructured};
use hashbrown::HashSet;
use tcpstate_ebpf::{FAMILY_IPV4, FAMILY_IPV6};

use crate::{
    decode,
    fact::Fact,
    source::kernel::timers::Timers,
    tcp::{Comm, TcpState, Transition},
    tracker::{Config, Port, Selection, Tracker},
};

/// Any bytes are a fact or one error. The first four are the length of a jiffy.
pub fn decode(data: &[u8]) {
    let Some((tick, record)) = data.split_first_chunk() else {
        return;
    };
    if let Ok(fact) = decode::decode(record, u32::from_ne_bytes(*tick)) {
        assert!(record.len() >= 64, "a fact has at least a record");
        assert_eq!(fact.time_ns.to_ne_bytes(), record[..8]);
        if let crate::fact::FactKind::Exists {
            since_ns: Some(since_ns),
            ..
        } = fact.kind
        {
            assert!(since_ns <= fact.time_ns, "nothing began later");
        }
    }
}

/// What happens next. Few objects, tuples and tasks, so that they meet.
#[derive(Arbitrary, Debug)]
enum Event {
    Record(Record),
    /// A whole second passes and more.
    Pause(u8),
    Tick,
    FactsLost,
    WalkBegins,
    WalkEnds,
    FollowCgroup,
}

/// A record of the kernel, in small numbers.
#[derive(Arbitrary, Debug)]
struct Record {
    kind: u8,
    after_us: u16,
    /// The record was stated earlier than the one before, as those of a walk may be.
    is_late: bool,
    object: u8,
    related: u8,
    tuple: u8,
    old: u8,
    new: u8,
    error: u8,
    cpu: u8,
    cookie: u8,
    value: i32,
    task: u8,
}

/// A jiffy of a kernel with 250 Hz, ns.
const TICK_NS: u32 = 4_000_000;
/// When the first fact is stated, ns.
const START_NS: u64 = 1_000_000_000_000;

impl Record {
    fn bytes(&self, time_ns: u64) -> Vec<u8> {
        let object = |number: u8| u64::from(number % 8) * 0x40;
        let is_v6 = self.tuple & 1 != 0;
        let mut laddr = [0_u8; 16];
        laddr[0] = 127;
        let mut raddr = laddr;
        raddr[3] = self.tuple >> 1 & 1;
        let port = |number: u8| u16::from(number & 3);
        let mut bytes = Vec::with_capacity(120);
        bytes.extend(time_ns.to_ne_bytes());
        bytes.extend(object(self.object).to_ne_bytes());
        bytes.extend(laddr);
        bytes.extend(raddr);
        bytes.extend((1 + u32::from(self.tuple >> 6 & 1)).to_ne_bytes());
        bytes.extend(port(self.tuple >> 2).to_ne_bytes());
        bytes.extend(port(self.tuple >> 4).to_ne_bytes());
        bytes.extend([self.kind % 20, self.old % 14, self.new % 14]);
        bytes.push(if is_v6 { FAMILY_IPV6 } else { FAMILY_IPV4 });
        bytes.extend(u16::from(self.error).to_ne_bytes());
        bytes.extend(u16::from(self.cpu % 4).to_ne_bytes());
        bytes.extend(object(self.related).to_ne_bytes());
        bytes.extend(i64::from(self.value).to_ne_bytes());
        bytes.extend(u64::from(self.cookie % 8).to_ne_bytes());
        bytes.extend(u64::from(self.task >> 4 & 3).to_ne_bytes());
        bytes.extend(u32::from(self.task & 3).to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend([b'a' + (self.task >> 2 & 1)]);
        bytes.resize(120, 0);
        bytes
    }
}

/// Selections that ask for something of everything: tuple, local port, owner, cgroup.
fn selection(number: u8) -> Selection {
    let mut comm = Comm::default();
    comm.0[0] = b'a';
    let bit = |place: u8| number >> place & 1 != 0;
    Selection {
        ipv4: bit(0),
        local_ports: if bit(1) {
            vec![Port { first: 1, last: 2 }]
        } else {
            Vec::new()
        },
        pids: if bit(2) { vec![1] } else { Vec::new() },
        comms: if bit(3) { vec![comm] } else { Vec::new() },
        cgroups: bit(4).then(HashSet::new),
        netns: if bit(5) { vec![1] } else { Vec::new() },
        ..Selection::default()
    }
}

/// Whatever the kernel states, in whatever order, the live counts are those of the table, and no time is longer than what
/// has passed.
pub fn tracker(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let Ok((number, few, raw)) = data.arbitrary::<(u8, bool, bool)>() else {
        return;
    };
    let config = Config {
        selection: selection(number),
        raw,
        max_connections: if few { 3 } else { 100 },
    };
    let mut run = Run {
        tracker: Tracker::new(config),
        timers: Timers::default(),
        now_ns: START_NS,
        walk_ns: None,
    };
    while !data.is_empty()
        && let Ok(event) = data.arbitrary()
    {
        run.take(&event);
        run.assert_counts();
    }
    run.tracker
        .finish(&mut |transition: &Transition| assert_time(transition));
    run.assert_counts();
}

struct Run {
    tracker: Tracker,
    timers: Timers,
    now_ns: u64,
    /// When the walk that runs began.
    walk_ns: Option<u64>,
}

impl Run {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Record(record) => self.record(record),
            Event::Pause(seconds) => {
                self.now_ns += 1_000_000_000 * (1 + u64::from(*seconds));
                self.settle();
            }
            Event::Tick => self.settle(),
            Event::FactsLost => self.tracker.facts_lost(),
            Event::WalkBegins => {
                if self.walk_ns.is_none() {
                    self.walk_ns = Some(self.now_ns);
                    self.tracker.walk_begins();
                }
            }
            Event::WalkEnds => {
                if let Some(walk_ns) = self.walk_ns.take() {
                    let namespaces = HashSet::from_iter([1]);
                    let out = &mut |transition: &Transition| assert_time(transition);
                    self.tracker.walk_ends(walk_ns, &namespaces, out);
                }
            }
            Event::FollowCgroup => self.tracker.follow_cgroup(1),
        }
    }

    fn record(&mut self, record: &Record) {
        let after_ns = 1000 * u64::from(record.after_us);
        let time_ns = if record.is_late {
            self.now_ns - after_ns
        } else {
            self.now_ns += after_ns;
            self.now_ns
        };
        if let Ok(fact) = decode::decode(&record.bytes(time_ns), TICK_NS) {
            let tracker = &mut self.tracker;
            self.timers.apply(&fact, &mut |fact| apply(tracker, fact));
        }
    }

    fn settle(&mut self) {
        let tracker = &mut self.tracker;
        self.timers
            .settle(self.now_ns, &mut |fact| apply(tracker, fact));
        let out = &mut |transition: &Transition| assert_time(transition);
        self.tracker.tick(self.now_ns, out);
    }

    /// A state's live count is the number of its connections in the table, and never below zero.
    fn assert_counts(&self) {
        let open = self.tracker.still_open(u64::MAX);
        for state in TcpState::ALL {
            let counted = self.tracker.count(state);
            assert_eq!(counted, open[state.index()].sockets, "{state}");
        }
        assert_eq!(self.tracker.count(TcpState::Close), 0);
    }
}

fn apply(tracker: &mut Tracker, fact: &Fact) {
    let out = &mut |transition: &Transition| assert_time(transition);
    tracker.apply(fact, out);
}

/// Nobody was in a state for longer than time has passed; only a timer can tell of what was before.
fn assert_time(transition: &Transition) {
    let earliest_ns = if transition.estimated {
        0
    } else {
        START_NS - 65_535_000
    };
    let most_ns = transition.mono_ns.saturating_sub(earliest_ns);
    assert!(
        transition
            .dwell_ns
            .is_none_or(|dwell_ns| dwell_ns <= most_ns),
        "{transition:?}"
    );
}
