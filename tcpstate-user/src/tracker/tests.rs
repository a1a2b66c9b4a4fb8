//! Tests of the tracker: properties of random stories of connections, and the rules of product.md one by one.
mod lives;
mod loss;
mod owners;
mod properties;
mod room;
mod rules;
mod selection;
mod story;
mod wholes;

use hashbrown::HashSet;

use self::{
    lives::NETNS,
    story::{Story, Told},
};
use super::{Config, Tracker};
use crate::{
    fact::{Fact, FactKind},
    tcp::{TcpState, Transition},
};

/// A tracker and everything that it has given out.
struct Run {
    tracker: Tracker,
    out: Vec<Transition>,
}

impl Run {
    fn new(config: Config) -> Self {
        Self {
            tracker: Tracker::new(config),
            out: Vec::new(),
        }
    }

    fn apply(&mut self, fact: &Fact) {
        let out = &mut self.out;
        self.tracker
            .apply(fact, &mut |transition| out.push(*transition));
    }

    fn tick(&mut self, now_ns: u64) {
        let out = &mut self.out;
        self.tracker
            .tick(now_ns, &mut |transition: &Transition| out.push(*transition));
    }

    /// Applies what was told, with a tick after each fact that nothing else belongs to.
    fn tell<'a>(&mut self, told: impl IntoIterator<Item = &'a Told>) {
        for told in told {
            self.apply(&told.fact);
            if told.quiet {
                self.tick(told.fact.time_ns);
            }
            self.assert_counts_are_the_table();
        }
    }

    fn finish(&mut self) {
        let out = &mut self.out;
        self.tracker.finish(&mut |transition| out.push(*transition));
        self.assert_counts_are_the_table();
    }

    /// A walk that meets everything that lives after the first `told` facts of the story, at `now_ns`.
    fn walk(&mut self, story: &Story, told: usize, now_ns: u64) {
        self.tracker.walk_begins();
        for (object, life, state) in story.alive(told) {
            self.apply(&Fact {
                time_ns: now_ns,
                cpu: 0,
                object,
                netns: NETNS,
                tuple: story.lives[life].tuple,
                kind: FactKind::Exists {
                    state,
                    cookie: story.lives[life].cookie,
                    since_ns: None,
                    cgroup: None,
                },
            });
        }
        let out = &mut self.out;
        self.tracker.walk_ends(
            now_ns,
            &HashSet::from_iter([NETNS]),
            &mut |transition: &Transition| {
                out.push(*transition);
            },
        );
        self.assert_counts_are_the_table();
    }

    /// The tracker's invariant: its counts are kept beside its table and must never part from it.
    fn assert_counts_are_the_table(&self) {
        let open = self.tracker.still_open(u64::MAX);
        for state in TcpState::ALL {
            let counted = self.tracker.count(state);
            assert_eq!(counted, open[state.index()].sockets, "{state}");
        }
        assert_eq!(self.tracker.count(TcpState::Close), 0);
        let connections = self.tracker.connections.values();
        let nameless = connections.filter(|connection| connection.tuple.is_none());
        assert_eq!(self.tracker.minis.nameless(), nameless.count());
    }

    /// The counts are those of the story after its first `told` facts.
    fn assert_counts_are_true(&self, story: &Story, told: usize) {
        let mut truth = [0; 12];
        for (_, _, state) in story.alive(told) {
            truth[state.index()] += 1;
        }
        for state in TcpState::ALL {
            assert_eq!(self.tracker.count(state), truth[state.index()], "{state}");
        }
    }

    /// The transitions of one life, in the order in which they came out.
    fn of_life<'a>(&'a self, story: &'a Story, life: usize) -> Vec<&'a Transition> {
        let remote = story.lives[life].tuple.raddr;
        self.out
            .iter()
            .filter(|transition| transition.tuple.is_some_and(|tuple| tuple.raddr == remote))
            .collect()
    }
}
