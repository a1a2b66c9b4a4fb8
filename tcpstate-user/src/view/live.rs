//! `count --live`: the tracker's counts by state, with rates and the drift that the last reconciliation found.
use std::{io::Write as _, ops::ControlFlow, time::Duration};

use serde_json::{Map, Value, json};

use super::{Moment, View};
use crate::{
    sink::{
        Output, WallClock,
        json::{self, Rfc3339, SCHEMA},
    },
    tcp::{TcpState, Transition},
    tracker::Window,
};

/// What `count --live` was asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Print this often.
    pub interval: Duration,
    /// End after so many times.
    pub count: Option<u64>,
    /// The one state to show; all if none.
    pub state: Option<TcpState>,
    /// JSON instead of text.
    pub json: bool,
}

/// The view.
pub struct Live {
    settings: Settings,
    clock: WallClock,
    shown: u64,
}

impl Live {
    /// A view with times of `clock`.
    #[must_use]
    pub fn new(settings: Settings, clock: WallClock) -> Self {
        Self {
            settings,
            clock,
            shown: 0,
        }
    }

    fn states(&self) -> impl Iterator<Item = TcpState> + use<> {
        let only = self.settings.state;
        TcpState::live().filter(move |state| only.is_none_or(|only| only == *state))
    }

    fn print(&mut self, moment: &Moment<'_>, output: &mut Output) {
        if self.settings.json {
            output.line(|line| self.json(moment, line));
        } else {
            output.line(|line| self.text(moment, line));
        }
    }

    fn text(&mut self, moment: &Moment<'_>, line: &mut Vec<u8>) {
        if self.shown > 0 {
            line.push(b'\n');
        }
        // Writing to a vector cannot fail, here and below.
        let _ = writeln!(
            line,
            "{:<12} {:>9} {:>10} {:>10} {:>10} {:>10} {:>7}",
            self.clock.local(moment.now_ns),
            "SOCKETS",
            "IN/s 1s",
            "10s",
            "60s",
            "OUT/s 1s",
            "DRIFT"
        );
        let Moment {
            tracker,
            start_ns,
            now_ns,
            ..
        } = moment;
        let rate =
            |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"));
        for state in self.states() {
            let entered = |window| rate(tracker.rates().entered(state, window, *start_ns, *now_ns));
            let left = rate(tracker.rates().left(state, Window::One, *start_ns, *now_ns));
            let drift = tracker
                .drift()
                .map_or_else(|| "-".to_owned(), |drift| drift.of(state).to_string());
            let _ = writeln!(
                line,
                "{state:<12} {:>9} {:>10} {:>10} {:>10} {left:>10} {drift:>7}",
                tracker.count(state),
                entered(Window::One),
                entered(Window::Ten),
                entered(Window::Sixty),
            );
        }
    }

    fn json(&mut self, moment: &Moment<'_>, line: &mut Vec<u8>) {
        let Moment {
            tracker,
            start_ns,
            now_ns,
            ..
        } = moment;
        let (second, nanos) = self.clock.rfc3339(*now_ns);
        let time = Rfc3339 { second, nanos }.to_string();
        let windows = |of: &dyn Fn(Window) -> Option<f64>| {
            let [one, ten, sixty] = Window::ALL.map(of);
            json!({ "1s": one, "10s": ten, "60s": sixty })
        };
        let rates = tracker.rates();
        let by_state = |of: &dyn Fn(TcpState) -> Value| -> Map<String, Value> {
            self.states()
                .map(|state| (state.name().to_owned(), of(state)))
                .collect()
        };
        // The counts stand where `count --json` has them.
        let mut object = by_state(&|state| tracker.count(state).into());
        let Value::Object(more) = json!({
            "v": SCHEMA,
            "time": time,
            "mono_ns": now_ns,
            "rates_in": by_state(&|state| windows(&|window| rates.entered(state, window, *start_ns, *now_ns))),
            "rates_out": by_state(&|state| windows(&|window| rates.left(state, window, *start_ns, *now_ns))),
            "transitions_per_second": windows(&|window| rates.total(window, *start_ns, *now_ns)),
            "drift": tracker.drift().map(|drift| by_state(&|state| drift.of(state).into())),
        }) else {
            return;
        };
        object.extend(more);
        json::write(line, &object);
        line.push(b'\n');
    }
}

impl View for Live {
    fn transition(&mut self, _seq: u64, _transition: &Transition, _output: &mut Output) -> bool {
        true
    }

    fn every(&self) -> Option<Duration> {
        Some(self.settings.interval)
    }

    fn interval(&mut self, moment: &mut Moment<'_>, output: &mut Output) -> ControlFlow<()> {
        self.print(moment, output);
        self.shown += 1;
        match self.settings.count {
            Some(count) if self.shown >= count => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}
