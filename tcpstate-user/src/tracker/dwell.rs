//! Dwell times: how long sockets stayed in each state, as HdrHistograms of microseconds.
use hdrhistogram::Histogram;

use crate::tcp::TcpState;

/// The longest stay that a histogram holds, µs: 24 hours. Longer ones are counted as outliers.
pub const LONGEST_US: u64 = 24 * 3600 * 1_000_000;

/// Histograms of finished stays, one a state. Three significant digits.
#[derive(Clone, Debug)]
pub struct Dwell {
    states: [Histogram<u64>; 12],
    outliers: [u64; 12],
}

impl Default for Dwell {
    fn default() -> Self {
        let empty = || {
            // Grows with what it holds: a state that nobody is in costs a few KiB, not hundreds.
            Histogram::new(3).expect("three significant digits are allowed")
        };
        Self {
            states: std::array::from_fn(|_| empty()),
            outliers: [0; 12],
        }
    }
}

impl Dwell {
    /// Records that a stay of `dwell_ns` in `state` has ended.
    pub fn record(&mut self, state: TcpState, dwell_ns: u64) {
        let dwell_us = dwell_ns / 1000;
        if dwell_us > LONGEST_US || self.states[state.index()].record(dwell_us).is_err() {
            self.outliers[state.index()] += 1;
        }
    }

    /// Finished stays in `state`, µs.
    #[must_use]
    pub fn histogram(&self, state: TcpState) -> &Histogram<u64> {
        &self.states[state.index()]
    }

    /// Stays in `state` longer than [`LONGEST_US`].
    #[must_use]
    pub fn outliers(&self, state: TcpState) -> u64 {
        self.outliers[state.index()]
    }

    /// Forgets every stay, for the next interval.
    pub fn clear(&mut self) {
        for histogram in &mut self.states {
            histogram.reset();
        }
        self.outliers = [0; 12];
    }
}
