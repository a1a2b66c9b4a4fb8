//! A live measurement from start to end: facts from the source through the tracker to one view, until time, a signal,
//! the view or the reader ends it; then the summary.
use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Interval, MissedTickBehavior, interval, sleep_until},
};

use crate::{
    clock,
    fact::Fact,
    sink::Output,
    source::{
        Lost, Source as _,
        kernel::{self, KernelSource, TakenUp},
    },
    summary::{Summary, Tally},
    tracker::{self, Tracker},
    view::{Moment, View},
};

/// How often records that have not caused a wake-up are fetched: what a line may lag behind at most.
const FETCH_EVERY: Duration = Duration::from_millis(50);
/// How long a reader of the output may take after a signal before the rest is dropped.
const PATIENCE: Duration = Duration::from_secs(1);

/// What an event command was asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The tracker's part.
    pub tracker: tracker::Config,
    /// The kernel side's part.
    pub kernel: kernel::Config,
    /// End after this long.
    pub duration: Option<Duration>,
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
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(async { Session::start(settings, view)?.run().await })
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
    view: &'a mut dyn View,
    source: KernelSource,
    taken_up: TakenUp,
    tracker: Tracker,
    tally: Tally,
    output: Output,
    facts: Vec<Fact>,
    start_ns: u64,
    now_ns: u64,
    signals: [Signal; 3],
}

impl<'a> Session<'a> {
    fn start(settings: &'a Settings, view: &'a mut dyn View) -> anyhow::Result<Self> {
        let signals = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let [interrupt, terminate, hangup] = signals.map(signal);
        let signals = [interrupt?, terminate?, hangup?];
        let (source, taken_up) = KernelSource::start(settings.kernel)?;
        let start_ns = clock::monotonic_ns();
        Ok(Self {
            settings,
            view,
            source,
            taken_up,
            tracker: Tracker::new(settings.tracker.clone()),
            tally: Tally::default(),
            output: Output::stdout().context("starting the output thread")?,
            facts: Vec::new(),
            start_ns,
            now_ns: start_ns,
            signals,
        })
    }

    async fn run(mut self) -> anyhow::Result<()> {
        self.view.begin(&mut self.output);
        self.advance()?;
        if !self.settings.quiet {
            eprintln!("tcpstate: ready: {}", ready(&self.taken_up));
        }
        let end = self.measure().await?;
        self.finish(&end)
    }

    /// Runs until something ends the measurement.
    async fn measure(&mut self) -> anyhow::Result<End> {
        let started = tokio::time::Instant::now();
        let deadline = self
            .settings
            .duration
            .and_then(|duration| started.checked_add(duration));
        let mut fetch = ticker(FETCH_EVERY);
        let mut shows = self.view.every().map(ticker);
        if let Some(shows) = &mut shows {
            shows.tick().await; // the first is immediate
        }
        loop {
            let [interrupt, terminate, hangup] = &mut self.signals;
            let show = tokio::select! {
                biased;
                _ = interrupt.recv() => return Ok(End::Signal),
                _ = terminate.recv() => return Ok(End::Signal),
                _ = hangup.recv() => return Ok(End::Signal),
                () = at(deadline) => return Ok(End::Done),
                () = tick(&mut shows) => true,
                _ = fetch.tick() => false,
                ready = self.source.ready() => { ready?; false }
            };
            self.advance()?;
            if show && self.show().is_break() {
                return Ok(End::Done);
            }
            self.output.flush();
            if self.output.is_closed() {
                return Ok(End::ReaderGone);
            }
        }
    }

    /// Fetches what has happened and applies it.
    fn advance(&mut self) -> anyhow::Result<()> {
        self.now_ns = self.source.drain(&mut self.facts)?;
        self.apply();
        if self.now_ns >= self.taken_up.end_ns {
            self.tracker.taken_up();
        }
        Ok(())
    }

    fn apply(&mut self) {
        let Self {
            view,
            tracker,
            tally,
            output,
            facts,
            ..
        } = self;
        for fact in facts.drain(..) {
            tracker.apply(&fact, &mut |transition| {
                if view.transition(tally.total(), transition, output) {
                    tally.count(transition);
                }
            });
        }
    }

    fn show(&mut self) -> ControlFlow<()> {
        let mut moment = Moment {
            tracker: &mut self.tracker,
            start_ns: self.start_ns,
            now_ns: self.now_ns,
        };
        self.view.interval(&mut moment, &mut self.output)
    }

    fn finish(mut self, end: &End) -> anyhow::Result<()> {
        self.source.stop(&mut self.facts)?;
        self.apply();
        self.now_ns = clock::monotonic_ns();
        let Self {
            view,
            tracker,
            tally,
            output,
            start_ns,
            now_ns,
            ..
        } = &mut self;
        tracker.finish(&mut |transition| {
            if view.transition(tally.total(), transition, output) {
                tally.count(transition);
            }
        });
        let mut moment = Moment {
            tracker,
            start_ns: *start_ns,
            now_ns: *now_ns,
        };
        view.finish(&mut moment, output);
        if self.settings.summary {
            let summary = self.summary()?;
            self.output.line(|line| summary.json_line(line));
        }
        let patience = match end {
            End::Done => None,
            End::Signal | End::ReaderGone => Some(Instant::now() + PATIENCE),
        };
        self.output
            .finish(patience)
            .context("writing to standard output")?;
        eprintln!("tcpstate: {}", self.summary()?);
        Ok(())
    }

    fn summary(&mut self) -> anyhow::Result<Summary> {
        let lost = Lost {
            table_full: self.tracker.table_full(),
            missed_start: self.tracker.missed_start(),
            writer_slow: self.output.dropped(),
            ..self.source.lost()?
        };
        Ok(Summary {
            tally: self.tally.clone(),
            counted: self.source.counted()?,
            lost,
            tracked: self.tracker.tracked(),
            cpu_seconds: crate::summary::cpu_seconds(),
            bpf_seconds: self.source.bpf_seconds()?,
        })
    }
}

fn ready(taken_up: &TakenUp) -> String {
    let mut text = format!(
        "tracepoint tier, {} sockets taken up in {} network namespaces",
        taken_up.sockets, taken_up.namespaces
    );
    if taken_up.skipped > 0 {
        let why = taken_up.why.as_deref().unwrap_or("unknown reason");
        text += &format!(", {} namespaces not taken up ({why})", taken_up.skipped);
    }
    text
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
async fn at(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
