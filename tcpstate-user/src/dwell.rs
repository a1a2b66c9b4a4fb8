//! Dwell times: how long sockets stayed in each state, as HdrHistograms of microseconds.
use hdrhistogram::Histogram;

use crate::tcp::{TcpState, Transition};

/// The longest stay that a histogram holds, µs: 24 hours. Longer ones are counted as outliers.
pub const LONGEST_US: u64 = 24 * 3600 * 1_000_000;

/// Finished stays of one kind. Three significant digits.
#[derive(Clone, Debug)]
pub struct Stays {
    histogram: Histogram<u64>,
    outliers: u64,
}

impl Default for Stays {
    fn default() -> Self {
        Self {
            // Grows with what it holds: a state that nobody is in costs a few KiB, not hundreds.
            histogram: Histogram::new(3).expect("three significant digits are allowed"),
            outliers: 0,
        }
    }
}

impl Stays {
    /// Records one of `dwell_ns`.
    pub fn record(&mut self, dwell_ns: u64) {
        let dwell_us = dwell_ns / 1000;
        if dwell_us > LONGEST_US || self.histogram.record(dwell_us).is_err() {
            self.outliers += 1;
        }
    }

    /// Their lengths, µs.
    #[must_use]
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// How many were longer than [`LONGEST_US`].
    #[must_use]
    pub fn outliers(&self) -> u64 {
        self.outliers
    }

    fn clear(&mut self) {
        self.histogram.reset();
        self.outliers = 0;
    }
}

/// Finished stays by state.
#[derive(Clone, Debug, Default)]
pub struct Dwell([Stays; 12]);

impl Dwell {
    /// Records the stay that `transition` ends, if its length is known.
    pub fn transition(&mut self, transition: &Transition) {
        if let Some(dwell_ns) = transition.dwell_ns {
            self.record(transition.from, dwell_ns);
        }
    }

    /// Records that a stay of `dwell_ns` in `state` has ended.
    pub fn record(&mut self, state: TcpState, dwell_ns: u64) {
        self.0[state.index()].record(dwell_ns);
    }

    /// Finished stays in `state`.
    #[must_use]
    pub fn stays(&self, state: TcpState) -> &Stays {
        &self.0[state.index()]
    }

    /// Finished stays in `state`, µs.
    #[must_use]
    pub fn histogram(&self, state: TcpState) -> &Histogram<u64> {
        self.stays(state).histogram()
    }

    /// Stays in `state` longer than [`LONGEST_US`].
    #[must_use]
    pub fn outliers(&self, state: TcpState) -> u64 {
        self.stays(state).outliers()
    }

    /// Forgets every stay, for the next interval.
    pub fn clear(&mut self) {
        self.0.iter_mut().for_each(Stays::clear);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stay_longer_than_a_day_is_an_outlier() {
        let mut dwell = Dwell::default();
        let state = TcpState::Established;
        for dwell_us in [0, 1, LONGEST_US, LONGEST_US + 1] {
            dwell.record(state, dwell_us * 1000 + 999);
        }
        assert_eq!(dwell.histogram(state).len(), 3);
        assert_eq!(dwell.outliers(state), 1);
        assert_eq!(dwell.histogram(TcpState::TimeWait).len(), 0);
        dwell.clear();
        assert_eq!(
            (dwell.histogram(state).len(), dwell.outliers(state)),
            (0, 0)
        );
    }
}
