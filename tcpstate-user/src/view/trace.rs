//! `trace`: a line for every transition.
use super::View;
use crate::{
    sink::{Format, Output, journal::Journal},
    tcp::Transition,
};

/// Prints each transition that it is given.
pub struct Trace {
    format: Box<dyn Format>,
    /// The journal, until the output has it.
    journal: Option<Journal>,
}

impl Trace {
    /// Lines in `format`; the same transitions to `journal` too.
    #[must_use]
    pub fn new(format: Box<dyn Format>, journal: Option<Journal>) -> Self {
        Self { format, journal }
    }
}

impl View for Trace {
    fn begin(&mut self, output: &mut Output) {
        if let Some(journal) = self.journal.take() {
            output.add_journal(journal);
        }
        output.line(|line| self.format.header(line));
        output.flush();
    }

    fn transition(&mut self, seq: u64, transition: &Transition, output: &mut Output) -> bool {
        output.line(|line| self.format.transition(line, seq, transition));
        output.journal(seq, transition);
        true
    }
}
