//! The result on the screen: what failed and what it printed, then the table kernel × test, then the count.
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::guest::{Guest, Outcome};
use super::report::Verdict;

/// The row of the guest itself: it boots, runs its tests and powers off.
const GUEST: &str = "boots, tells all, ends";

/// A guest and what came of it.
type Run<'a> = (&'a Guest<'a>, &'a Outcome);

/// What is shown, and how many cells there are of each kind.
pub(super) struct Table {
    /// Text for the screen.
    pub(super) text: String,
    pub(super) passed: usize,
    pub(super) failed: usize,
}

/// Draws the table.
pub(super) fn draw(guests: &[Guest<'_>], outcomes: &[Outcome]) -> Table {
    let runs: Vec<Run<'_>> = guests.iter().zip(outcomes).collect();
    let runs = runs.as_slice();
    let mut table = Table {
        text: String::new(),
        passed: 0,
        failed: 0,
    };
    let mut lines = vec![
        row("", runs, |guest, _| guest.title.clone()),
        row("", runs, |_, outcome| {
            outcome.report.release.clone().unwrap_or("?".to_owned())
        }),
        row(GUEST, runs, |_, outcome| {
            match (&outcome.trouble, outcome.boot) {
                (None, Some(boot)) => table.pass(boot),
                (trouble, _) => table.fail(
                    trouble
                        .as_ref()
                        .map_or("did not boot", |trouble| trouble.short),
                ),
            }
        }),
    ];
    // A guest that came to no end may lack tests that others have: their cells have failed, too.
    let tests: BTreeSet<&String> = runs
        .iter()
        .flat_map(|(_, outcome)| outcome.report.tests.keys())
        .collect();
    for test in tests {
        lines.push(row(test, runs, |_, outcome| {
            match outcome.report.tests.get(test) {
                Some(Verdict::Passed(time)) => table.pass(*time),
                Some(Verdict::Failed(_)) => table.fail("FAILED"),
                Some(Verdict::Interrupted) => table.fail(
                    outcome
                        .trouble
                        .as_ref()
                        .map_or("?", |trouble| trouble.short),
                ),
                Some(Verdict::NotRun) | None => table.fail("not run"),
                Some(Verdict::Ignored) => "ignored".to_owned(),
            }
        }));
    }
    table.text = failures(runs) + &aligned(&lines);
    table
}

impl Table {
    fn pass(&mut self, time: Duration) -> String {
        self.passed += 1;
        format!("ok {:.1} s", time.as_secs_f64())
    }

    fn fail(&mut self, why: &str) -> String {
        self.failed += 1;
        why.to_owned()
    }
}

/// What failed tests have printed, and where the whole console is.
fn failures(runs: &[Run<'_>]) -> String {
    let mut text = String::new();
    for (guest, outcome) in runs {
        for (test, printed) in &outcome.report.failures {
            let _ = writeln!(
                text,
                "==== {}: {test}\n{}\n",
                guest.title,
                printed.join("\n")
            );
        }
        if let Some(trouble) = &outcome.trouble {
            let _ = writeln!(text, "==== {}: {}", guest.title, trouble.long);
        }
        if outcome.trouble.is_some() || !outcome.report.failures.is_empty() {
            let _ = writeln!(text, "all of its console: {}\n", guest.log.display());
        }
    }
    text
}

fn row(
    name: &str,
    runs: &[Run<'_>],
    mut cell: impl FnMut(&Guest<'_>, &Outcome) -> String,
) -> Vec<String> {
    let cells = runs.iter().map(|(guest, outcome)| cell(guest, outcome));
    std::iter::once(name.to_owned()).chain(cells).collect()
}

fn aligned(lines: &[Vec<String>]) -> String {
    let mut text = String::new();
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let width = lines.iter().map(|line| line[column].len()).max();
            let _ = write!(text, "{cell:<0$}  ", width.unwrap_or(0));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}
