//! The pace of a replay in real time, or in a multiple of it.
use std::time::{Duration, Instant};

/// Recorded time against the clock on the wall.
pub(super) struct Pace {
    speed: f64,
    began: Instant,
    start_ns: u64,
}

impl Pace {
    /// `speed` times real time, from recorded time `start_ns` (monotonic, ns) on.
    pub(super) fn new(speed: f64, start_ns: u64) -> Self {
        Self {
            speed,
            began: Instant::now(),
            start_ns,
        }
    }

    /// How long it is until `mono_ns`; `None` if that is over.
    pub(super) fn left(&self, mono_ns: u64) -> Option<Duration> {
        let seconds = mono_ns.saturating_sub(self.start_ns) as f64 / 1e9 / self.speed;
        let due = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        due.checked_sub(self.began.elapsed())
            .filter(|left| !left.is_zero())
    }
}
