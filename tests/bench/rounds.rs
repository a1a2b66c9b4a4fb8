//! Rounds of runs, and what comes out of them.
use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Serialize;
use tcpstate_tests::{Namespace, bpf::Objects};

use super::{
    command::Bars,
    counting::{COUNTING, EMPTY, Yardsticks},
    load::{Close, Done, Load},
    machine,
    programs::{self, ByProgram, Runs},
    subject::{Cpu, Kind},
};

/// How the programs at the main tracepoint are called by the kernel: they begin with these.
const MAIN: [&str; 2] = ["inet_sock_set_s", "nested_set_stat"];

/// A run of the load with the tool.
#[derive(Clone, Debug, Serialize)]
pub struct Traced {
    /// The load's own account.
    pub done: Done,
    /// Transitions that the tool's own counters in the kernel have seen, of the whole host.
    pub seen: Option<u64>,
    /// Facts and lines that it says were lost, by cause.
    pub lost: Option<BTreeMap<String, u64>>,
    /// CPU time that it used until it was ready.
    pub start: Cpu,
    /// CPU time that it used from then on.
    pub cpu: Cpu,
    /// How long it still worked when the load was over, s.
    pub behind_seconds: f64,
    /// Memory that it had resident when it was ready, bytes.
    pub start_bytes: u64,
    /// The most memory that it had resident, bytes.
    pub peak_bytes: u64,
    /// Memory of its BPF maps, bytes.
    pub map_bytes: u64,
    /// Its programs, if their run time was measured.
    pub programs: ByProgram,
}

/// Three runs of the same load.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// Without the tool.
    pub untraced: Done,
    /// With it.
    pub traced: Traced,
    /// With it, with measured programs, and with one that only counts.
    pub measured: Traced,
}

/// Everything about one command and one way to close.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The command.
    pub name: String,
    /// How connections ended.
    pub close: Close,
    /// All rounds.
    pub rounds: Vec<Round>,
    /// What it may cost.
    #[serde(skip)]
    pub bars: Bars,
}

/// Measures one command.
pub fn measure(kind: &Kind, load: &Load, pairs: u32) -> anyhow::Result<Row> {
    let mut rounds = Vec::new();
    for number in 0..pairs {
        let round = round(kind, load, number % 2 == 0);
        rounds.push(round.with_context(|| format!("{} ({})", kind.name(), load.close))?);
    }
    Ok(Row {
        name: kind.name().to_owned(),
        close: load.close,
        rounds,
        bars: match kind {
            Kind::Tool(command) => command.bars(),
            Kind::Peer(_) => Bars::default(),
        },
    })
}

/// One round. Whether the run with or without the tool comes first changes, so that a drift of the machine favours none.
fn round(kind: &Kind, load: &Load, traced_last: bool) -> anyhow::Result<Round> {
    let mut with = None;
    if !traced_last {
        with = Some(traced(kind, load, None)?);
    }
    machine::await_quiet()?;
    let untraced = load.make(&Namespace::new())?;
    let traced_run = match with {
        Some(run) => run,
        None => traced(kind, load, None)?,
    };
    let yardsticks = Yardsticks::attach()?;
    let _stats = aya::sys::enable_stats(aya::sys::Stats::RunTime)
        .context("turning on BPF run-time statistics")?;
    Ok(Round {
        untraced,
        traced: traced_run,
        measured: traced(kind, load, Some(&yardsticks))?,
    })
}

/// A run with the tool; the yardsticks are there where programs are measured.
fn traced(kind: &Kind, load: &Load, yardsticks: Option<&Yardsticks>) -> anyhow::Result<Traced> {
    machine::await_quiet()?;
    let subject = kind.start()?;
    let mut ids = Objects::of_process(subject.pid()).programs;
    if let Some(yardsticks) = yardsticks {
        ids.extend(yardsticks.ids()?);
    }
    let runs = || match yardsticks {
        Some(_) => programs::runs(&ids),
        None => ByProgram::new(),
    };
    let start_bytes = subject.resident_bytes()?;
    let (start, runs_before) = (subject.cpu()?, runs());
    let done = load.make(&Namespace::new())?;
    let behind = subject.await_idle().context("after the load")?;
    let (end, runs_after) = (subject.cpu()?, runs());
    let (peak_bytes, map_bytes) = (subject.peak_bytes()?, programs::map_bytes(subject.pid()));
    let summary = subject.stop()?;
    Ok(Traced {
        done,
        seen: summary
            .as_ref()
            .and_then(|summary| Some(summary.kernel_transitions.as_ref()?.values().sum())),
        lost: summary.map(|summary| summary.lost),
        start,
        cpu: Cpu {
            total_ns: end.total_ns - start.total_ns,
            user_ns: end.user_ns.saturating_sub(start.user_ns),
        },
        behind_seconds: behind.as_secs_f64(),
        start_bytes,
        peak_bytes,
        map_bytes,
        programs: programs::since(&runs_before, &runs_after),
    })
}

impl Traced {
    /// Transitions to divide by: those that it saw, others' on this host included, as they cost the same.
    fn transitions(&self) -> f64 {
        self.seen.unwrap_or(self.done.transitions) as f64
    }

    /// CPU time, ns per transition.
    pub fn cpu_ns(&self) -> f64 {
        self.cpu.total_ns as f64 / self.transitions()
    }

    /// In user space, ns per transition.
    pub fn user_ns(&self) -> f64 {
        self.cpu.user_ns as f64 / self.transitions()
    }

    /// Run time of its programs, ns per transition, with what measuring it costs.
    pub fn bpf_ns(&self) -> f64 {
        self.own_runs().ns as f64 / self.transitions()
    }

    /// The same without: less what a program that does nothing takes, for each run.
    pub fn net_bpf_ns(&self) -> f64 {
        let Runs { count, ns } = self.own_runs();
        let empty = self.runs_of(EMPTY);
        let measuring = empty.ns as f64 / empty.count as f64;
        (ns as f64 - measuring * count as f64).max(0.0) / self.transitions()
    }

    fn own_runs(&self) -> Runs {
        let own = self
            .programs
            .iter()
            .filter(|(name, _)| ![COUNTING, EMPTY].contains(&name.as_str()));
        own.fold(Runs::default(), |sum, (_, runs)| Runs {
            count: sum.count + runs.count,
            ns: sum.ns + runs.ns,
        })
    }

    fn runs_of(&self, name: &str) -> Runs {
        self.programs.get(name).copied().unwrap_or_default()
    }

    /// Both together.
    pub fn total_ns(&self) -> f64 {
        self.bpf_ns() + self.cpu_ns()
    }

    /// Run time at the main tracepoint, against the program that only counts.
    pub fn main_ratio(&self) -> f64 {
        let main: u64 = MAIN.iter().map(|name| self.runs_of(name).ns).sum();
        let Runs { count, ns } = self.runs_of(COUNTING);
        // Per transition: the counter ran a little longer than the tool, and saw other protocols.
        main as f64 / self.transitions() / (ns as f64 / count as f64)
    }

    /// Run time of one of its programs and its runs, per transition.
    pub fn program(&self, name: &str) -> (f64, f64) {
        let runs = self.runs_of(name);
        let transitions = self.transitions();
        (
            runs.ns as f64 / transitions,
            runs.count as f64 / transitions,
        )
    }
}

impl Row {
    /// The median over all rounds.
    pub fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        (low + high) / 2.0
    }

    /// Every run with the tool.
    pub fn traced(&self) -> impl Iterator<Item = &Traced> {
        self.rounds
            .iter()
            .flat_map(|round| [&round.traced, &round.measured])
    }

    /// Connections/s kept, of 1.
    pub fn kept(&self) -> f64 {
        self.median(|round| round.traced.done.rate() / round.untraced.rate())
    }
}
