//! What a moment says about every state, taken once a refresh and held still for the screen.
use std::time::Duration;

use super::{figure::Span, history::History};
use crate::{
    dwell::{Dwell, LONGEST_US},
    source::Lost,
    summary::Tally,
    tcp::TcpState,
    tracker::Window,
    view::Moment,
};

/// The states in the order in which a connection lives through them: opening, open, closing first, closing second.
pub const LIFE: [TcpState; 10] = [
    TcpState::Listen,
    TcpState::SynSent,
    TcpState::SynRecv,
    TcpState::Established,
    TcpState::FinWait1,
    TcpState::FinWait2,
    TcpState::Closing,
    TcpState::TimeWait,
    TcpState::CloseWait,
    TcpState::LastAck,
];

/// What is shown of a measurement at one moment.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// When, monotonic, ns.
    pub now_ns: u64,
    /// The same as time of day.
    pub time: String,
    /// How long the measurement has run, ns.
    pub watched_ns: u64,
    /// How long finished stays and transitions have been gathered, ns.
    pub gathered_ns: u64,
    /// All transitions a second.
    pub rate: Option<f64>,
    /// What was lost since the start.
    pub lost: Lost,
    /// By how many sockets the counts were off when they were last compared with the kernel's.
    pub drift: Option<u64>,
    /// Sockets in any state.
    pub sockets: u64,
    /// The states, in the order of [`LIFE`].
    pub rows: Vec<Row>,
    /// Transitions since the start or the last reset.
    pub tally: Tally,
    /// Counts of the last minutes.
    pub history: History,
}

/// What is shown of one state.
#[derive(Clone, Debug)]
pub struct Row {
    /// The state.
    pub state: TcpState,
    /// Sockets in it.
    pub sockets: u64,
    /// Transitions into it a second.
    pub entered: Option<f64>,
    /// Transitions out of it a second.
    pub left: Option<f64>,
    /// Stays that have ended and whose length is known.
    pub finished: u64,
    /// Half of them were no longer.
    pub p50: Option<Span>,
    /// 99 of 100 of them were no longer.
    pub p99: Option<Span>,
    /// The longest.
    pub max: Option<Span>,
}

/// What is gathered from transitions between two resets.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Since when, monotonic, ns; since the start if never reset.
    pub since_ns: Option<u64>,
    /// Finished stays.
    pub dwell: Dwell,
    /// Transitions by states left and entered.
    pub tally: Tally,
}

impl Reading {
    /// Reads `moment`, whose time of day is `time`. Rates are those of the longest window that `every` fills.
    #[must_use]
    pub fn take(
        moment: &Moment<'_>,
        time: &str,
        every: Duration,
        gathered: &Gathered,
        history: &History,
    ) -> Self {
        let Moment {
            tracker,
            start_ns,
            now_ns,
            lost,
            ..
        } = moment;
        let window = window(every);
        let rates = tracker.rates();
        let row = |state| Row {
            state,
            sockets: tracker.count(state),
            entered: rates.entered(state, window, *start_ns, *now_ns),
            left: rates.left(state, window, *start_ns, *now_ns),
            finished: finished(&gathered.dwell, state),
            p50: quantile(&gathered.dwell, state, 0.5),
            p99: quantile(&gathered.dwell, state, 0.99),
            max: quantile(&gathered.dwell, state, 1.0),
        };
        let rows: Vec<Row> = LIFE.into_iter().map(row).collect();
        Self {
            now_ns: *now_ns,
            time: time.to_owned(),
            watched_ns: now_ns.saturating_sub(*start_ns),
            gathered_ns: now_ns.saturating_sub(gathered.since_ns.unwrap_or(*start_ns)),
            rate: rates.total(window, *start_ns, *now_ns),
            lost: *lost,
            drift: tracker.drift().map(|drift| {
                let states = TcpState::live();
                states.map(|state| drift.of(state).unsigned_abs()).sum()
            }),
            sockets: rows.iter().map(|row| row.sockets).sum(),
            rows,
            tally: gathered.tally.clone(),
            history: history.clone(),
        }
    }
}

/// The longest window of rates that is no longer than a refresh.
fn window(every: Duration) -> Window {
    let fits = |window: &Window| Duration::from_secs(*window as u64) <= every;
    let windows = Window::ALL.into_iter().rev();
    windows.into_iter().find(fits).unwrap_or(Window::One)
}

fn finished(dwell: &Dwell, state: TcpState) -> u64 {
    dwell.histogram(state).len() + dwell.outliers(state)
}

/// The stay that the part `quantile` of all finished ones did not exceed, those counted without their length included.
fn quantile(dwell: &Dwell, state: TcpState, quantile: f64) -> Option<Span> {
    let (known, all) = (dwell.histogram(state).len(), finished(dwell, state));
    if all == 0 {
        return None;
    }
    let rank = ((all as f64 * quantile).ceil() as u64).max(1);
    Some(if rank > known {
        Span {
            ns: LONGEST_US * 1000,
            at_least: true,
        }
    } else {
        let histogram = dwell.histogram(state);
        let micros = histogram.value_at_quantile(rank as f64 / known as f64);
        Span::exact(micros * 1000)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_are_every_live_state_once() {
        let mut rows = LIFE.to_vec();
        rows.sort_unstable();
        let mut live: Vec<_> = TcpState::live().collect();
        live.sort_unstable();
        assert_eq!(rows, live);
    }

    #[test]
    fn a_stay_of_more_than_a_day_is_a_lower_bound() {
        let mut dwell = Dwell::default();
        let state = TcpState::Established;
        assert_eq!(quantile(&dwell, state, 0.5), None);
        for _ in 0..2 {
            dwell.record(state, 5_000_000);
        }
        dwell.record(state, LONGEST_US * 1000 * 3);
        let p50 = quantile(&dwell, state, 0.5).unwrap();
        assert!(!p50.at_least && p50.ns.abs_diff(5_000_000) < 10_000);
        let max = quantile(&dwell, state, 1.0).unwrap();
        assert_eq!(max.to_string(), ">=1d00h");
        assert_eq!(finished(&dwell, state), 3);
    }

    #[test]
    fn rates_are_of_a_window_that_a_refresh_fills() {
        for (seconds, expected) in [
            (0.1, Window::One),
            (1.0, Window::One),
            (9.9, Window::One),
            (10.0, Window::Ten),
            (3600.0, Window::Sixty),
        ] {
            assert_eq!(window(Duration::from_secs_f64(seconds)), expected);
        }
    }
}
