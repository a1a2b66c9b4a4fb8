//! How far a measurement is, as one line on stderr that is written over each second, for people who watch a terminal.
use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use super::human;

/// The line.
#[derive(Debug)]
pub(super) struct Progress {
    duration: Option<Duration>,
    drawn: bool,
}

impl Progress {
    /// For a measurement of `duration`; `None` unless someone watches.
    pub(super) fn watched(duration: Option<Duration>) -> Option<Self> {
        std::io::stderr().is_terminal().then_some(Self {
            duration,
            drawn: false,
        })
    }

    /// Draws it.
    pub(super) fn draw(&mut self, passed_ns: u64, transitions: u64) {
        let time = match self.duration {
            Some(duration) => {
                let left = duration.saturating_sub(Duration::from_nanos(passed_ns));
                format!("{:.0} s left", left.as_secs_f64().ceil())
            }
            None => format!("{}, Ctrl-C to end", human::duration(passed_ns)),
        };
        // A terminal that has gone is no reason to stop measuring.
        let _ = write!(
            std::io::stderr(),
            "\r\x1b[Ktcpstate: measuring, {time}, {} transitions",
            human::count(transitions)
        );
        self.drawn = true;
    }

    /// Takes it away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
