//! `hist`: how long sockets stayed in each state.
mod bars;
mod groups;
mod json;
mod text;

pub use self::groups::By;

use std::{ops::ControlFlow, time::Duration};

use self::groups::Groups;
use super::{
    Moment, View,
    holders::{Holders, holders},
};
use crate::{
    about::About,
    dwell::Dwell,
    places::Places,
    sink::{Output, WallClock, hdr::HdrLog},
    tcp::{TcpState, Transition},
    tracker::StillOpen,
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
    /// What to tell apart besides the state.
    pub by: By,
    /// Keys told apart at most; the rest is one group.
    pub keys: usize,
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

/// Sockets that are still open, and who holds them.
struct Open<'a> {
    sockets: [StillOpen; 12],
    holders: [Holders; 12],
    places: &'a Places,
}

/// The view.
pub struct Hist {
    settings: Settings,
    clock: WallClock,
    dwell: Dwell,
    /// Stays by key, if asked for.
    groups: Option<Groups>,
    hdr: Option<HdrLog>,
    shown: u64,
    /// Start of the running interval, monotonic, ns.
    since_ns: Option<u64>,
}

impl Hist {
    /// A view with times of `clock`; each interval goes into `hdr` as well.
    #[must_use]
    pub fn new(settings: Settings, clock: WallClock, hdr: Option<HdrLog>) -> Self {
        Self {
            groups: (settings.by != By::State).then(|| Groups::new(settings.by, settings.keys)),
            hdr,
            settings,
            clock,
            dwell: Dwell::default(),
            shown: 0,
            since_ns: None,
        }
    }

    /// How writing the histogram log went.
    ///
    /// # Errors
    /// It could not be written.
    pub fn result(self) -> anyhow::Result<()> {
        self.hdr.map_or(Ok(()), HdrLog::finish)
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
        if let Some(hdr) = &mut self.hdr {
            hdr.interval(&self.dwell, since_ns, moment.now_ns);
        }
        if self.settings.interval.is_some() && !self.settings.json {
            let time = self.clock.local(moment.now_ns);
            output.line(|line| line.extend_from_slice(format!("\n{time}\n").as_bytes()));
        }
        let head = json::head(&mut self.clock, moment.now_ns, span_ns);
        let (unit, json) = (self.settings.unit, self.settings.json);
        if let Some(groups) = &mut self.groups {
            let open = groups.open(&states, moment.tracker, moment.now_ns);
            let shown = groups.shown(&states, &open);
            let by = self.settings.by;
            output.line(|line| match json {
                true => json::write_groups(line, head, by, &shown),
                false => text::write_groups(line, unit, &shown),
            });
            groups.clear();
        } else {
            let open = Open {
                sockets: moment.tracker.still_open(moment.now_ns),
                holders: holders(moment.tracker, moment.now_ns),
                places: moment.places,
            };
            let dwell = &self.dwell;
            output.line(|line| match json {
                true => json::write(line, head, &states, dwell, &open),
                false => text::write(line, unit, &states, dwell, &open),
            });
        }
        self.dwell.clear();
    }
}

impl View for Hist {
    fn ready(&mut self, about: &About, _moment: &mut Moment<'_>) {
        if let Some(hdr) = &mut self.hdr {
            hdr.begin(about);
        }
    }

    fn transition(&mut self, _seq: u64, transition: &Transition, _output: &mut Output) -> bool {
        self.dwell.transition(transition);
        if self.wants(transition.from)
            && let Some(groups) = &mut self.groups
        {
            groups.transition(transition);
        }
        true
    }

    fn shows_holders(&self) -> bool {
        self.groups.is_none()
    }

    fn every(&self) -> Option<Duration> {
        self.settings.interval
    }

    fn is_silent(&self) -> bool {
        self.settings.interval.is_none()
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
