//! Merging the per-CPU rings into one stream in order of time.
//!
//! Invariant: a fact is released only when no earlier one can still arrive. Programs take their time stamp after they
//! reserved their record, so a record that is not yet reserved when a ring's producer position is read carries a
//! later time than the clock read just before. A ring read up to that position is therefore complete up to that time;
//! one that stops at a reserved but unfinished record is complete only up to its previous reading.
use crate::fact::Fact;

/// Facts waiting for their turn.
#[derive(Debug, Default)]
pub struct Merge {
    waiting: Vec<Fact>,
    /// Times and places of those that wait: sorted in their stead, as a fact is large.
    order: Vec<(u64, usize)>,
    /// For each ring, the time up to which it has delivered everything.
    complete: Vec<u64>,
    held_back_ns: Option<u64>,
}

impl Merge {
    /// A merge of `rings` rings.
    pub fn new(rings: usize) -> Self {
        Self {
            waiting: Vec::new(),
            order: Vec::new(),
            complete: vec![0; rings],
            held_back_ns: None,
        }
    }

    /// Takes a fact from any ring.
    pub fn push(&mut self, fact: Fact) {
        self.waiting.push(fact);
    }

    /// Releases nothing later than `time_ns` until [`Merge::let_go`]: facts come another way that belong before.
    pub fn hold_back(&mut self, time_ns: u64) {
        self.held_back_ns = Some(time_ns);
    }

    /// The facts that others were held back for have all been pushed.
    pub fn let_go(&mut self) {
        self.held_back_ns = None;
    }

    /// Notes that ring number `ring` has delivered everything up to `time_ns`.
    pub fn complete(&mut self, ring: usize, time_ns: u64) {
        self.complete[ring] = time_ns;
    }

    /// Gives every fact that is in its final place to `give`; returns the time up to which that holds.
    pub fn release(&mut self, mut give: impl FnMut(&Fact)) -> u64 {
        let complete = self.complete.iter().copied();
        let until = complete.chain(self.held_back_ns).min().unwrap_or(u64::MAX);
        self.order.clear();
        let places = self.waiting.iter().enumerate();
        self.order
            .extend(places.map(|(place, fact)| (fact.time_ns, place)));
        // Records of one CPU with the same time keep their order, by place. The input is a few sorted runs, of which the
        // stable sort makes use.
        self.order.sort();
        let ready = self.order.partition_point(|(time_ns, _)| *time_ns <= until);
        let (ready, later) = self.order.split_at(ready);
        ready
            .iter()
            .for_each(|(_, place)| give(&self.waiting[*place]));
        let later: Vec<Fact> = later
            .iter()
            .map(|(_, place)| self.waiting[*place])
            .collect();
        self.waiting.clear();
        self.waiting.extend(later);
        until
    }

    /// Gives everything to `give`: the producers have stopped.
    pub fn finish(&mut self, give: impl FnMut(&Fact)) {
        self.complete.fill(u64::MAX);
        self.let_go();
        self.release(give);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fact::FactKind, tcp::Tuple};
    use std::net::{IpAddr, Ipv4Addr};

    fn at(time_ns: u64) -> Fact {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Fact {
            time_ns,
            cpu: 0,
            object: time_ns,
            netns: 1,
            tuple: Tuple {
                laddr: any,
                lport: None,
                raddr: any,
                rport: 0,
            },
            kind: FactKind::TimewaitOverflow,
        }
    }

    fn released(merge: &mut Merge) -> Vec<u64> {
        let mut times = Vec::new();
        merge.release(|fact| times.push(fact.time_ns));
        times
    }

    #[test]
    fn a_fact_waits_until_every_ring_has_passed_its_time() {
        let mut merge = Merge::new(2);
        for time in [10, 30, 20] {
            merge.push(at(time));
        }
        merge.complete(0, 25);
        assert_eq!(released(&mut merge), Vec::<u64>::new());
        merge.complete(1, 15);
        assert_eq!(released(&mut merge), [10]);
        merge.push(at(17)); // the ring that lagged delivers late
        merge.complete(1, 40);
        assert_eq!(released(&mut merge), [17, 20]);
        let mut last = Vec::new();
        merge.finish(|fact| last.push(fact.time_ns));
        assert_eq!(last, [30]);
    }
}
