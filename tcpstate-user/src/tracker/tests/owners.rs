//! Rules about owners: what is certain, what a hint, and what a walk over the open files corrects.
use hashbrown::HashSet;

use super::{Run, lives::NETNS};
use crate::{
    fact::{Cause, Details, Fact, FactKind},
    tcp::{Comm, Owner, OwnerSource, TcpState, Transition, Tuple},
    tracker::{Config, Selection},
};

const LISTENER: u64 = 0x1000;
const REQUEST: u64 = 0x2000;
const CHILD: u64 = 0x3000;

fn owner(pid: u32, source: OwnerSource) -> Owner {
    Owner {
        pid,
        uid: 1,
        comm: Comm(*b"worker\0\0\0\0\0\0\0\0\0\0"),
        source,
    }
}

/// A tracker that is told one thing after the other, a millisecond apart.
struct Teller {
    run: Run,
    now_ns: u64,
}

impl Teller {
    fn new(selection: Selection) -> Self {
        let config = Config {
            selection,
            ..Config::default()
        };
        Self {
            run: Run::new(config),
            now_ns: 1_000_000_000,
        }
    }

    fn tell(&mut self, object: u64, tuple: Tuple, kind: FactKind) {
        self.now_ns += 1_000_000;
        self.run.apply(&Fact {
            time_ns: self.now_ns,
            cpu: 0,
            object,
            netns: NETNS,
            tuple,
            kind,
        });
        self.run.assert_counts_are_the_table();
    }

    fn moves(&mut self, object: u64, states: (TcpState, TcpState), owner: Option<Owner>) {
        let details = Details {
            owner,
            ..Details::default()
        };
        let tuple = if states.1 == TcpState::Listen {
            listening()
        } else {
            accepted()
        };
        let kind = FactKind::Transition {
            old: states.0,
            new: states.1,
            error: 0,
            stillborn: false,
            details: Some(details),
        };
        self.tell(object, tuple, kind);
    }

    fn used(&mut self, object: u64, pid: u32) {
        let owner = owner(pid, OwnerSource::Accept);
        self.tell(object, accepted(), FactKind::Used { owner });
    }

    fn held(&mut self, object: u64, pid: u32) {
        let owner = owner(pid, OwnerSource::Snapshot);
        self.tell(object, accepted(), FactKind::Held { owner });
    }

    fn exists(&mut self, object: u64, state: TcpState) {
        let tuple = if state == TcpState::Listen {
            listening()
        } else {
            accepted()
        };
        let exists = FactKind::Exists {
            state,
            cookie: 0,
            since_ns: None,
            cgroup: None,
        };
        self.tell(object, tuple, exists);
    }

    /// A walk that meets what `during` tells, and nothing else.
    fn walk(&mut self, during: impl FnOnce(&mut Self)) {
        self.walk_of(&[NETNS], during);
    }

    /// A walk over the open files alone.
    fn files(&mut self, during: impl FnOnce(&mut Self)) {
        self.walk_of(&[], during);
    }

    fn walk_of(&mut self, namespaces: &[u32], during: impl FnOnce(&mut Self)) {
        self.now_ns += 1;
        let start_ns = self.now_ns;
        self.run.tracker.walk_begins();
        during(self);
        let out = &mut self.run.out;
        let namespaces = namespaces.iter().copied().collect::<HashSet<u32>>();
        let give = &mut |transition: &Transition| out.push(*transition);
        self.run.tracker.walk_ends(start_ns, &namespaces, give);
        self.run.assert_counts_are_the_table();
    }

    /// Process 1 listens, and a connection is accepted there by somebody.
    fn accepts(selection: Selection) -> Self {
        let mut teller = Self::new(selection);
        let listens = (TcpState::Close, TcpState::Listen);
        teller.moves(LISTENER, listens, Some(owner(1, OwnerSource::Listen)));
        teller.child();
        teller
    }

    fn child(&mut self) {
        let added = FactKind::RequestAdded {
            cookie: 7,
            listener: LISTENER,
        };
        self.tell(REQUEST, accepted(), added);
        self.moves(CHILD, (TcpState::Listen, TcpState::SynRecv), None);
        self.moves(CHILD, (TcpState::SynRecv, TcpState::Established), None);
    }

    fn owner(&self, object: u64) -> Option<(u32, OwnerSource)> {
        let open = self.run.tracker.open().find(|open| open.skaddr == object);
        let owner = open.expect("it is followed").owner;
        owner.map(|owner| (owner.pid, owner.source))
    }
}

fn listening() -> Tuple {
    Tuple {
        laddr: [0, 0, 0, 0].into(),
        lport: Some(80),
        raddr: [0, 0, 0, 0].into(),
        rport: 0,
    }
}

fn accepted() -> Tuple {
    Tuple {
        laddr: [10, 0, 0, 1].into(),
        raddr: [10, 0, 0, 2].into(),
        rport: 4000,
        ..listening()
    }
}

#[test]
fn a_listeners_owner_is_a_hint_until_somebody_is_seen() {
    let mut teller = Teller::accepts(Selection::default());
    assert_eq!(teller.owner(CHILD), Some((1, OwnerSource::Listen)));
    teller.used(CHILD, 2);
    assert_eq!(teller.owner(CHILD), Some((2, OwnerSource::Accept)));
    // It is passed on.
    teller.used(CHILD, 3);
    assert_eq!(teller.owner(CHILD), Some((3, OwnerSource::Accept)));
    assert_eq!(teller.owner(LISTENER), Some((1, OwnerSource::Listen)));
}

#[test]
fn a_child_of_a_syn_cookie_has_the_hint_too() {
    let mut teller = Teller::new(Selection::default());
    let listens = (TcpState::Close, TcpState::Listen);
    teller.moves(LISTENER, listens, Some(owner(1, OwnerSource::Listen)));
    teller.moves(CHILD, (TcpState::Listen, TcpState::SynRecv), None);
    teller.moves(CHILD, (TcpState::SynRecv, TcpState::Established), None);
    assert_eq!(teller.owner(CHILD), Some((1, OwnerSource::Listen)));
}

#[test]
fn listeners_that_share_a_port_give_no_hint_to_a_child_of_either() {
    let mut teller = Teller::new(Selection::default());
    let listens = (TcpState::Close, TcpState::Listen);
    teller.moves(LISTENER, listens, Some(owner(1, OwnerSource::Listen)));
    teller.moves(LISTENER + 1, listens, Some(owner(2, OwnerSource::Listen)));
    teller.moves(CHILD, (TcpState::Listen, TcpState::SynRecv), None);
    teller.moves(CHILD, (TcpState::SynRecv, TcpState::Established), None);
    assert_eq!(teller.owner(CHILD), None);
    // The end of one leaves the other.
    teller.moves(LISTENER, (TcpState::Listen, TcpState::Close), None);
    teller.moves(CHILD + 1, (TcpState::Listen, TcpState::SynRecv), None);
    teller.moves(CHILD + 1, (TcpState::SynRecv, TcpState::Established), None);
    assert_eq!(teller.owner(CHILD + 1), Some((2, OwnerSource::Listen)));
}

#[test]
fn a_walk_turns_a_hint_into_who_holds_the_socket() {
    for holder in [1, 2] {
        let mut teller = Teller::accepts(Selection::default());
        teller.files(|teller| teller.held(CHILD, holder));
        assert_eq!(teller.owner(CHILD), Some((holder, OwnerSource::Snapshot)));
    }
}

#[test]
fn a_walk_corrects_who_no_longer_holds_the_socket() {
    let mut teller = Teller::accepts(Selection::default());
    teller.used(CHILD, 2);
    // One of several that hold it: nothing tells that it is another's, in whatever order they are met.
    for holders in [[2, 3], [3, 2]] {
        teller.files(|teller| holders.iter().for_each(|pid| teller.held(CHILD, *pid)));
        assert_eq!(teller.owner(CHILD), Some((2, OwnerSource::Accept)));
    }
    teller.files(|teller| [4, 3].iter().for_each(|pid| teller.held(CHILD, *pid)));
    assert_eq!(teller.owner(CHILD), Some((4, OwnerSource::Snapshot)));
    // Nobody was met: it was on its way from one to another.
    teller.files(|_| {});
    assert_eq!(teller.owner(CHILD), Some((4, OwnerSource::Snapshot)));
}

#[test]
fn what_happens_while_a_walk_runs_is_newer_than_what_it_has_seen() {
    let mut teller = Teller::accepts(Selection::default());
    teller.used(CHILD, 2);
    teller.files(|teller| {
        teller.held(CHILD, 3);
        teller.used(CHILD, 4); // accepted from a process that was looked at before
    });
    assert_eq!(teller.owner(CHILD), Some((4, OwnerSource::Accept)));
}

#[test]
fn the_holders_of_a_socket_are_not_those_of_the_next_at_its_address() {
    let mut teller = Teller::accepts(Selection::default());
    teller.used(CHILD, 2);
    teller.files(|teller| {
        teller.held(CHILD, 3);
        teller.moves(CHILD, (TcpState::Established, TcpState::Close), None);
        teller.child();
        teller.used(CHILD, 2);
    });
    assert_eq!(teller.owner(CHILD), Some((2, OwnerSource::Accept)));
}

#[test]
fn a_listener_whose_end_was_lost_gives_no_hint_after_the_next_walk() {
    let mut teller = Teller::accepts(Selection::default());
    teller.walk(|_| {});
    teller.child();
    assert_eq!(teller.owner(CHILD), None);
}

#[test]
fn a_client_that_is_passed_on_is_seen_at_work_elsewhere() {
    let mut teller = Teller::new(Selection::default());
    let connects = (TcpState::Close, TcpState::SynSent);
    teller.moves(CHILD, connects, Some(owner(1, OwnerSource::Connect)));
    teller.moves(CHILD, (TcpState::SynSent, TcpState::Established), None);
    teller.used(CHILD, 1);
    assert_eq!(teller.owner(CHILD), Some((1, OwnerSource::Connect)));
    teller.used(CHILD, 2);
    assert_eq!(teller.owner(CHILD), Some((2, OwnerSource::Snapshot)));
}

#[test]
fn what_existed_belongs_to_who_holds_it() {
    let mut teller = Teller::new(Selection::default());
    teller.walk(|teller| {
        teller.exists(CHILD, TcpState::CloseWait);
        teller.exists(CHILD + 1, TcpState::CloseWait);
        teller.held(CHILD, 5);
    });
    assert_eq!(teller.owner(CHILD), Some((5, OwnerSource::Snapshot)));
    assert_eq!(teller.owner(CHILD + 1), None);
}

/// Nothing that waits for an owner stays when its connection is gone, however it went.
#[test]
fn nothing_waits_for_ever() {
    let selection = || Selection {
        pids: vec![2],
        ..Selection::default()
    };
    let waiting = |teller: &Teller| teller.run.tracker.owners.waiting.len();

    let mut teller = Teller::accepts(selection());
    assert_eq!((waiting(&teller), teller.run.out.len()), (1, 0));
    teller.used(CHILD, 2);
    assert_eq!((waiting(&teller), teller.run.out.len()), (0, 2));

    let mut teller = Teller::accepts(selection());
    teller.moves(CHILD, (TcpState::Close, TcpState::SynSent), None); // the end of the child was lost
    teller.moves(CHILD, (TcpState::SynSent, TcpState::Close), None);
    assert_eq!((waiting(&teller), teller.run.out.len()), (0, 0));

    let mut teller = Teller::accepts(selection());
    teller.walk(|_| {});
    assert_eq!(waiting(&teller), 1);
    teller.walk(|_| {}); // it is not there any more
    assert_eq!((waiting(&teller), teller.run.out.len()), (0, 0));

    let mut teller = Teller::new(selection());
    let added = FactKind::RequestAdded {
        cookie: 7,
        listener: LISTENER,
    };
    teller.tell(REQUEST, accepted(), added);
    assert_eq!(waiting(&teller), 1);
    let cause = Cause::Timer;
    teller.tell(REQUEST, accepted(), FactKind::RequestEnded { cause });
    assert_eq!((waiting(&teller), teller.run.out.len()), (0, 0));
}

/// The owner of a half-open connection is its listener's for good, when it is never accepted.
#[test]
fn a_hint_decides_when_nothing_better_can_come() {
    for (pid, shown) in [(1, 3), (2, 0)] {
        let mut teller = Teller::accepts(Selection {
            pids: vec![pid],
            ..Selection::default()
        });
        let listens = usize::from(pid == 1);
        assert_eq!(teller.run.out.len(), listens);
        teller.moves(CHILD, (TcpState::Established, TcpState::Close), None);
        assert_eq!(teller.run.out.len(), listens + shown);
    }
}

/// A walk tells the cgroup of a connection whose beginning was missed.
#[test]
fn a_cgroup_may_be_known_late() {
    let mut teller = Teller::new(Selection {
        cgroups: Some(HashSet::from_iter([9])),
        ..Selection::default()
    });
    teller.walk(|_| {});
    teller.moves(CHILD, (TcpState::Established, TcpState::CloseWait), None);
    assert_eq!(teller.run.out.len(), 0);
    let exists = FactKind::Exists {
        state: TcpState::CloseWait,
        cookie: 0,
        since_ns: None,
        cgroup: Some(9),
    };
    teller.walk(|teller| teller.tell(CHILD, accepted(), exists));
    assert_eq!(teller.run.out.len(), 1);
    assert_eq!(teller.run.tracker.count(TcpState::CloseWait), 1);
}
