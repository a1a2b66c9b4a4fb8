//! The lives that are going on: bounded, and rid of those whose end was lost.
use hashbrown::{HashMap, HashSet, hash_map::Entry};

use super::{Course, Life};
use crate::{
    tcp::{TcpState, Transition},
    tracker::{MAX_CONNECTIONS, Open, Tracker},
};

/// Lives below which nobody looks for those that have ended unseen.
const FEW: usize = 1024;

/// The lives that are going on. About 600 MiB at the limit.
#[derive(Debug)]
pub struct Lives {
    /// By the running number of the connection's identity, which is unique.
    table: HashMap<u64, Going>,
    most: usize,
    /// How many lives the table may hold before the next sweep.
    sweep_at: usize,
    ended_unseen: u64,
    table_full: u64,
}

/// A life that is going on.
#[derive(Debug)]
struct Going {
    course: Course,
    /// It has done what the user asked for.
    wanted: bool,
}

impl Default for Lives {
    fn default() -> Self {
        Self::new(MAX_CONNECTIONS)
    }
}

impl Lives {
    /// A table for `most` lives.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            table: HashMap::new(),
            most,
            sweep_at: FEW,
            ended_unseen: 0,
            table_full: 0,
        }
    }

    /// Takes a transition, which may be one that the user asked for. Returns the life that it ends, if one of its
    /// transitions was `wanted`. Listeners are no connections and have none.
    pub fn transition(&mut self, transition: &Transition, wanted: bool) -> Option<Life> {
        if is_listeners(transition) {
            return None;
        }
        let serial = transition.id.serial;
        if transition.to == TcpState::Close {
            let going = match self.table.remove(&serial) {
                Some(mut going) => {
                    going.follow(transition, wanted);
                    going
                }
                None => Going::new(transition, wanted),
            };
            return going
                .wanted
                .then(|| Life::finished(transition, going.course));
        }
        let full = self.table.len() >= self.most;
        match self.table.entry(serial) {
            Entry::Occupied(mut known) => known.get_mut().follow(transition, wanted),
            Entry::Vacant(_) if full => self.table_full += 1,
            Entry::Vacant(place) => drop(place.insert(Going::new(transition, wanted))),
        }
        None
    }

    /// The life so far of a connection that is open at `now_ns`, if one of its transitions was wanted, or if its
    /// present state is `wanted`.
    #[must_use]
    pub fn unfinished(&self, open: &Open, now_ns: u64, wanted: bool) -> Option<Life> {
        let going = self.table.get(&open.id.serial);
        (wanted || going.is_some_and(|going| going.wanted))
            .then(|| Life::unfinished(open, going.map(|going| &going.course), now_ns))
    }

    /// Drops the lives that the tracker does not know any more, as their end was lost, once there may be many of them:
    /// the table never holds much more than twice what is open.
    pub fn sweep_if_due(&mut self, tracker: &Tracker) {
        if self.table.len() >= self.sweep_at.min(self.most) {
            self.sweep(tracker);
        }
    }

    /// Drops the lives that the tracker does not know any more. Walks both tables.
    pub fn sweep(&mut self, tracker: &Tracker) {
        let open: HashSet<u64> = tracker.open().map(|open| open.id.serial).collect();
        let before = self.table.len();
        self.table.retain(|serial, _| open.contains(serial));
        self.ended_unseen += (before - self.table.len()) as u64;
        self.sweep_at = FEW.max(2 * self.table.len());
    }

    /// Lives in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether the table is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Lives whose end was lost, as the sweeps so far have found.
    #[must_use]
    pub fn ended_unseen(&self) -> u64 {
        self.ended_unseen
    }

    /// Transitions that found no room in the table: what they say is missing in the life that they belong to.
    #[must_use]
    pub fn table_full(&self) -> u64 {
        self.table_full
    }
}

impl Going {
    fn new(transition: &Transition, wanted: bool) -> Self {
        let course = Course::new(transition);
        Self { course, wanted }
    }

    fn follow(&mut self, transition: &Transition, wanted: bool) {
        self.course.follow(transition);
        self.wanted |= wanted;
    }
}

/// Whether a listening socket opens or closes.
fn is_listeners(transition: &Transition) -> bool {
    let Transition { from, to, .. } = *transition;
    to == TcpState::Listen || (from == TcpState::Listen && to != TcpState::SynRecv)
}
