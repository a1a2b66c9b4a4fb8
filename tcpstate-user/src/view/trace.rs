//! `trace`: a line for every transition.
use super::View;
use crate::{
    sink::{Format, Output},
    tcp::{TcpState, Transition},
};

/// Prints the transitions that touch one of the states asked for.
pub struct Trace {
    format: Box<dyn Format>,
    states: Vec<TcpState>,
}

impl Trace {
    /// Lines in `format`; of every transition if `states` is empty.
    #[must_use]
    pub fn new(format: Box<dyn Format>, states: Vec<TcpState>) -> Self {
        Self { format, states }
    }
}

impl View for Trace {
    fn begin(&mut self, output: &mut Output) {
        output.line(|line| self.format.header(line));
        output.flush();
    }

    fn transition(&mut self, seq: u64, transition: &Transition, output: &mut Output) -> bool {
        let wanted = self.states.is_empty()
            || self.states.contains(&transition.from)
            || self.states.contains(&transition.to);
        if wanted {
            output.line(|line| self.format.transition(line, seq, transition));
        }
        wanted
    }
}
