//! Stories: several lives told at once. Lives that share a slot follow one another at the same kernel addresses; a story
//! interleaves the slots.
use std::fmt;

use proptest::{collection::vec, prelude::*};

use super::lives::{Event, Life, NETNS, Shape, shape};
use crate::{
    fact::{Fact, FactKind},
    tcp::TcpState,
};

/// A fact of a story.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) fact: Fact,
    pub(super) life: usize,
    /// The effective transition that it is.
    pub(super) effect: Option<(TcpState, TcpState)>,
    /// Nothing that belongs together is half told.
    pub(super) quiet: bool,
    alive: Option<(u64, TcpState)>,
}

/// Lives told at once.
#[derive(Clone)]
pub(super) struct Story {
    pub(super) lives: Vec<Life>,
    pub(super) told: Vec<Told>,
}

impl Story {
    /// What lives after the first `told` facts: address, life and state.
    pub(super) fn alive(&self, told: usize) -> Vec<(u64, usize, TcpState)> {
        let mut last = vec![None; self.lives.len()];
        for told in &self.told[..told] {
            last[told.life] = told.alive;
        }
        let alive = last.into_iter().enumerate();
        alive
            .filter_map(|(life, alive)| alive.map(|(object, state)| (object, life, state)))
            .collect()
    }

    /// When `life` entered `state`.
    pub(super) fn entered(&self, life: usize, state: TcpState) -> Option<u64> {
        self.told
            .iter()
            .find(|told| told.life == life && told.effect.is_some_and(|(_, to)| to == state))
            .map(|told| told.fact.time_ns)
    }

    fn new(slots: Vec<Vec<Shape>>, picks: &[(usize, u64)]) -> Self {
        let mut lives = Vec::new();
        // What each slot has yet to tell, last first.
        let mut queues: Vec<Vec<(usize, Event)>> = Vec::new();
        for (slot, shapes) in slots.into_iter().enumerate() {
            let mut queue = Vec::new();
            for shape in shapes {
                let life = Life::new(lives.len(), slot, shape);
                queue.extend(life.events.iter().map(|event| (lives.len(), event.clone())));
                lives.push(life);
            }
            queue.reverse();
            queues.push(queue);
        }
        let mut told = Vec::new();
        let mut time_ns = 1_000_000_000;
        let mut half_told = vec![false; queues.len()];
        for (pick, gap_ns) in picks {
            let slot = pick % queues.len();
            let Some((life, event)) = queues[slot].pop() else {
                continue;
            };
            // What belongs together is not torn apart by a long pause, only by others.
            time_ns += if half_told.contains(&true) {
                1 + gap_ns % 1000
            } else {
                *gap_ns
            };
            half_told[slot] = event.joined;
            told.push(Told {
                fact: Fact {
                    time_ns,
                    cpu: 0,
                    object: event.object,
                    netns: NETNS,
                    tuple: event.tuple,
                    kind: event.kind,
                },
                life,
                effect: event.effect,
                quiet: !half_told.contains(&true),
                alive: event.alive,
            });
        }
        // It may stop anywhere, but not in the middle of what belongs together.
        while told.last().is_some_and(|told: &Told| !told.quiet) {
            told.pop();
        }
        Self { lives, told }
    }
}

/// A line a fact, so that a failing story can be read.
impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for (number, told) in self.told.iter().enumerate() {
            let Fact {
                time_ns,
                object,
                tuple,
                kind,
                ..
            } = &told.fact;
            let what = match kind {
                FactKind::Transition { old, new, .. } => format!("{old} -> {new}"),
                other => format!("{other:?}"),
            };
            let remote = tuple.raddr;
            let life = told.life;
            writeln!(
                f,
                "{number:3} {time_ns:>13} life {life} {object:x} {remote} {what}"
            )?;
        }
        Ok(())
    }
}

/// Any story.
pub(super) fn story() -> impl Strategy<Value = Story> {
    // From the next nanosecond to a whole TIME_WAIT later.
    let gap_ns = prop_oneof![
        1..1000_u64,
        1_000_000..50_000_000_u64,
        1_000_000_000..60_000_000_000_u64
    ];
    (
        vec(vec(shape(), 1..4), 1..5),
        vec((0..64_usize, gap_ns), 1..120),
    )
        .prop_map(|(slots, picks)| Story::new(slots, &picks))
}
