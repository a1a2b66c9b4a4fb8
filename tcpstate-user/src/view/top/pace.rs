//! How often the table of open connections may be walked over: so that on a host with millions of them, or under a
//! finger on a key, the walks take no more than a twentieth of the time in which transitions could be read.
use std::time::{Duration, Instant};

/// So many times as long as the last walk took must pass before the next.
const REST: u32 = 20;

/// The pace of the walks.
#[derive(Debug, Default)]
pub struct Pace {
    /// When the last one ended, and what it took.
    last: Option<(Instant, Duration)>,
}

impl Pace {
    /// Whether a walk may begin at `now`.
    #[must_use]
    pub fn allows(&self, now: Instant) -> bool {
        self.last
            .is_none_or(|(ended, took)| now.saturating_duration_since(ended) >= took * REST)
    }

    /// A walk took from `begun` to `ended`.
    pub fn walked(&mut self, begun: Instant, ended: Instant) {
        self.last = Some((ended, ended.saturating_duration_since(begun)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_waits_in_proportion_to_the_last() {
        let mut pace = Pace::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert!(pace.allows(start));
        pace.walked(at(0), at(10));
        assert!(!pace.allows(at(209)));
        assert!(pace.allows(at(210)));
    }
}
