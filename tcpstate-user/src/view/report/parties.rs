//! Who has most sockets in a state: processes or peers, ranked. Their number is bounded; who finds no room is counted.
use std::{cmp::Reverse, hash::Hash};

use hashbrown::HashMap;

use crate::{
    tcp::Owner,
    tracker::{Open, StillOpen},
};

/// Parties followed at most.
const FOLLOWED: usize = 10_000;
/// Parties shown.
const SHOWN: usize = 10;

/// What one party has, or had, in the state.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Party {
    /// Sockets that entered the state; `None` for a party that found no room while it was counted.
    pub(super) entered: Option<u64>,
    /// The longest finished stay, ns.
    pub(super) longest_ns: Option<u64>,
    /// Sockets still there.
    pub(super) open: StillOpen,
    /// The process, where the party is one.
    pub(super) owner: Option<Owner>,
}

/// Every party, by its key; `None` is who is not known.
#[derive(Clone, Debug)]
pub(super) struct Parties<K> {
    followed: HashMap<Option<K>, Party>,
    /// Entries into the state by parties that found no room.
    unranked: u64,
}

impl<K> Default for Parties<K> {
    fn default() -> Self {
        Self {
            followed: HashMap::new(),
            unranked: 0,
        }
    }
}

/// The first parties, and what the others have together.
#[derive(Clone, Debug)]
pub(super) struct Ranking<K> {
    pub(super) first: Vec<(Option<K>, Party)>,
    /// How many more there are, of those that were followed.
    pub(super) others: usize,
    /// Sockets of the others that are still in the state.
    pub(super) others_open: u64,
    /// Sockets of the others that entered it, including those of parties that were not followed.
    pub(super) others_entered: u64,
    /// Of these, sockets of parties that were not followed.
    pub(super) unranked: u64,
}

impl<K: Copy + Eq + Hash + Ord> Parties<K> {
    /// A socket of `key` entered the state.
    pub(super) fn entered(&mut self, key: Option<K>, owner: Option<Owner>) {
        match self.party(key) {
            Some(party) => {
                *party.entered.get_or_insert(0) += 1;
                party.owner = owner.or(party.owner);
            }
            None => self.unranked += 1,
        }
    }

    /// A socket of `key` left the state after `dwell_ns`.
    pub(super) fn left(&mut self, key: Option<K>, dwell_ns: Option<u64>) {
        if let Some(party) = self.followed.get_mut(&key) {
            party.longest_ns = party.longest_ns.max(dwell_ns);
        }
    }

    fn party(&mut self, key: Option<K>) -> Option<&mut Party> {
        if self.followed.len() >= FOLLOWED && !self.followed.contains_key(&key) {
            return None;
        }
        Some(self.followed.entry(key).or_default())
    }

    /// Adds the sockets that are `open` at `now_ns` and ranks: most open ones first, then most entered ones.
    pub(super) fn rank<'a>(
        &self,
        open: impl Iterator<Item = (Option<K>, &'a Open)>,
        now_ns: u64,
    ) -> Ranking<K> {
        let mut parties = self.followed.clone();
        for (key, socket) in open {
            let party = parties.entry(key).or_insert_with(|| Party {
                // It entered before we looked, or was one too many.
                entered: (self.unranked == 0).then_some(0),
                ..Party::default()
            });
            party.open.add(socket, now_ns);
            party.owner = socket.owner.or(party.owner);
        }
        let mut first: Vec<_> = parties.into_iter().collect();
        // Of equals, always the same comes first.
        first.sort_by_key(|(key, party)| {
            (Reverse(party.open.sockets), Reverse(party.entered), *key)
        });
        let rest = first.split_off(SHOWN.min(first.len()));
        let sum = |of: &dyn Fn(&Party) -> u64| rest.iter().map(|(_, party)| of(party)).sum::<u64>();
        Ranking {
            others: rest.len(),
            others_open: sum(&|party| party.open.sockets),
            others_entered: sum(&|party| party.entered.unwrap_or(0)) + self.unranked,
            unranked: self.unranked,
            first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_finds_no_room_is_counted_among_the_others() {
        let mut parties = Parties::<usize>::default();
        for key in 0..FOLLOWED + 5 {
            parties.entered(Some(key), None);
            parties.left(Some(key), Some(1));
        }
        parties.entered(Some(7), None);
        let ranking = parties.rank(std::iter::empty(), 0);
        assert_eq!(ranking.first.len(), SHOWN);
        let (key, first) = ranking.first[0];
        assert_eq!((key, first.entered), (Some(7), Some(2)));
        assert_eq!(ranking.others, FOLLOWED - SHOWN);
        assert_eq!(ranking.unranked, 5);
        assert_eq!(ranking.others_entered, (FOLLOWED - SHOWN + 5) as u64);
    }
}
