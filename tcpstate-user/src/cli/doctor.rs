//! `tcpstate doctor`: command line.
use std::{io::Write as _, time::Duration};

use anyhow::{Context as _, bail};

use super::value;
use crate::{
    doctor::{self, collect::Subject, evidence::Space},
    netns::{self, Netns, Selector},
    session,
    shown::Shown,
    source::kernel::{self, KernelSource, Plan},
    tracker::{self, Selection},
    view::doctor::{self as view, Watch},
};

const EXAMPLES: &str = "\
Examples:
  sudo tcpstate doctor              what is wrong with TCP on this host, and what to do about it
  sudo tcpstate doctor -d 1m        the same, measured for a minute
  sudo tcpstate doctor --all-netns  in every network namespace, containers too
  tcpstate doctor --no-measure      only what can be read at once; needs no root
  tcpstate doctor --strict          exit status 1 if there is a warning
  sudo tcpstate doctor --probes     what this host can measure, probe by probe
  sudo tcpstate doctor --json | jq '.findings[] | select(.severity == \"warning\")'";

/// What is wrong with TCP here, what to do about it, and what this host can measure
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub struct Args {
    /// Measure for so long: 5 (seconds), 30s, 1m
    #[arg(short, long, value_name = "DURATION", value_parser = value::duration, default_value = "5s")]
    duration: Duration,
    /// Do not measure and load nothing into the kernel: only what can be read at once
    #[arg(long, conflicts_with = "duration")]
    no_measure: bool,
    /// Network namespace (default: the current one)
    #[arg(short = 'N', long, value_name = "NAME|PATH|PID|INUM", value_parser = netns::selector)]
    netns: Option<Selector>,
    /// All network namespaces (root)
    #[arg(long, conflicts_with = "netns")]
    all_netns: bool,
    /// Only the plan of probes: each one attached, or why not, and what is missing without it
    #[arg(long, conflicts_with_all = ["no_measure", "netns", "all_netns", "strict"])]
    probes: bool,
    /// Fail if there is a warning
    #[arg(long)]
    strict: bool,
    /// One JSON object
    #[arg(short = 'J', long)]
    json: bool,
    /// No 'ready' line on stderr
    #[arg(short, long)]
    quiet: bool,
}

/// Memory of all rings: what every event command takes by default.
const RING_BYTES: u32 = 16 << 20;
/// A measurement this short compares its counts only at its end.
const RECONCILE: Duration = Duration::from_secs(30);

impl Args {
    /// Looks, measures, and says what it found.
    ///
    /// # Errors
    /// The namespace cannot be looked at; with `--probes`, the kernel takes no program; with `--strict`, there is a
    /// warning.
    pub fn run(&self, verbose: u8) -> anyhow::Result<()> {
        if self.probes {
            let plan = try_probes(verbose)?;
            return self.print(|out| {
                if self.json {
                    view::plan_json(out, &plan);
                } else {
                    view::plan_text(out, &plan);
                }
            });
        }
        let mut missing = Vec::new();
        let subjects = self.subjects(&mut missing)?;
        let mut watch = Watch::new(subjects.iter().map(Subject::inode));
        let plan = if self.no_measure {
            missing.push(
                "no measurement (--no-measure): no owners, no ages, no growth of counters"
                    .to_owned(),
            );
            None
        } else {
            self.measure(verbose, &subjects, &mut watch, &mut missing)?
        };
        let mut spaces = self.look(&subjects, &mut missing)?;
        for space in &mut spaces {
            watch.complete(space);
        }
        let report = doctor::examine(&spaces);
        let shown = view::Shown {
            report: &report,
            spaces: &spaces,
            missing: &missing,
            plan: plan.as_ref(),
        };
        self.print(|out| {
            if self.json {
                shown.json(out)
            } else {
                shown.text(out)
            }
        })?;
        if self.strict && report.has_warning() {
            bail!("doctor: there are warnings, and --strict asks to fail then; see the findings");
        }
        Ok(())
    }

    /// Attaches every probe and measures. Where that is refused, watches the counters for as long.
    fn measure(
        &self,
        verbose: u8,
        subjects: &[Subject],
        watch: &mut Watch,
        missing: &mut Vec<String>,
    ) -> anyhow::Result<Option<Plan>> {
        let measured = try_probes(verbose).and_then(|plan| {
            session::run(&self.session(verbose, subjects), watch)?;
            Ok(plan)
        });
        match measured {
            Ok(plan) => Ok(Some(plan)),
            Err(error) => {
                missing.push(format!(
                    "no measurement, so no owners and no ages: {error:#}"
                ));
                session::runtime()?.block_on(async {
                    tokio::select! {
                        () = tokio::time::sleep(self.duration) => Ok(()),
                        signal = tokio::signal::ctrl_c() => signal.context("waiting for a signal"),
                    }
                })?;
                Ok(None)
            }
        }
    }

    fn session(&self, verbose: u8, subjects: &[Subject]) -> session::Settings {
        let selection = Selection {
            netns: if self.all_netns {
                Vec::new()
            } else {
                subjects.iter().map(Subject::inode).collect()
            },
            ..Selection::default()
        };
        session::Settings {
            kernel: kernel_config(kernel::in_kernel(&selection), RING_BYTES, verbose),
            tracker: tracker::Config {
                selection,
                ..tracker::Config::default()
            },
            cgroups: Vec::new(),
            shown: Shown::default(),
            duration: Some(self.duration),
            reconcile: RECONCILE,
            summary: false,
            quiet: self.quiet,
        }
    }

    /// Begins with the namespaces that were asked for.
    fn subjects(&self, missing: &mut Vec<String>) -> anyhow::Result<Vec<Subject>> {
        if !self.all_netns {
            let netns = match &self.netns {
                Some(selector) => selector.find()?,
                None => netns::current().context("own network namespace")?,
            };
            return Ok(vec![Subject::begin(netns)?]);
        }
        let found = netns::all();
        if let Some(why) = found.unseen_why {
            missing.push(format!(
                "tasks that could not be looked at: {}, first {why}",
                found.unseen
            ));
        }
        let begin = |netns: Netns| match Subject::begin(netns) {
            Ok(subject) => Some(subject),
            Err(error) => {
                missing.push(format!("{error:#}"));
                None
            }
        };
        Ok(found.namespaces.into_iter().filter_map(begin).collect())
    }

    /// What there is to see now.
    fn look(&self, subjects: &[Subject], missing: &mut Vec<String>) -> anyhow::Result<Vec<Space>> {
        let mut spaces = Vec::new();
        for subject in subjects {
            match subject.space(!self.no_measure, missing) {
                Ok(space) => spaces.push(space),
                Err(error) if self.all_netns => missing.push(format!("{error:#}")),
                Err(error) => return Err(error),
            }
        }
        Ok(spaces)
    }

    fn print(&self, render: impl FnOnce(&mut Vec<u8>)) -> anyhow::Result<()> {
        let mut out = Vec::new();
        render(&mut out);
        // Takes the colours out where it is no terminal, or NO_COLOR is set.
        let mut stdout = anstream::stdout().lock();
        stdout
            .write_all(&out)
            .and_then(|()| stdout.flush())
            .context("writing to standard output")
    }
}

fn kernel_config(filter: tcpstate_ebpf::Filter, ring_bytes: u32, verbose: u8) -> kernel::Config {
    kernel::Config {
        filter,
        ring_bytes,
        minis: true,
        owners: kernel::Owners::Events,
        verbose: verbose > 0,
        bpf_stats: false,
    }
}

/// Attaches every probe, and takes them off again: what this kernel can have.
fn try_probes(verbose: u8) -> anyhow::Result<Plan> {
    // The rings are watched through the runtime, which therefore exists before they do.
    let runtime = session::runtime()?;
    let _entered = runtime.enter();
    let config = kernel_config(tcpstate_ebpf::Filter::default(), 1, verbose);
    Ok(KernelSource::start(config)?.plan().record())
}
