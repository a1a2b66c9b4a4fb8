//! Where facts come from: the running kernel, or a recording. Only `kernel` knows aya.
pub mod kernel;
mod merge;

use crate::fact::Fact;

/// A source of facts in order of time.
pub trait Source {
    /// Appends the facts that are complete up to now, in order of their time, and returns the time (monotonic, ns)
    /// up to which nothing is missing any more.
    ///
    /// # Errors
    /// Whatever makes the source unusable from now on.
    fn drain(&mut self, facts: &mut Vec<Fact>) -> anyhow::Result<u64>;

    /// Facts that found no room on their way so far; cheap enough to ask at every drain.
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

    /// All causes together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_cause().iter().map(|(_, count)| count).sum()
    }
}
