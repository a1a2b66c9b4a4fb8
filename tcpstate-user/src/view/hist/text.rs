//! `hist` as text: for each state the percentiles of finished stays, their distribution, and who is still in it.
use hdrhistogram::Histogram;
use std::io::Write as _;

use super::{Unit, bars};
use crate::{
    tcp::TcpState,
    tracker::{Dwell, StillOpen},
};

/// Appends what is known of `states`; one without a finished stay or an open socket is left out.
pub(super) fn write(
    out: &mut Vec<u8>,
    unit: Unit,
    states: &[TcpState],
    dwell: &Dwell,
    open: &[StillOpen; 12],
) {
    let mut empty = true;
    for state in states {
        let histogram = dwell.histogram(*state);
        let open = open[state.index()];
        let outliers = dwell.outliers(*state);
        if histogram.is_empty() && open.sockets == 0 && outliers == 0 {
            continue;
        }
        empty = false;
        let _ = writeln!(out, "\n{state}"); // a vector does not fail, here and below
        if !histogram.is_empty() {
            figures(out, histogram, unit);
            bars::write(out, histogram, unit);
        }
        if outliers > 0 {
            let _ = writeln!(out, "  longer than 24 h: {outliers}");
        }
        if open.sockets > 0 {
            let _ = writeln!(out, "  still open: {}, oldest {}", open.sockets, age(open));
        }
    }
    if empty {
        let _ = writeln!(out, "\nno socket was in any of these states");
    }
}

fn figures(out: &mut Vec<u8>, histogram: &Histogram<u64>, unit: Unit) {
    let show = |micros: f64| match unit {
        Unit::Usecs => format!("{micros:.0}"),
        Unit::Msecs => format!("{:.3}", micros / 1000.0),
    };
    let at = |quantile: f64| show(histogram.value_at_quantile(quantile) as f64);
    let _ = writeln!(
        out,
        "  count {}, {}: min {}, mean {}, p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
        histogram.len(),
        unit.name(),
        show(histogram.min() as f64),
        show(histogram.mean()),
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        show(histogram.max() as f64),
    );
}

/// The age of the oldest socket; where one was there before us, it is at least that.
fn age(open: StillOpen) -> String {
    let Some(oldest_ns) = open.oldest_ns else {
        return "-".to_owned();
    };
    let seconds = oldest_ns as f64 / 1e9;
    match open.unknown_age {
        0 => format!("{seconds:.3} s"),
        unknown => format!("at least {seconds:.3} s ({unknown} of unknown age)"),
    }
}
