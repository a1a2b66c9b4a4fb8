//! Finished stays by state as classic histograms: buckets with fixed upper bounds.
use std::{fmt, time::Duration};

use crate::tcp::{TcpState, Transition};

/// Upper bounds unless the user chooses others, µs. Up to seconds, three a decade: round trips and applications. From
/// there on the kernel's own times: SYNs that nobody answers are given up after 1 + 2 + 4 + … = 63 s (accepting) or
/// 127 s (connecting; from 6.5, which sends the first ones each second, 131 s); TIME_WAIT and an orphan's FIN_WAIT2 last
/// 60 s and up to 4.1 s more, by the timer's rounding; keepalive asks after 2 h.
const DEFAULT_US: [u64; 30] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    20_000_000,
    30_000_000,
    45_000_000,
    60_000_000,
    61_000_000,
    62_000_000,
    63_000_000,
    64_000_000,
    65_000_000,
    132_000_000,
    300_000_000,
    900_000_000,
    3_600_000_000,
    7_200_000_000,
];

/// Bounds at most: each makes a series for each of ten states.
const MOST: usize = 60;

/// Upper bounds of the buckets, ascending. The last bucket, without a bound, is not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets(Vec<Duration>);

impl Default for Buckets {
    fn default() -> Self {
        Self(DEFAULT_US.map(Duration::from_micros).to_vec())
    }
}

impl Buckets {
    /// Buckets with these upper bounds.
    ///
    /// # Errors
    /// They do not ascend, or are none, or too many.
    pub fn new(bounds: Vec<Duration>) -> Result<Self, BadBuckets> {
        if bounds.is_empty() || bounds.len() > MOST {
            return Err(BadBuckets::Number);
        }
        if !bounds.is_sorted_by(|one, next| one < next) {
            return Err(BadBuckets::Order);
        }
        Ok(Self(bounds))
    }
}

/// As the option takes them, in seconds: `0.0001,0.00025,…,7200`.
impl fmt::Display for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, bound) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}", bound.as_secs_f64())?;
        }
        Ok(())
    }
}

/// Bounds that make no buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBuckets {
    /// None, or too many.
    #[error("expected 1 to {MOST} upper bounds: each makes a series for each state")]
    Number,
    /// One is not above the one before it.
    #[error("the upper bounds must ascend, as in 1ms,10ms,0.1,1,60,61,64,7200")]
    Order,
}

/// The histograms.
#[derive(Clone, Debug)]
pub struct Dwell {
    bounds_ns: Vec<u64>,
    /// By the state's index.
    states: [Histogram; 12],
}

/// One state's finished stays.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// How many in each bucket, the one without a bound last.
    buckets: Vec<u64>,
    sum_ns: u128,
}

impl Dwell {
    /// No stay yet.
    #[must_use]
    pub fn new(buckets: &Buckets) -> Self {
        let nanos = |bound: &Duration| u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        Self {
            bounds_ns: buckets.0.iter().map(nanos).collect(),
            states: std::array::from_fn(|_| Histogram {
                buckets: vec![0; buckets.0.len() + 1],
                sum_ns: 0,
            }),
        }
    }

    /// Takes the stay that `transition` ends, if its length is known.
    pub fn transition(&mut self, transition: &Transition) {
        if let Some(dwell_ns) = transition.dwell_ns {
            let bucket = self.bounds_ns.partition_point(|bound| *bound < dwell_ns);
            let histogram = &mut self.states[transition.from.index()];
            histogram.buckets[bucket] += 1;
            histogram.sum_ns += u128::from(dwell_ns);
        }
    }

    /// Stays in `state` that were no longer than each bound, and the bound in s.
    pub fn cumulative(&self, state: TcpState) -> impl Iterator<Item = (f64, u64)> {
        let counts = self.states[state.index()].buckets.iter();
        let sums = counts.scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        let bounds = self.bounds_ns.iter().map(|ns| *ns as f64 / 1e9);
        bounds.zip(sums)
    }

    /// Stays in `state`.
    #[must_use]
    pub fn count(&self, state: TcpState) -> u64 {
        self.states[state.index()].buckets.iter().sum()
    }

    /// Length of all stays in `state` together, s.
    #[must_use]
    pub fn sum_seconds(&self, state: TcpState) -> f64 {
        self.states[state.index()].sum_ns as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::transition, *};

    #[test]
    fn a_stay_as_long_as_a_bound_is_below_it() {
        let buckets = [1, 60].map(Duration::from_secs).to_vec();
        let mut dwell = Dwell::new(&Buckets::new(buckets).expect("ascending"));
        for dwell_ns in [
            Some(1_000_000_000),
            Some(1_000_000_001),
            Some(60_000_000_000),
            Some(60_000_000_001),
            None,
        ] {
            dwell.transition(&Transition {
                dwell_ns,
                ..transition(TcpState::TimeWait, TcpState::Close)
            });
        }
        let state = TcpState::TimeWait;
        let below: Vec<_> = dwell.cumulative(state).collect();
        assert_eq!(below, [(1.0, 1), (60.0, 3)]);
        assert_eq!(
            (dwell.count(state), dwell.sum_seconds(state)),
            (4, 122.000_000_002)
        );
        assert_eq!(dwell.count(TcpState::Close), 0);
    }

    #[test]
    fn sixty_seconds_and_what_a_time_wait_really_lasts_are_told_apart() {
        let mut dwell = Dwell::new(&Buckets::default());
        for ms in [59_999, 60_700, 61_500, 63_900, 64_100, 8_000_000] {
            dwell.transition(&Transition {
                dwell_ns: Some(ms * 1_000_000),
                ..transition(TcpState::TimeWait, TcpState::Close)
            });
        }
        let below = |bound: f64| {
            dwell
                .cumulative(TcpState::TimeWait)
                .find(|(seconds, _)| *seconds == bound)
                .map(|(_, count)| count)
        };
        let counts = [60.0, 61.0, 64.0, 65.0, 7200.0].map(below);
        assert_eq!(counts, [1, 2, 4, 5, 5].map(Some));
    }

    #[test]
    fn bounds_ascend_and_are_few() {
        let seconds = |list: &[u64]| list.iter().copied().map(Duration::from_secs).collect();
        assert!(Buckets::new(seconds(&[1, 2])).is_ok());
        assert_eq!(Buckets::new(seconds(&[])), Err(BadBuckets::Number));
        assert_eq!(Buckets::new(seconds(&[2, 2])), Err(BadBuckets::Order));
        let many: Vec<u64> = (1..=61).collect();
        assert_eq!(Buckets::new(seconds(&many)), Err(BadBuckets::Number));
    }
}
