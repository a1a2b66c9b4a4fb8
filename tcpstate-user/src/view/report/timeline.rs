//! What happened over time, in bins of a round width that grow as the run grows, so that memory stays bounded.
use std::collections::BTreeMap;

use crate::tcp::{TcpState, Transition};

/// Bins and samples at most.
const MOST: u64 = 240;
/// Width of a bin at first, ns, and by what it grows each time: a step that people know, up to a day.
const FIRST_NS: u64 = 100_000_000;
const GROWTH: [u64; 14] = [2, 5, 2, 5, 3, 2, 5, 2, 3, 2, 2, 3, 2, 2];

/// Sockets in each state at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Monotonic, ns.
    pub(super) at_ns: u64,
    /// By state.
    pub(super) sockets: [u64; 12],
}

/// Transitions into each state by time, and samples of the counts.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    width_ns: u64,
    grown: usize,
    /// By `time / width_ns`.
    bins: BTreeMap<u64, [u64; 12]>,
    samples: Vec<Sample>,
    /// One of so many samples is kept.
    stride: u64,
    offered: u64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            width_ns: FIRST_NS,
            grown: 0,
            bins: BTreeMap::new(),
            samples: Vec::new(),
            stride: 1,
            offered: 0,
        }
    }
}

impl Timeline {
    /// Counts a transition.
    pub(super) fn transition(&mut self, transition: &Transition) {
        let bin = self
            .bins
            .entry(transition.mono_ns / self.width_ns)
            .or_default();
        bin[transition.to.index()] += 1;
        if self.bins.len() as u64 > MOST {
            self.grow();
        }
    }

    /// Takes a sample of the counts at `at_ns`.
    pub(super) fn sample(&mut self, at_ns: u64, sockets: impl Fn(TcpState) -> u64) {
        let mut sample = Sample {
            at_ns,
            sockets: [0; 12],
        };
        for state in TcpState::live() {
            sample.sockets[state.index()] = sockets(state);
        }
        if self.offered.is_multiple_of(self.stride) {
            self.samples.push(sample);
        }
        self.offered += 1;
        if self.samples.len() as u64 > MOST {
            let mut number = 0;
            self.samples.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.stride *= 2;
        }
    }

    /// Width of a bin, ns.
    pub(super) fn width_ns(&self) -> u64 {
        self.width_ns
    }

    /// The samples in order of time.
    pub(super) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Every bin from `start_ns` to `now_ns`, between which all transitions were, empty ones too: its begin and end, cut
    /// to that span, and its counts.
    pub(super) fn bins(&mut self, start_ns: u64, now_ns: u64) -> Vec<(u64, u64, [u64; 12])> {
        while now_ns / self.width_ns - start_ns / self.width_ns >= MOST {
            self.grow();
        }
        let width = self.width_ns;
        let numbers = start_ns / width..=now_ns.saturating_sub(1).max(start_ns) / width;
        numbers
            .map(|number| {
                let begin = (number * width).max(start_ns);
                let end = ((number + 1) * width).min(now_ns.max(begin));
                (
                    begin,
                    end,
                    self.bins.get(&number).copied().unwrap_or_default(),
                )
            })
            .collect()
    }

    fn grow(&mut self) {
        let by = GROWTH.get(self.grown).copied().unwrap_or(2);
        self.grown += 1;
        self.width_ns *= by;
        for (number, counts) in std::mem::take(&mut self.bins) {
            let bin = self.bins.entry(number / by).or_default();
            for (sum, count) in bin.iter_mut().zip(counts) {
                *sum += count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn entered(timeline: &mut Timeline, at_ns: u64) {
        let bin = timeline.bins.entry(at_ns / timeline.width_ns).or_default();
        bin[1] += 1;
        if timeline.bins.len() as u64 > MOST {
            timeline.grow();
        }
    }

    #[test]
    fn bins_cover_the_run_without_gaps_and_lose_nothing() {
        for (seconds, width_s) in [
            (10, 0.1),
            (40, 0.2),
            (75, 1.0),
            (3600, 30.0),
            (864_000, 7200.0),
        ] {
            let mut timeline = Timeline::default();
            let start_ns = 1_234_567_890;
            let now_ns = start_ns + seconds * S;
            let step = (seconds * S / 1000).max(1);
            let times = (0..1000).map(|number| start_ns + number * step);
            times.for_each(|at_ns| entered(&mut timeline, at_ns));
            let bins = timeline.bins(start_ns, now_ns);
            assert_eq!(bins.first().map(|bin| bin.0), Some(start_ns));
            assert_eq!(bins.last().map(|bin| bin.1), Some(now_ns));
            assert!(bins.windows(2).all(|pair| pair[0].1 == pair[1].0));
            assert!(bins.len() as u64 <= MOST + 1, "{} bins", bins.len());
            assert_eq!(bins.iter().map(|bin| bin.2[1]).sum::<u64>(), 1000);
            assert_eq!(timeline.width_ns() as f64 / S as f64, width_s);
        }
    }

    #[test]
    fn samples_stay_few_and_evenly_spaced() {
        let mut timeline = Timeline::default();
        for second in 0..10_000 {
            timeline.sample(second * S, |_| second);
        }
        let samples = timeline.samples();
        assert!((MOST / 2..=MOST).contains(&(samples.len() as u64)));
        let gap = samples[1].at_ns - samples[0].at_ns;
        assert!(
            samples
                .windows(2)
                .all(|pair| pair[1].at_ns - pair[0].at_ns == gap)
        );
    }
}
