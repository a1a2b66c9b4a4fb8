//! `hist` as text: for each state the percentiles of finished stays, their distribution, and who is still in it.
use hdrhistogram::Histogram;
use std::io::Write as _;

use super::{Holders, Open, Unit, bars, groups::Group};
use crate::{
    dwell::{Dwell, Stays},
    places::Places,
    sink::printable,
    tcp::{OwnerSource, TcpState},
    tracker::StillOpen,
};

/// Appends what is known of `states`; one without a finished stay or an open socket is left out.
pub(super) fn write(
    out: &mut Vec<u8>,
    unit: Unit,
    states: &[TcpState],
    dwell: &Dwell,
    all: &Open<'_>,
) {
    let mut empty = true;
    for state in states {
        let (stays, open) = (dwell.stays(*state), all.sockets[state.index()]);
        if one(out, state.name(), stays, open, unit) {
            empty = false;
            if open.sockets > 0 {
                holders(out, &all.holders[state.index()], all.places);
            }
        }
    }
    end(out, empty);
}

/// Appends groups, each with its heading.
pub(super) fn write_groups(out: &mut Vec<u8>, unit: Unit, groups: &[Group<'_>]) {
    let mut empty = true;
    for group in groups {
        empty &= !one(out, &group.heading(), group.stays, group.open, unit);
    }
    end(out, empty);
}

fn end(out: &mut Vec<u8>, empty: bool) {
    if empty {
        let _ = writeln!(out, "\nno socket was in any of these states");
    }
}

/// Appends what is known under `heading`; nothing, and false, where there is nothing.
fn one(out: &mut Vec<u8>, heading: &str, stays: &Stays, open: StillOpen, unit: Unit) -> bool {
    let (histogram, outliers) = (stays.histogram(), stays.outliers());
    if histogram.is_empty() && open.sockets == 0 && outliers == 0 {
        return false;
    }
    let _ = writeln!(out, "\n{heading}"); // a vector does not fail, here and below
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
    true
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

/// Command lines are cut after so many characters.
const COMMAND: usize = 80;

/// Who holds the sockets that are still open, the most first.
fn holders(out: &mut Vec<u8>, holders: &Holders, places: &Places) {
    for holder in &holders.first {
        let _ = write!(out, "    {} by ", holder.open.sockets);
        match &holder.owner {
            Some(owner) => {
                let _ = write!(out, "{}[{}]", printable(owner.comm.bytes()), owner.pid);
                if owner.source == OwnerSource::Listen {
                    let _ = write!(out, " (their listener's)");
                }
                if let Some(command) = places.command_line(owner.pid) {
                    let command: String = printable(command.as_bytes())
                        .chars()
                        .take(COMMAND)
                        .collect();
                    let _ = write!(out, " {command}");
                }
            }
            None => {
                let _ = write!(out, "no known process");
            }
        }
        let _ = write!(out, ", oldest {}", age(holder.open));
        for (place, (peer, sockets)) in holder.peers.iter().enumerate() {
            let before = if place == 0 { "; peers" } else { "," };
            let _ = write!(out, "{before} {peer} ({sockets})");
        }
        let more = holder.peers_in_all - holder.peers.len();
        if more > 0 {
            let _ = write!(out, " and {more} more");
        }
        let _ = writeln!(out);
    }
    if holders.others > 0 {
        let _ = writeln!(out, "    and {} other processes", holders.others);
    }
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
