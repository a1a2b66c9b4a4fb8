//! When to fetch: often while there are facts, seldom on a host where nothing happens.
use std::time::Duration;

use tokio::time::Instant;

/// How often records that have not caused a wake-up are fetched: what a line may lag behind at most.
const OFTEN: Duration = Duration::from_millis(50);
/// How often where nothing happens. The next record wakes the reader; this is for what no record tells, such as that nobody
/// reads the output any more.
const SELDOM: Duration = Duration::from_secs(1);
/// After so long without a fact nothing happens. What waits for another fact is settled by then.
const QUIET: Duration = Duration::from_secs(2);

/// It.
#[derive(Debug)]
pub(super) struct Pace {
    next: Instant,
    last_fact: Instant,
    /// The next record wakes the reader.
    asleep: bool,
}

impl Pace {
    /// Begins at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next: now,
            last_fact: now,
            asleep: false,
        }
    }

    /// When the next fetch is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// A fetch at `now` has found something, or not. True if the reader is to be woken by the next record from now on, after
    /// which there is a fetch at once: for what came before it had asked.
    #[must_use]
    pub(super) fn fetched(&mut self, now: Instant, found: bool) -> bool {
        if found {
            self.last_fact = now;
            self.asleep = false;
        }
        let falls_asleep = !self.asleep && now.duration_since(self.last_fact) >= QUIET;
        self.next = match (falls_asleep, self.asleep) {
            (true, _) => now,
            (false, true) => now + SELDOM,
            (false, false) => now + OFTEN,
        };
        self.asleep |= falls_asleep;
        falls_asleep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_follows_the_wish_to_be_woken_and_then_few_do() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut now = start;
        while !pace.fetched(now, false) {
            assert_eq!(pace.next(), now + OFTEN);
            now = pace.next();
        }
        assert_eq!((now, pace.next()), (start + QUIET, start + QUIET));
        assert!(!pace.fetched(now, false));
        assert_eq!(pace.next(), now + SELDOM);
        now += SELDOM / 2; // woken
        assert!(!pace.fetched(now, true));
        assert_eq!(pace.next(), now + OFTEN);
        assert!(pace.fetched(now + QUIET, false));
    }
}
