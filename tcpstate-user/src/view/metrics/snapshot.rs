//! All numbers of one moment, as the view hands them to the server.
use std::time::{Duration, Instant};

use super::{Ended, dwell::Dwell};
use crate::{
    source::{Lost, kernel::ProgramRuns},
    summary::Tally,
    tracker::Drift,
};

/// A scrape that comes sooner after a snapshot than this many times its cost gets the same again, so that a flood of
/// scrapes takes at most so small a part of the measurement's time …
const SPARE: u32 = 10;
/// … but never one older than this.
const STALE: Duration = Duration::from_secs(1);

/// The numbers.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Live sockets, by the state's index.
    pub(super) sockets: [u64; 12],
    /// Age of the oldest likewise, ns.
    pub(super) oldest_ns: [Option<u64>; 12],
    /// What the last reconciliation found.
    pub(super) drift: Option<Drift>,
    pub(super) transitions: Tally,
    pub(super) ended: Ended,
    pub(super) dwell: Dwell,
    pub(super) lost: Lost,
    /// Ephemeral ports that one destination takes at most.
    pub(super) max_used: u64,
    /// How mini-sockets are followed.
    pub(super) probes: String,
    /// What each program has cost so far, where it is measured.
    pub(super) programs: Option<Vec<ProgramRuns>>,
    /// When it was taken.
    pub(super) taken: Instant,
    /// How long that took.
    pub(super) cost: Duration,
}

impl Snapshot {
    /// Whether it is good for one more scrape.
    pub(super) fn is_fresh(&self) -> bool {
        self.taken.elapsed() < STALE.min(self.cost * SPARE)
    }
}
