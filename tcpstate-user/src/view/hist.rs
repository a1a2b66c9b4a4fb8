//! `hist`: how long sockets stayed in each state.
mod bars;
mod json;
mod text;

use std::{ops::ControlFlow, time::Duration};

use super::{Moment, View};
use crate::{
    sink::{Output, WallClock},
    tcp::{TcpState, Transition},
};

/// What `hist` was asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Print and start anew this often.
    pub interval: Option<Duration>,
    /// End after so many intervals.
    pub count: Option<u64>,
    /// States to show; all if empty.
    pub states: Vec<TcpState>,
    /// Unit of the bars.
    pub unit: Unit,
    /// JSON instead of text.
    pub json: bool,
}

/// Unit of the bars and of the percentiles in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds.
    Usecs,
    /// Milliseconds.
    Msecs,
}

impl Unit {
    /// Its name in headings, as bcc's tools print it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usecs => "usecs",
            Self::Msecs => "msecs",
        }
    }

    /// Microseconds in one.
    #[must_use]
    pub const fn micros(self) -> u64 {
        match self {
            Self::Usecs => 1,
            Self::Msecs => 1000,
        }
    }
}

/// The view.
pub struct Hist {
    settings: Settings,
    clock: WallClock,
    shown: u64,
    /// Start of the running interval, monotonic, ns.
    since_ns: Option<u64>,
}

impl Hist {
    /// A view with times of `clock`.
    #[must_use]
    pub fn new(settings: Settings, clock: WallClock) -> Self {
        Self {
            settings,
            clock,
            shown: 0,
            since_ns: None,
        }
    }

    fn wants(&self, state: TcpState) -> bool {
        state != TcpState::Close
            && (self.settings.states.is_empty() || self.settings.states.contains(&state))
    }

    fn print(&mut self, moment: &mut Moment<'_>, output: &mut Output) {
        let since_ns = self
            .since_ns
            .replace(moment.now_ns)
            .unwrap_or(moment.start_ns);
        let span_ns = moment.now_ns.saturating_sub(since_ns);
        let states: Vec<TcpState> = TcpState::live()
            .filter(|state| self.wants(*state))
            .collect();
        let open = moment.tracker.still_open(moment.now_ns);
        let dwell = moment.tracker.dwell();
        if self.settings.json {
            output.line(|line| {
                json::write(
                    line,
                    &mut self.clock,
                    moment.now_ns,
                    span_ns,
                    &states,
                    dwell,
                    &open,
                )
            });
        } else {
            let several = self.settings.interval.is_some();
            output.line(|line| {
                if several {
                    line.extend_from_slice(
                        format!("\n{}\n", self.clock.local(moment.now_ns)).as_bytes(),
                    );
                }
                text::write(line, self.settings.unit, &states, dwell, &open);
            });
        }
        moment.tracker.dwell_mut().clear();
    }
}

impl View for Hist {
    fn transition(&mut self, _seq: u64, _transition: &Transition, _output: &mut Output) -> bool {
        true
    }

    fn every(&self) -> Option<Duration> {
        self.settings.interval
    }

    fn interval(&mut self, moment: &mut Moment<'_>, output: &mut Output) -> ControlFlow<()> {
        self.print(moment, output);
        self.shown += 1;
        match self.settings.count {
            Some(count) if self.shown >= count => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn finish(&mut self, moment: &mut Moment<'_>, output: &mut Output) {
        // An interval that was cut short is shown too; one that has just been shown is not shown again.
        if self.settings.count != Some(self.shown) {
            self.print(moment, output);
        }
    }
}
