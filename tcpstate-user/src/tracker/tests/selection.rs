//! Filters of connections: what comes out is what a filter over the whole output would leave, for whole connections.
use hashbrown::HashSet;
use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    Run,
    lives::NETNS,
    story::{Story, story},
};
use crate::{
    fact::{Fact, FactKind},
    shown::{MinDwell, Shown},
    source::kernel::{self, filter::tests::record},
    tcp::{Comm, Owner, OwnerSource, Role, TcpState, Transition, Tuple},
    tracker::{Config, Port, Selection},
};

/// The listener of every request in a story.
const LISTENER: u64 = 0x4000;
/// Where the full sockets of a story live.
const FULL: std::ops::Range<u64> = 0x1000..0x2000;

/// A story, and whose connections it tells of.
#[derive(Clone, Debug)]
struct Owned {
    story: Story,
    /// By life, again and again.
    owners: Vec<Ownership>,
    /// The owner of the listener, where it is known.
    listens: Option<u32>,
    /// The cgroup of the listener and of all that it accepts.
    cgroup: u64,
}

#[derive(Clone, Copy, Debug)]
struct Ownership {
    pid: u32,
    comm: u8,
    /// A client's.
    cgroup: u64,
    told: Way,
    /// It is told after so many facts, if the socket lives then.
    late: usize,
}

/// How an owner becomes known.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Never,
    /// It connects; an accepted one is used.
    Acts,
    /// A walk meets it.
    Holds,
}

fn owner(pid: u32, comm: u8, source: OwnerSource) -> Owner {
    let mut name = [0; 16];
    name[0] = comm;
    Owner {
        pid,
        uid: 0,
        comm: Comm(name),
        source,
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let ownership = (
        1..4_u32,
        b'a'..b'c',
        7..9_u64,
        select(&[Way::Never, Way::Acts, Way::Holds]),
        0..60_usize,
    );
    let ownership = ownership.prop_map(|(pid, comm, cgroup, told, late)| Ownership {
        pid,
        comm,
        cgroup,
        told,
        late,
    });
    let listens = prop_oneof![Just(None), (1..4_u32).prop_map(Some)];
    (story(), vec(ownership, 6), listens, 7..9_u64).prop_map(|(story, owners, listens, cgroup)| {
        Owned {
            story,
            owners,
            listens,
            cgroup,
        }
    })
}

impl Owned {
    fn owner(&self, life: usize) -> Ownership {
        self.owners[life % self.owners.len()]
    }

    /// Lives of different namespaces at once.
    fn netns(life: usize) -> u32 {
        NETNS + u32::try_from(life % 2).expect("0 or 1")
    }

    /// The fact with what it says about owner and cgroup.
    fn fact(&self, number: usize) -> Fact {
        let told = &self.story.told[number];
        let mut fact = told.fact;
        let ownership = self.owner(told.life);
        fact.netns = Self::netns(told.life);
        if let FactKind::Transition {
            old,
            new,
            details: Some(details),
            ..
        } = &mut fact.kind
        {
            let connects = (*old, *new) == (TcpState::Close, TcpState::SynSent);
            if connects {
                details.cgroup = Some(ownership.cgroup);
                details.owner = (ownership.told == Way::Acts)
                    .then(|| owner(ownership.pid, ownership.comm, OwnerSource::Connect));
            } else if *old == TcpState::SynRecv {
                details.cgroup = Some(self.cgroup);
            }
        }
        fact
    }

    /// Tells everything of which the kernel side would deliver the facts under `filter`.
    fn tell(&self, run: &mut Run, filter: &tcpstate_ebpf::Filter) {
        if let Some(pid) = self.listens.filter(|_| !self.story.told.is_empty()) {
            let mut fact = self.fact(0);
            (fact.object, fact.time_ns) = (LISTENER, 1);
            fact.tuple.rport = 0;
            let listens = owner(pid, b'l', OwnerSource::Listen);
            run.tracker.listens(&fact, Some(listens), Some(self.cgroup));
        }
        let mut known = vec![false; self.story.lives.len()];
        for number in 0..self.story.told.len() {
            let told = &self.story.told[number];
            let fact = self.fact(number);
            let record = record(fact.netns, &fact.tuple);
            let delivered = match fact.kind {
                FactKind::Transition { old, .. } => {
                    filter.admits_step(&record, old as u8, |part| *part)
                }
                _ => filter.admits(&record, |part| *part),
            };
            if delivered {
                run.apply(&fact);
            }
            if told.quiet {
                run.tick(fact.time_ns);
                self.tell_owners(run, number + 1, &mut known);
            }
            run.assert_counts_are_the_table();
        }
    }

    fn tell_owners(&self, run: &mut Run, told: usize, known: &mut [bool]) {
        for (object, life, _) in self.story.alive(told) {
            let ownership = self.owner(life);
            if known[life] || ownership.late > told || !FULL.contains(&object) {
                continue;
            }
            known[life] = true;
            let (pid, comm) = (ownership.pid, ownership.comm);
            let fact = |kind| Fact {
                time_ns: self.story.told[told - 1].fact.time_ns,
                cpu: 0,
                object,
                netns: Self::netns(life),
                tuple: self.story.lives[life].tuple,
                kind,
            };
            match ownership.told {
                Way::Never => {}
                Way::Acts => {
                    let owner = owner(pid, comm, OwnerSource::Accept);
                    run.apply(&fact(FactKind::Used { owner }));
                }
                Way::Holds => {
                    run.tracker.walk_begins();
                    let owner = owner(pid, comm, OwnerSource::Snapshot);
                    run.apply(&fact(FactKind::Held { owner }));
                    let out = &mut run.out;
                    let give = &mut |transition: &Transition| out.push(*transition);
                    run.tracker.walk_ends(0, &HashSet::new(), give);
                }
            }
        }
    }
}

fn ports() -> impl Strategy<Value = Vec<Port>> {
    let port = select(&[(80, 80), (443, 443), (40_000, 50_000), (1, 79)]);
    vec(port.prop_map(|(first, last)| Port { first, last }), 1..3)
}

fn nets() -> impl Strategy<Value = Vec<ipnet::IpNet>> {
    let net = select(&[
        "10.0.0.0/16",
        "10.1.0.0/31",
        "10.1.0.3/32",
        "0.0.0.0/0",
        "fd00::/8",
        "fd00::100/127",
    ]);
    let net = net.prop_map(|text| text.parse().expect("a network"));
    vec(net, 1..3)
}

/// One filter.
fn one() -> impl Strategy<Value = Selection> {
    let none = Selection::default;
    prop_oneof![
        any::<bool>().prop_map(move |ipv4| Selection {
            ipv4,
            ipv6: !ipv4,
            ..none()
        }),
        ports().prop_map(move |local_ports| Selection {
            local_ports,
            ..none()
        }),
        ports().prop_map(move |remote_ports| Selection {
            remote_ports,
            ..none()
        }),
        nets().prop_map(move |local_nets| Selection {
            local_nets,
            ..none()
        }),
        nets().prop_map(move |remote_nets| Selection {
            remote_nets,
            ..none()
        }),
        vec(NETNS..NETNS + 3, 1..3).prop_map(move |netns| Selection { netns, ..none() }),
        vec(1..5_u32, 1..3).prop_map(move |pids| Selection { pids, ..none() }),
        select(&b"ablx"[..]).prop_map(move |comm| Selection {
            comms: vec![owner(0, comm, OwnerSource::Accept).comm],
            ..none()
        }),
        (7..10_u64).prop_map(move |cgroup| Selection {
            cgroups: Some(HashSet::from_iter([cgroup])),
            ..none()
        }),
    ]
}

/// Both filters: of two of the same kind the first counts.
fn both(first: Selection, second: Selection) -> Selection {
    fn either<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
        if first.is_empty() { second } else { first }
    }
    let families = if first.ipv4 == first.ipv6 {
        &second
    } else {
        &first
    };
    Selection {
        ipv4: families.ipv4,
        ipv6: families.ipv6,
        local_ports: either(first.local_ports, second.local_ports),
        remote_ports: either(first.remote_ports, second.remote_ports),
        local_nets: either(first.local_nets, second.local_nets),
        remote_nets: either(first.remote_nets, second.remote_nets),
        netns: either(first.netns, second.netns),
        pids: either(first.pids, second.pids),
        comms: either(first.comms, second.comms),
        cgroups: first.cgroups.or(second.cgroups),
    }
}

/// None, one, or two.
fn selection() -> impl Strategy<Value = Selection> {
    prop_oneof![
        1 => Just(Selection::default()),
        6 => one(),
        12 => (one(), one()).prop_map(|(first, second)| both(first, second)),
    ]
}

fn shown() -> impl Strategy<Value = Shown> {
    let states = || vec(select(&TcpState::ALL[..]), 0..4);
    let min_dwell = (proptest::option::of(select(&TcpState::ALL[..])), 0..50_u64);
    let min_dwell = min_dwell.prop_map(|(state, ms)| MinDwell {
        state,
        at_least: std::time::Duration::from_millis(ms),
    });
    (states(), states(), states(), vec(min_dwell, 0..3)).prop_map(
        |(either, from, to, min_dwell)| Shown {
            either,
            from,
            to,
            min_dwell,
        },
    )
}

/// What the documentation says of `--state`, `--from-state`, `--to-state` and `--min-dwell`, over a printed line.
fn is_shown(shown: &Shown, line: &Transition) -> bool {
    let holds = |states: &[TcpState], state| states.is_empty() || states.contains(&state);
    let long = |least: &MinDwell| {
        let dwell_ms = line.dwell_ns.map(|dwell| dwell / 1_000_000);
        let wanted_ms = u64::try_from(least.at_least.as_millis()).expect("short");
        least.state.is_none_or(|state| state == line.from)
            && dwell_ms.is_some_and(|dwell| dwell >= wanted_ms)
    };
    (holds(&shown.either, line.from) || holds(&shown.either, line.to))
        && holds(&shown.from, line.from)
        && holds(&shown.to, line.to)
        && (shown.min_dwell.is_empty() || shown.min_dwell.iter().any(long))
}

/// Without what may differ: the identity's number, what was still to be learned when a line came out at once, and the
/// local port of a line that was held back for it.
fn bare(transition: &Transition) -> Transition {
    let mut bare = *transition;
    bare.id.serial = 0;
    (bare.owner, bare.cgroup) = (None, None);
    if bare.to == TcpState::SynSent
        && let Some(tuple) = &mut bare.tuple
    {
        tuple.lport = None;
    }
    bare
}

/// Whether a filter over the whole output takes this life: by its tuple, namespace, owner and cgroup as they were known
/// in the end.
fn wanted(selection: &Selection, owned: &Owned, all: &Run, life: usize) -> bool {
    let lines = all.of_life(&owned.story, life);
    let Some(last) = lines.last() else {
        return false;
    };
    let tuple: Tuple = owned.story.lives[life].tuple;
    // The story may stop before the local end is known: then nobody can tell.
    let by_local_end = !(selection.local_ports.is_empty() && selection.local_nets.is_empty());
    let named = lines.iter().any(|line| line.to != TcpState::SynSent);
    if !selection.admits_netns(Owned::netns(life))
        || selection.admits(&tuple) != Some(true)
        || by_local_end && !named
    {
        return false;
    }
    let open = all.tracker.open().find(|open| open.id == last.id);
    let (role, owner, cgroup) = open.map_or((last.role, last.owner, last.cgroup), |open| {
        (open.role, open.owner, open.cgroup)
    });
    let pid =
        selection.pids.is_empty() || owner.is_some_and(|owner| selection.pids.contains(&owner.pid));
    let comm = selection.comms.is_empty()
        || owner.is_some_and(|owner| selection.comms.contains(&owner.comm));
    let cgroup = selection
        .cgroups
        .as_ref()
        .is_none_or(|cgroups| cgroup.is_some_and(|cgroup| cgroups.contains(&cgroup)));
    assert_ne!(role, Some(Role::Listener), "stories tell of none");
    pid && comm && cgroup
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_filter_takes_whole_connections(owned in owned(), selection in selection(), shown in shown()) {
        let mut all = Run::new(Config::default());
        owned.tell(&mut all, &tcpstate_ebpf::Filter::default());
        all.finish();
        let mut filtered = Run::new(Config { selection: selection.clone(), ..Config::default() });
        owned.tell(&mut filtered, &kernel::in_kernel(&selection));
        filtered.finish();
        let mut given = 0;
        for (number, life) in owned.story.lives.iter().enumerate() {
            let lines = filtered.of_life(&owned.story, number);
            given += lines.len();
            let printed = |lines: Vec<&Transition>| -> Vec<Transition> {
                lines.into_iter().map(bare).collect()
            };
            let mut expected = all.of_life(&owned.story, number);
            if !wanted(&selection, &owned, &all, number) {
                expected.clear();
            }
            let picked = lines.iter().copied().filter(|line| shown.passes(line)).collect();
            let expected_picked = expected.iter().copied().filter(|line| is_shown(&shown, line)).collect();
            prop_assert_eq!(printed(lines), printed(expected), "life {} {:?}", number, life.tuple);
            prop_assert_eq!(printed(picked), printed(expected_picked), "shown of life {}", number);
        }
        prop_assert_eq!(given, filtered.out.len(), "lines of no life");
        prop_assert_eq!(filtered.tracker.missed_start(), 0);
        // Nothing stays behind of what has ended or is not wanted at all.
        let alive: HashSet<u64> = owned.story.alive(owned.story.told.len()).into_iter().map(|(object, ..)| object).collect();
        for object in filtered.tracker.connections.iter().map(|(object, _)| object) {
            prop_assert!(alive.contains(&object), "{:x} is in the table", object);
        }
        prop_assert_eq!(filtered.tracker.owners.waiting.len(), 0);
    }

    /// A line that was held back for its port carries it.
    #[test]
    fn a_held_back_line_has_its_port(story in story()) {
        let local_ports = vec![Port { first: 1, last: u16::MAX }];
        let selection = Selection { local_ports, ..Selection::default() };
        let mut run = Run::new(Config { selection, ..Config::default() });
        run.tell(&story.told);
        run.finish();
        for transition in &run.out {
            prop_assert!(transition.tuple.is_some_and(|tuple| tuple.lport.is_some()), "{:?}", transition);
        }
    }
}
