//! A live measurement from start to end: facts from the source through the tracker to one view, until time, a signal,
//! the view or the reader ends it; then the summary.
mod flow;
mod pace;
mod replay;

use std::{future::poll_fn, ops::ControlFlow, time::Duration};

use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until},
};

pub use self::replay::{Replay, replay};
use self::{flow::Flow, pace::Pace};
use crate::{
    about::About,
    clock,
    fact::Fact,
    netns::{self, Found},
    places::{CgroupFilter, Places},
    privilege,
    shown::Shown,
    sink::Output,
    source::{
        Lost, Source as _,
        kernel::{self, KernelSource, Tier, Walked},
    },
    summary::{Summary, Tally},
    tracker::{self, Tracker},
    view::{Moment, View},
};

/// How often the end looks whether all output is written.
const WRITTEN_EVERY: Duration = Duration::from_millis(2);
/// How long a reader of the output may take after a signal before the rest is dropped.
const PATIENCE: Duration = Duration::from_secs(1);

/// What an event command was asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The tracker's part.
    pub tracker: tracker::Config,
    /// Cgroups whose connections are followed; all if empty.
    pub cgroups: Vec<CgroupFilter>,
    /// Which of their transitions the view gets.
    pub shown: Shown,
    /// The kernel side's part.
    pub kernel: kernel::Config,
    /// End after this long.
    pub duration: Option<Duration>,
    /// Compare the live counts with the kernel's socket tables this often.
    pub reconcile: Duration,
    /// Print a summary record.
    pub summary: bool,
    /// Print no ready line.
    pub quiet: bool,
}

/// Runs a measurement into `view`.
///
/// # Errors
/// The kernel side cannot be set up, or the output cannot be written.
pub fn run(settings: &Settings, view: &mut dyn View) -> anyhow::Result<()> {
    runtime()?.block_on(async { Session::start(settings, view)?.run().await })
}

/// What waits for everything, on one thread.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
}

/// Why a measurement ended.
enum End {
    /// Its time is over, or its view has all it wants.
    Done,
    /// A signal asked for it.
    Signal,
    /// Nobody reads the output any more.
    ReaderGone,
}

struct Session<'a> {
    settings: &'a Settings,
    source: KernelSource,
    walking: Walking,
    pace: Pace,
    flow: Flow<'a>,
    /// Facts that the source had lost when we last looked.
    facts_lost: u64,
    start_ns: u64,
    now_ns: u64,
    signals: [Signal; 3],
}

impl<'a> Session<'a> {
    fn start(settings: &'a Settings, view: &'a mut dyn View) -> anyhow::Result<Self> {
        let signals = signals()?;
        let source = KernelSource::start(settings.kernel)?;
        // Before it has threads: each would keep what it was born with.
        privilege::confine(|| source.counted().is_ok())?;
        let start_ns = clock::monotonic_ns();
        Ok(Self {
            settings,
            source,
            walking: Walking::Idle,
            pace: Pace::new(Instant::now()),
            flow: Flow {
                settings,
                view,
                tracker: Tracker::new(settings.tracker.clone()),
                tally: Tally::default(),
                output: Output::stdout().context("starting the output thread")?,
                places: Places::of_host(),
            },
            facts_lost: 0,
            start_ns,
            now_ns: start_ns,
            signals,
        })
    }

    async fn run(mut self) -> anyhow::Result<()> {
        self.flow.view.begin(&mut self.flow.output);
        self.take_up().await?;
        let about = About::here(self.source.plan().tier.to_string(), self.start_ns);
        let (view, mut moment, _) = self.parts()?;
        view.ready(&about, &mut moment);
        let end = self.measure().await?;
        self.finish(&end).await
    }

    /// Runs until something ends the measurement.
    async fn measure(&mut self) -> anyhow::Result<End> {
        let started = Instant::now();
        let deadline = self
            .settings
            .duration
            .and_then(|duration| started.checked_add(duration));
        let mut reconcile = ticker(self.settings.reconcile);
        reconcile.tick().await; // the first is immediate
        let mut shows = self.flow.view.every().map(ticker);
        if let Some(shows) = &mut shows {
            shows.tick().await; // the first is immediate
        }
        loop {
            let show = tokio::select! {
                biased;
                () = stopped(&mut self.signals) => return Ok(End::Signal),
                () = at(deadline) => return Ok(End::Done),
                () = tick(&mut shows) => true,
                () = poll_fn(|cx| self.flow.view.poll_wish(cx)) => true,
                _ = reconcile.tick() => { self.look_around(); false }
                step = self.walking.step() => { self.walk_on(step?); false }
                () = sleep_until(self.pace.next()) => false,
                ready = self.source.ready() => { ready?; false }
            };
            self.advance()?;
            if show && self.show()?.is_break() {
                return Ok(End::Done);
            }
            self.flow.output.flush();
            if self.flow.output.is_closed() {
                return Ok(End::ReaderGone);
            }
        }
    }

    /// Takes up the sockets that exist, and says that everything from now on is seen.
    async fn take_up(&mut self) -> anyhow::Result<()> {
        let report = self.walk().await?;
        if !self.settings.quiet {
            let selection = &self.settings.tracker.selection;
            let namespaces = report.namespaces.iter();
            let selected = namespaces.filter(|inode| selection.admits_netns(**inode));
            eprintln!(
                "tcpstate: ready: {}",
                ready(
                    self.source.plan().tier,
                    self.flow.tracker.tracked(),
                    selected.count(),
                    &report
                )
            );
        }
        Ok(())
    }

    /// Walks over the kernel's socket tables from start to end, after the walk that is under way, if there is one.
    async fn walk(&mut self) -> anyhow::Result<Walked> {
        self.finish_walk().await?;
        self.look_around();
        self.finish_walk().await
    }

    async fn finish_walk(&mut self) -> anyhow::Result<Walked> {
        let mut report = Walked::default();
        while !matches!(self.walking, Walking::Idle) {
            if !matches!(self.walking, Walking::Merging(_)) {
                let step = self.walking.step().await?;
                self.walk_on(step);
            }
            if let Walking::Merging(walked) = &self.walking {
                report.clone_from(walked);
            }
            self.advance()?;
        }
        Ok(report)
    }

    /// Begins a walk over the kernel's socket tables, unless one is under way.
    fn look_around(&mut self) {
        if matches!(self.walking, Walking::Idle) {
            self.flow.places.names();
            self.walking = Walking::Looking(tokio::task::spawn_blocking(netns::all));
        }
    }

    /// Takes the walk to its next stage.
    fn walk_on(&mut self, step: WalkStep) {
        self.walking = match step {
            WalkStep::Found(found) => {
                self.flow.tracker.walk_begins();
                let walk = self.source.walk(found);
                let tick_ns = self.source.tick_ns();
                Walking::Reading(tokio::task::spawn_blocking(move || walk.run(tick_ns)))
            }
            WalkStep::Walked(facts, walked) => {
                self.source.walked(facts);
                Walking::Merging(walked)
            }
        };
    }

    /// Tells the tracker when facts were lost since the last look.
    fn notice_loss(&mut self) -> anyhow::Result<()> {
        let lost = self.source.facts_lost()?;
        if lost > self.facts_lost {
            self.facts_lost = lost;
            self.flow.tracker.facts_lost();
        }
        Ok(())
    }

    /// Fetches what has happened and applies it.
    fn advance(&mut self) -> anyhow::Result<()> {
        let found = self.source.fetch()?;
        let busy = found || !matches!(self.walking, Walking::Idle);
        if self.pace.fetched(Instant::now(), busy) {
            self.source.wake_at_next();
        }
        self.notice_loss()?;
        let flow = &mut self.flow;
        let now_ns = self.source.drain(&mut |fact| flow.apply(fact));
        self.now_ns = now_ns;
        flow.give(|tracker, out| tracker.tick(now_ns, out));
        if let Walking::Merging(walked) = &self.walking
            && now_ns >= walked.end_ns
            && let Walking::Merging(walked) = std::mem::replace(&mut self.walking, Walking::Idle)
        {
            flow.give(|tracker, out| {
                tracker.walk_ends(walked.start_ns, &walked.namespaces, out);
            });
        }
        Ok(())
    }

    /// The view, what it may look at, and where it may write.
    fn parts(&mut self) -> anyhow::Result<(&mut dyn View, Moment<'_>, &mut Output)> {
        let moment = Moment {
            lost: self.lost()?,
            programs: self.source.program_runs()?,
            damage: None,
            tracker: &self.flow.tracker,
            places: &mut self.flow.places,
            start_ns: self.start_ns,
            now_ns: self.now_ns,
        };
        Ok((&mut *self.flow.view, moment, &mut self.flow.output))
    }

    fn show(&mut self) -> anyhow::Result<ControlFlow<()>> {
        let (view, mut moment, output) = self.parts()?;
        Ok(view.interval(&mut moment, output))
    }

    async fn finish(mut self, end: &End) -> anyhow::Result<()> {
        if self.flow.view.shows_holders() {
            self.walk().await?; // what is said about a process must be true now
        }
        let flow = &mut self.flow;
        self.source.stop(&mut |fact| flow.apply(fact))?;
        self.now_ns = clock::monotonic_ns();
        flow.give(|tracker, out| tracker.finish(out));
        let (view, mut moment, output) = self.parts()?;
        view.finish(&mut moment, output);
        if self.settings.summary {
            let summary = self.summary()?;
            self.flow.output.line(|line| summary.json_line(line));
        }
        write_out(&mut self.flow.output, end, &mut self.signals).await?;
        eprintln!("tcpstate: {}", self.summary()?);
        Ok(())
    }

    /// What was lost so far, wherever it was.
    fn lost(&mut self) -> anyhow::Result<Lost> {
        Ok(Lost {
            table_full: self.flow.tracker.table_full(),
            missed_start: self.flow.tracker.missed_start(),
            writer_slow: self.flow.output.dropped() + self.flow.view.dropped(),
            ..self.source.lost()?
        })
    }

    fn summary(&mut self) -> anyhow::Result<Summary> {
        Ok(Summary {
            tally: self.flow.tally.clone(),
            counted: Some(self.source.counted()?),
            lost: self.lost()?,
            tracked: self.flow.tracker.tracked(),
            cpu_seconds: crate::summary::cpu_seconds(),
            bpf_seconds: self.source.program_runs()?.map(|programs| {
                let total: Duration = programs.iter().map(|program| program.time).sum();
                total.as_secs_f64()
            }),
        })
    }
}

/// A walk over the kernel's socket tables, which takes up what exists at the start and finds drift later. The slow
/// parts run on a thread of their own.
enum Walking {
    Idle,
    /// Finding the network namespaces.
    Looking(JoinHandle<Found>),
    /// Reading their tables.
    Reading(JoinHandle<(Vec<Fact>, Walked)>),
    /// The walk's facts wait for their turn among the programs'.
    Merging(Walked),
}

/// What a stage of a walk ends with.
enum WalkStep {
    Found(Found),
    Walked(Vec<Fact>, Walked),
}

impl Walking {
    /// Waits for the end of a stage that runs; for ever if none does.
    async fn step(&mut self) -> anyhow::Result<WalkStep> {
        let step = match self {
            Self::Looking(found) => found.await.map(WalkStep::Found),
            Self::Reading(walked) => walked
                .await
                .map(|(facts, walked)| WalkStep::Walked(facts, walked)),
            Self::Idle | Self::Merging(_) => std::future::pending().await,
        };
        step.context("walking over the kernel's socket tables")
    }
}

/// What was taken up, of what was asked for, and what no walk could see.
fn ready(tier: Tier, sockets: usize, namespaces: usize, walked: &Walked) -> String {
    let mut text =
        format!("{tier} tier, {sockets} sockets taken up in {namespaces} network namespaces");
    if walked.skipped > 0 {
        let why = walked.why.as_deref().unwrap_or("unknown reason");
        text += &format!(
            "; {} tasks or namespaces could not be looked into ({why})",
            walked.skipped
        );
    }
    text
}

/// Waits until all output is written; after a signal, for a reader who takes nothing, not for long.
async fn write_out(
    output: &mut Output,
    end: &End,
    signals: &mut [Signal; 3],
) -> anyhow::Result<()> {
    let patience = match end {
        End::Done => None,
        End::Signal | End::ReaderGone => Some(Instant::now() + PATIENCE),
    };
    while !output.finished().context("writing to standard output")? {
        tokio::select! {
            () = at(patience) => { output.abandon(); break }
            () = stopped(signals) => { output.abandon(); break }
            () = sleep(WRITTEN_EVERY) => {}
        }
    }
    Ok(())
}

/// The signals that ask for the end, from now on.
fn signals() -> std::io::Result<[Signal; 3]> {
    Ok([
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ])
}

/// Waits for a signal that asks for the end.
async fn stopped([interrupt, terminate, hangup]: &mut [Signal; 3]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

fn ticker(every: Duration) -> Interval {
    let mut ticker = interval(every);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}

/// Waits for the next tick; for ever without a ticker.
async fn tick(ticker: &mut Option<Interval>) {
    match ticker {
        Some(ticker) => {
            ticker.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Waits until `deadline`; for ever without one.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
