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
    /// For each ring, the time up to which it has delivered everything.
    complete: Vec<u64>,
    held_back_ns: Option<u64>,
}

impl Merge {
    /// A merge of `rings` rings.
    pub fn new(rings: usize) -> Self {
        Self {
            waiting: Vec::new(),
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

    /// Moves every fact that is in its final place to `facts`; returns the time up to which that holds.
    pub fn release(&mut self, facts: &mut Vec<Fact>) -> u64 {
        let complete = self.complete.iter().copied();
        let until = complete.chain(self.held_back_ns).min().unwrap_or(u64::MAX);
        // Stable: records of one CPU with the same time keep their order. The input is a few sorted runs.
        self.waiting.sort_by_key(|fact| fact.time_ns);
        let ready = self.waiting.partition_point(|fact| fact.time_ns <= until);
        facts.extend(self.waiting.drain(..ready));
        until
    }

    /// Moves everything to `facts`: the producers have stopped.
    pub fn finish(&mut self, facts: &mut Vec<Fact>) {
        self.complete.fill(u64::MAX);
        self.let_go();
        self.release(facts);
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

    fn times(facts: &mut Vec<Fact>) -> Vec<u64> {
        facts.drain(..).map(|fact| fact.time_ns).collect()
    }

    #[test]
    fn a_fact_waits_until_every_ring_has_passed_its_time() {
        let mut merge = Merge::new(2);
        let mut out = Vec::new();
        for time in [10, 30, 20] {
            merge.push(at(time));
        }
        merge.complete(0, 25);
        merge.release(&mut out);
        assert_eq!(times(&mut out), Vec::<u64>::new());
        merge.complete(1, 15);
        merge.release(&mut out);
        assert_eq!(times(&mut out), [10]);
        merge.push(at(17)); // the ring that lagged delivers late
        merge.complete(1, 40);
        merge.release(&mut out);
        assert_eq!(times(&mut out), [17, 20]);
        merge.finish(&mut out);
        assert_eq!(times(&mut out), [30]);
    }
}
