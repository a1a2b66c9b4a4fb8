//! What each minute shows, and what follows from all of them.
use std::{collections::BTreeMap, fmt};

use crate::watched::Look;

/// Minutes until the table of connections is as large as it gets: a TIME_WAIT stays for one, and what held it grows once more.
pub const STEADY: u32 = 3;
/// What resident memory may grow by from then on, however long it goes on.
const MARGIN_BYTES: u64 = 8 << 20;

/// Above the lines of the minutes.
pub const HEADER: &str = concat!(
    "         connections | serve                        | trace -J\n",
    " minute         made |  MiB    sockets  drift  lost |  MiB    sockets  missing      lines"
);

/// One of the tools at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Tracked {
    /// Resident memory.
    pub resident_bytes: u64,
    /// Sockets that live, as it shows them.
    pub live: i64,
    /// What it shows as lost.
    pub lost: i64,
}

/// Everything seen so far.
#[derive(Debug, Default)]
pub struct Verdict {
    looks: u64,
    /// What was found by a reconciliation, each time that it was something.
    drifts: Vec<String>,
    lost: BTreeMap<String, i64>,
    missing: i64,
    /// Resident memory when the table was full-grown, and the most since: of `serve` and of `trace`.
    memory: Option<[(u64, u64); 2]>,
    /// What was found at the end.
    checks: Vec<(bool, String)>,
}

impl Verdict {
    /// Takes a look.
    pub fn look(&mut self, look: &Look) {
        self.looks += 1;
        if !look.drift.is_empty() {
            self.drifts.push(format!("{:?}", look.drift));
        }
        self.lost.clone_from(&look.lost);
        self.missing = self.missing.max(look.trace.lost);
        if let Some(memory) = &mut self.memory {
            for ((_, most), now) in memory.iter_mut().zip([look.serve, look.trace]) {
                *most = now.resident_bytes.max(*most);
            }
        }
    }

    /// A line for the end of a minute.
    pub fn minute(&mut self, minute: u32, made: u64, look: &Look) -> String {
        if minute == STEADY {
            self.memory =
                Some([look.serve, look.trace].map(|now| (now.resident_bytes, now.resident_bytes)));
        }
        let mib = |tracked: Tracked| mib(tracked.resident_bytes);
        format!(
            "{minute:7} {made:12} | {:4.1} {:10} {:6} {:5} | {:4.1} {:10} {:8} {:10}",
            mib(look.serve),
            look.serve.live,
            look.drift.values().sum::<i64>(),
            look.serve.lost,
            mib(look.trace),
            look.trace.live,
            look.trace.lost,
            look.lines
        )
    }

    /// A check of the end.
    pub fn check(&mut self, good: bool, what: String) {
        self.checks.push((good, what));
    }

    /// A check that would have failed by itself.
    pub fn note(&mut self, what: String) {
        self.check(true, what);
    }

    /// Whether all is as it should be.
    pub fn is_good(&self) -> bool {
        self.all().iter().all(|(good, _)| *good)
    }

    fn all(&self) -> Vec<(bool, String)> {
        let mut all = Vec::new();
        for (name, (steady, most)) in ["serve", "trace -J"]
            .iter()
            .zip(self.memory.unwrap_or_default())
        {
            let grown = most.saturating_sub(steady);
            all.push((
                steady > 0 && grown <= MARGIN_BYTES,
                format!(
                    "memory of {name}: {:.1} MiB after {STEADY} minutes, {:.1} MiB more at most since (margin {:.0})",
                    mib(steady),
                    mib(grown),
                    mib(MARGIN_BYTES)
                ),
            ));
        }
        let Self {
            looks,
            drifts,
            lost,
            missing,
            ..
        } = self;
        let found = drifts.len();
        all.push((
            found == 0,
            format!("drift in {found} of {looks} looks: {}", drifts.join(", ")),
        ));
        all.push(loss(
            "serve",
            lost.iter().map(|(cause, lost)| (&**cause, *lost)),
        ));
        all.push((
            *missing == 0,
            format!("{missing} lines of trace are missing"),
        ));
        all.extend(self.checks.iter().cloned());
        all
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (good, what) in self.all() {
            writeln!(f, "{} {what}", if good { "ok  " } else { "FAIL" })?;
        }
        Ok(())
    }
}

/// What a tool says that it has lost. `nested` alone is shown, and is no loss for certain: the kernel has skipped a program,
/// and what it would have told may be told by another, as the end of a request that was accepted is. What nobody told is found
/// as drift, or as a difference between both tools at the end.
pub fn loss<'a>(name: &str, lost: impl Iterator<Item = (&'a str, i64)>) -> (bool, String) {
    let lost: BTreeMap<&str, i64> = lost.filter(|(_, lost)| *lost != 0).collect();
    let good = lost.keys().all(|cause| *cause == "nested");
    (good, format!("{name} lost {lost:?}"))
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
