//! The tables of the results, and the same for machines.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use serde::Serialize;

use super::{
    machine::Machine,
    rounds::{Row, Traced},
};

/// Everything.
#[derive(Serialize)]
pub struct Report<'a> {
    /// Where and when.
    pub machine: &'a Machine,
    /// Every run.
    pub rows: &'a [Row],
}

const MIB: f64 = 1024.0 * 1024.0;

/// A line for those who wait.
pub fn line_of(row: &Row) -> String {
    format!(
        "{} ({}): {:.1} % kept, {:.0} ns/transition",
        row.name,
        row.close,
        row.kept() * 100.0,
        row.median(|round| round.measured.total_ns())
    )
}

/// All of it. What misses its bar has a `!`.
pub fn of(rows: &[Row]) -> String {
    let mut text = String::from(
        "\n                        untraced   kept |  ns per transition            main |  user s |  transitions                    | MiB at start, peak, maps\n\
           command           close  conn/s      %  |   BPF  (net)   CPU  total   times |  per M  |    expected       seen     lost |\n",
    );
    for row in rows {
        line(&mut text, row);
    }
    for row in rows {
        losses(&mut text, row);
    }
    text += "\nBPF programs: runs per transition, ns per transition (empty: does nothing, so it shows what measuring costs)\n";
    for row in rows {
        programs(&mut text, row);
    }
    text
}

fn line(text: &mut String, row: &Row) {
    let mark = |missed: Option<bool>| if missed == Some(true) { '!' } else { ' ' };
    let median = |of: fn(&Traced) -> f64| row.median(|round| of(&round.measured));
    let (total, ratio) = (median(Traced::total_ns), median(Traced::main_ratio));
    let sum = |of: fn(&Traced) -> Option<u64>| {
        row.traced()
            .map(of)
            .sum::<Option<u64>>()
            .map_or("-".to_owned(), |sum| sum.to_string())
    };
    let expected: u64 = row.traced().map(|run| run.done.transitions).sum();
    let lost = |run: &Traced| Some(run.lost.as_ref()?.values().sum::<u64>());
    let any_lost = row.traced().filter_map(lost).any(|lost| lost > 0);
    let short = row
        .traced()
        .any(|run| run.seen.is_some_and(|seen| seen < run.done.transitions));
    let peak = |of: fn(&Traced) -> u64| row.traced().map(of).max().unwrap_or(0) as f64 / MIB;
    // Peers are command lines.
    let name: String = row.name.chars().take(17).collect();
    let _ = writeln!(
        text,
        "{name:17} {:5} {:8.0} {:6.1}{} | {:5.0} {:6.0} {:5.0} {:6.0}{} {:6.2}{} | {:6.3}  | {expected:11} {:>10}{} {:>7}{} | {:4.0} {:4.0} {:4.0}",
        row.close.to_string(),
        row.median(|round| round.untraced.rate()),
        row.kept() * 100.0,
        mark(row.bars.kept.map(|bar| row.kept() < bar)),
        median(Traced::bpf_ns),
        median(Traced::net_bpf_ns),
        median(Traced::cpu_ns),
        total,
        mark(row.bars.total_ns.map(|bar| total > bar)),
        ratio,
        mark(row.bars.main_ratio.map(|bar| ratio > bar)),
        median(Traced::user_ns) / 1e3,
        sum(|run| run.seen),
        mark(Some(short)),
        sum(lost),
        mark(Some(any_lost)),
        peak(|run| run.start_bytes),
        peak(|run| run.peak_bytes),
        peak(|run| run.map_bytes),
    );
}

/// Why something was lost, if anything was.
fn losses(text: &mut String, row: &Row) {
    let mut causes: BTreeMap<&str, u64> = BTreeMap::new();
    for (cause, lost) in row.traced().filter_map(|run| run.lost.as_ref()).flatten() {
        *causes.entry(cause).or_default() += lost;
    }
    for (cause, lost) in causes.into_iter().filter(|(_, lost)| *lost > 0) {
        let _ = writeln!(text, "lost, {} ({}): {cause} {lost}", row.name, row.close);
    }
}

fn programs(text: &mut String, row: &Row) {
    let names: BTreeSet<&String> = row
        .rounds
        .iter()
        .flat_map(|round| round.measured.programs.keys())
        .collect();
    let _ = writeln!(text, "  {} ({})", row.name, row.close);
    for name in names {
        let ns = row.median(|round| round.measured.program(name).0);
        let runs = row.median(|round| round.measured.program(name).1);
        if runs > 0.0 {
            let _ = writeln!(text, "    {name:17} {runs:6.3} {ns:7.1}");
        }
    }
}
