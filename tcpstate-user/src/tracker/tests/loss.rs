//! What holds although facts are lost, as they are when a ring overflows: nothing is invented, and a walk over the
//! kernel's tables makes the counts true again.
use std::net::{IpAddr, Ipv4Addr};

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    Run,
    lives::NETNS,
    story::{Story, Told, story},
};
use crate::{
    fact::{Cause, Details, Fact, FactKind},
    tcp::{TcpState, Tuple},
    tracker::Config,
};

/// Stretches of a story that do not arrive: first fact, number of facts.
type Losses = Vec<(usize, usize)>;

/// Tells the facts of `story` that `wanted` wants and that are not lost. Before one that follows a loss, the tracker is
/// told that there was one, but not what.
fn tell(run: &mut Run, story: &Story, lost: &Losses, wanted: impl Fn(&FactKind) -> bool) {
    let mut gap = false;
    for (number, told) in story.told.iter().enumerate() {
        let arrives =
            |(first, length): &(usize, usize)| !(*first..first + length).contains(&number);
        if !lost.iter().all(arrives) {
            gap = true;
        } else if wanted(&told.fact.kind) {
            if std::mem::take(&mut gap) {
                run.tracker.facts_lost();
            }
            run.tell([told]);
        }
    }
}

/// Single facts, and bursts, as when a ring is full for a while.
fn losses() -> impl Strategy<Value = Losses> {
    vec((0..60_usize, prop_oneof![Just(1), 2..20_usize]), 1..8)
}

/// No dwell is given out but a true one.
fn assert_no_dwell_is_invented(story: &Story, run: &Run) {
    for transition in run.out.iter().filter(|transition| !transition.estimated) {
        let (Some(dwell_ns), Some(tuple)) = (transition.dwell_ns, transition.tuple) else {
            continue;
        };
        let life = story
            .lives
            .iter()
            .position(|life| life.tuple.raddr == tuple.raddr);
        let entered_ns = story.entered(life.expect("the tuple of a life"), transition.from);
        let told_ns = transition.mono_ns.checked_sub(dwell_ns);
        assert_eq!(told_ns, entered_ns, "{transition:?}");
    }
}

/// The fact behind each transition is of the connection that the transition names.
fn assert_tuples_are_true(story: &Story, run: &Run) {
    for transition in &run.out {
        let Some(tuple) = transition.tuple else {
            continue;
        };
        let mut facts = story
            .told
            .iter()
            .filter(|told| told.fact.time_ns == transition.mono_ns);
        let same = |told: &Told| story.lives[told.life].tuple.raddr == tuple.raddr;
        assert!(facts.any(same), "{transition:?}");
    }
}

/// A transition follows from the one before it with the same identity, or its dwell is unknown.
fn assert_chains(run: &Run) {
    let mut last = std::collections::HashMap::new();
    for transition in &run.out {
        let before = last.insert(transition.id.serial, (transition.to, transition.mono_ns));
        if let Some((state, time_ns)) = before {
            assert!(
                time_ns <= transition.mono_ns,
                "time steps back: {transition:?}"
            );
            assert!(
                state == transition.from || transition.dwell_ns.is_none(),
                "{transition:?} does not follow from {state}"
            );
        }
    }
}

/// Facts that need not make sense together.
fn any_fact() -> impl Strategy<Value = Fact> {
    let state = || select(&TcpState::ALL);
    let substate = || select(&[TcpState::FinWait2, TcpState::TimeWait]);
    let cause = || select(&[Cause::Unknown, Cause::Timer, Cause::Reset, Cause::NetnsGone]);
    let details = (0..3_u64).prop_map(|cookie| {
        (cookie > 0).then_some(Details {
            cookie,
            ..Details::default()
        })
    });
    let kind = prop_oneof![
        6 => (state(), state(), select(&[0, 104, 111]), proptest::bool::weighted(0.1), details)
            .prop_map(|(old, new, error, stillborn, details)| FactKind::Transition { old, new, error, stillborn, details }),
        1 => (state(), 0..3_u64).prop_map(|(state, cookie)| FactKind::Exists { state, cookie, since_ns: None, cgroup: None }),
        1 => substate().prop_map(|substate| FactKind::TimewaitCreated { substate }),
        1 => substate().prop_map(|substate| FactKind::TimewaitSubstate { substate }),
        1 => (substate(), cause(), proptest::option::of(0..1_000_000_u64)).prop_map(|(substate, cause, armed_ns)| {
            FactKind::TimewaitEnded { substate, cause, armed_ns }
        }),
        1 => Just(FactKind::TimewaitOverflow),
        1 => (0..3_u64).prop_map(|cookie| FactKind::RequestAdded { cookie, listener: 1 }),
        1 => cause().prop_map(|cause| FactKind::RequestEnded { cause }),
    ];
    (kind, 0..4_u64, 0..3_u8, proptest::option::of(1..3_u16)).prop_map(
        |(kind, object, remote, lport)| Fact {
            time_ns: 0,
            cpu: 0,
            object,
            netns: NETNS,
            tuple: Tuple {
                laddr: IpAddr::V4(Ipv4Addr::LOCALHOST),
                lport,
                raddr: IpAddr::V4(Ipv4Addr::new(10, 0, 0, remote)),
                rport: 80,
            },
            kind,
        },
    )
}

proptest! {
    #[test]
    fn nothing_is_invented(story in story(), lost in losses()) {
        let mut run = Run::new(Config::default());
        tell(&mut run, &story, &lost, |_| true);
        run.finish();
        assert_no_dwell_is_invented(&story, &run);
        assert_tuples_are_true(&story, &run);
        assert_chains(&run);
    }

    #[test]
    fn nothing_is_invented_in_the_raw_view(story in story(), lost in losses()) {
        let mut run = Run::new(Config { raw: true, ..Config::default() });
        tell(&mut run, &story, &lost, |kind| matches!(kind, FactKind::Transition { .. }));
        run.finish();
        assert_tuples_are_true(&story, &run);
        assert_chains(&run);
    }

    /// After two walks the counts are true, whatever was lost before them, and stay true if nothing is lost after them.
    #[test]
    fn walks_make_the_counts_true(story in story(), lost in losses(), at in 0..120_usize) {
        let quiet = |number: &usize| *number == 0 || story.told[number - 1].quiet;
        let at = (0..=at.min(story.told.len())).rev().find(quiet).unwrap_or(0);
        // The source lets everything settle before it walks.
        let walk_ns = story.told[..at].last().map_or(1, |told| told.fact.time_ns) + 1_000_000_000;
        let mut story = story;
        for told in &mut story.told[at..] {
            told.fact.time_ns += 2_000_000_000;
        }
        let begin = Story { told: story.told[..at].to_vec(), ..story.clone() };
        let mut run = Run::new(Config::default());
        run.walk(&story, 0, 1); // the first takes up what exists: nothing
        tell(&mut run, &begin, &lost, |_| true);
        run.tick(walk_ns);
        run.walk(&story, at, walk_ns);
        run.walk(&story, at, walk_ns);
        run.assert_counts_are_true(&story, at);
        run.tell(&story.told[at..]);
        run.assert_counts_are_true(&story, story.told.len());
        run.out.retain(|transition| transition.mono_ns > walk_ns);
        assert_no_dwell_is_invented(&story, &run);
        assert_tuples_are_true(&story, &run);
    }

    /// A full table loses connections, never its balance.
    #[test]
    fn a_full_table_keeps_its_balance(story in story(), room in 1..4_usize) {
        let mut run = Run::new(Config { max_connections: room, ..Config::default() });
        run.tell(&story.told);
        run.finish();
        prop_assert!(run.tracker.tracked() <= room);
        assert_no_dwell_is_invented(&story, &run);
    }

    /// Whatever comes, it does not panic, and the counts are those of the table.
    #[test]
    fn senseless_facts_do_no_harm(facts in vec((any_fact(), 0..20_000_000_u64, any::<bool>()), 0..60), raw: bool) {
        let mut run = Run::new(Config { raw, ..Config::default() });
        let mut now_ns = 0;
        for (mut fact, gap_ns, tick) in facts {
            now_ns += gap_ns;
            fact.time_ns = now_ns;
            run.apply(&fact);
            if tick {
                run.tick(now_ns);
            }
            run.assert_counts_are_the_table();
        }
        run.finish();
    }
}
