//! Where facts come from: the running kernel, or a recording. Only `kernel` knows aya.
pub mod kernel;
mod merge;

use crate::fact::Fact;

/// A source of facts in order of time.
pub trait Source {
    /// Fetches what has been stated up to now; false if there is nothing.
    ///
    /// # Errors
    /// Whatever makes the source unusable from now on.
    fn fetch(&mut self) -> anyhow::Result<bool>;

    /// Gives those of the fetched facts that are complete, in order of their time, and returns the time (monotonic, ns)
    /// up to which nothing is missing any more.
    fn drain(&mut self, give: &mut dyn FnMut(&Fact)) -> u64;

    /// Facts that found no room on their way so far; cheap enough to ask between every fetch and its drain.
    ///
    /// # Errors
    /// The source's own counters cannot be read.
    fn facts_lost(&mut self) -> anyhow::Result<u64>;

    /// What the source could not deliver so far, by cause.
    ///
    /// # Errors
    /// The source's own counters cannot be read.
    fn lost(&mut self) -> anyhow::Result<Lost>;
}

/// Facts lost on their way, by cause. Every output shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Lost {
    /// A CPU's ring buffer had no room.
    pub ring_full: u64,
    /// The tracker's table was full: the connection was not followed.
    pub table_full: u64,
    /// The user side fell behind between source and tracker.
    pub reader_slow: u64,
    /// Whoever reads the output fell behind: lines dropped.
    pub writer_slow: u64,
    /// Connections whose start was missed: they were first seen in the middle of their life.
    pub missed_start: u64,
    /// The kernel skipped the program because it was already running on that CPU (an interrupt inside it).
    pub nested: u64,
}

impl Lost {
    /// The larger of both, cause by cause.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            ring_full: self.ring_full.max(other.ring_full),
            table_full: self.table_full.max(other.table_full),
            reader_slow: self.reader_slow.max(other.reader_slow),
            writer_slow: self.writer_slow.max(other.writer_slow),
            missed_start: self.missed_start.max(other.missed_start),
            nested: self.nested.max(other.nested),
        }
    }

    /// Names and values, in the order in which every output shows them.
    #[must_use]
    pub fn by_cause(&self) -> [(&'static str, u64); 6] {
        [
            ("ring_full", self.ring_full),
            ("table_full", self.table_full),
            ("reader_slow", self.reader_slow),
            ("writer_slow", self.writer_slow),
            ("missed_start", self.missed_start),
            ("nested", self.nested),
        ]
    }

    /// Counts what a recording says was lost by `cause`, one of the names of [`Lost::by_cause`].
    pub fn add(&mut self, cause: &str, lost: u64) {
        let count = match cause {
            "ring_full" => &mut self.ring_full,
            "table_full" => &mut self.table_full,
            "reader_slow" => &mut self.reader_slow,
            "writer_slow" => &mut self.writer_slow,
            "missed_start" => &mut self.missed_start,
            "nested" => &mut self.nested,
            _ => return, // not a name of ours
        };
        *count = count.saturating_add(lost);
    }

    /// All causes together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_cause().iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_added_by_its_name() {
        let mut lost = Lost::default();
        for (number, (cause, _)) in lost.by_cause().into_iter().enumerate() {
            lost.add(cause, 1 + number as u64);
        }
        let counts = lost.by_cause().map(|(_, count)| count);
        assert!(counts.into_iter().eq(1..=counts.len() as u64));
    }
}
