//! What holds for every story of which nothing is lost.
use proptest::prelude::*;

use super::{
    Run,
    story::{Story, story},
};
use crate::{
    fact::FactKind,
    tcp::{TcpState, Transition},
    tracker::Config,
};

/// State left, state entered, when, and the time spent there.
type Step = (TcpState, TcpState, u64, Option<u64>);

fn step(transition: &Transition) -> Step {
    let Transition {
        from,
        to,
        mono_ns,
        dwell_ns,
        ..
    } = *transition;
    (from, to, mono_ns, dwell_ns)
}

/// What must come out for one life.
fn expected(story: &Story, life: usize) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for told in story.told.iter().filter(|told| told.life == life) {
        if let Some((from, to)) = told.effect {
            let begins = matches!(
                (from, to),
                (TcpState::Close, _) | (TcpState::Listen, TcpState::SynRecv)
            );
            let since_ns = steps.last().filter(|_| !begins).map(|step| step.2);
            let dwell_ns = since_ns.map(|since| told.fact.time_ns - since);
            steps.push((from, to, told.fact.time_ns, dwell_ns));
        }
    }
    steps
}

/// Whether a half-open time may be a SYN cookie's, which nobody knows.
fn is_cookies(story: &Story, life: usize, step: &Step) -> bool {
    let request = |kind: &FactKind| matches!(kind, FactKind::RequestAdded { .. });
    let mut facts = story.told.iter().filter(|told| told.life == life);
    step.0 == TcpState::SynRecv && !facts.any(|told| request(&told.fact.kind))
}

fn assert_life(story: &Story, run: &Run, life: usize) {
    let out = run.of_life(story, life);
    let mut steps: Vec<Step> = out.iter().map(|transition| step(transition)).collect();
    let mut truth = expected(story, life);
    for steps in [&mut steps, &mut truth] {
        for step in steps {
            if is_cookies(story, life, step) {
                step.3 = None;
            }
        }
    }
    assert_eq!(steps, truth, "life {life}: {:?}", story.lives[life].tuple);
    for transition in &out {
        assert_eq!(transition.id, out[0].id, "one identity a life");
        let tuple = transition.tuple.expect("it has one");
        let whole = story.lives[life].tuple;
        let unbound = transition.to == TcpState::SynSent;
        let lport = if unbound { None } else { whole.lport };
        assert_eq!(
            (tuple.laddr, tuple.lport, tuple.rport),
            (whole.laddr, lport, whole.rport)
        );
        assert!(!transition.estimated);
    }
}

proptest! {
    /// Every effective transition comes out once, with its own tuple, identity and dwell; counts are true all the time.
    #[test]
    fn everything_is_told_as_it_was(story in story()) {
        let mut run = Run::new(Config::default());
        for (number, told) in story.told.iter().enumerate() {
            run.tell([told]);
            if told.quiet {
                run.assert_counts_are_true(&story, number + 1);
            }
        }
        run.finish();
        for life in 0..story.lives.len() {
            assert_life(&story, &run, life);
        }
        let expected: usize = story.told.iter().filter(|told| told.effect.is_some()).count();
        prop_assert_eq!(run.out.len(), expected);
        prop_assert_eq!((run.tracker.missed_start(), run.tracker.table_full()), (0, 0));
        let ids: std::collections::HashSet<_> = run.out.iter().map(|transition| transition.id.serial).collect();
        let lives: std::collections::HashSet<_> = story.told.iter().map(|told| told.life).collect();
        prop_assert_eq!(ids.len(), lives.len(), "no two lives share an identity");
    }

    /// `--raw` gives out what the tracepoint says, nothing else, and loses nothing.
    #[test]
    fn raw_is_the_tracepoints_own_view(story in story()) {
        let mut run = Run::new(Config { raw: true, ..Config::default() });
        let mut said = Vec::new();
        for told in &story.told {
            if let FactKind::Transition { old, new, .. } = told.fact.kind {
                run.tell([told]);
                said.push((told.fact.time_ns, told.fact.object, old, new));
            }
        }
        run.finish();
        let mut given: Vec<_> = run.out.iter().map(|t| (t.mono_ns, t.skaddr, t.from, t.to)).collect();
        given.sort_unstable(); // a child waits for its tuple
        prop_assert_eq!(given, said);
    }

    /// Sockets that exist when the measurement begins: counted, their first dwell unknown, everything later as it was.
    #[test]
    fn what_existed_before_is_taken_up(story in story(), start in 0..120_usize) {
        let quiet = |number: &usize| *number == 0 || story.told[number - 1].quiet;
        let start = (0..=start.min(story.told.len())).rev().find(quiet).unwrap_or(0);
        let now_ns = story.told[..start].last().map_or(1, |told| told.fact.time_ns + 1);
        let mut run = Run::new(Config::default());
        run.walk(&story, start, now_ns);
        run.assert_counts_are_true(&story, start);
        run.tell(&story.told[start..]);
        run.finish();
        run.assert_counts_are_true(&story, story.told.len());
        prop_assert_eq!(run.tracker.missed_start(), 0);
        for life in 0..story.lives.len() {
            let steps: Vec<Step> = run.of_life(&story, life).into_iter().map(step).collect();
            let mut truth = expected(&story, life);
            truth.retain(|step| step.2 >= now_ns);
            let before = story.told[..start].iter().any(|told| told.life == life);
            if let Some(first) = truth.first_mut().filter(|_| before) {
                first.3 = None;
            }
            for (step, truth) in steps.iter().zip(&mut truth) {
                if is_cookies(&story, life, step) {
                    truth.3 = step.3;
                }
            }
            prop_assert_eq!(steps, truth, "life {}", life);
        }
    }
}
