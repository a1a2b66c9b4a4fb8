//! A recording from start to end through the tracker to one view. The clock is the recording's own: intervals and
//! durations are those of recorded time, so the same recording always gives the same output.
mod bar;
mod pace;

use std::{future::poll_fn, ops::ControlFlow, thread};

use anyhow::{Context as _, anyhow};
use tokio::{
    signal::unix::Signal,
    sync::mpsc::{Receiver, channel},
    time::sleep,
};

use self::{bar::Bar, pace::Pace};
use super::{End, Settings, WRITTEN_EVERY, flow::Flow, runtime, signals, stopped, write_out};
use crate::{
    places::Places,
    recording::{Damage, Recording, Row},
    sink::{Output, printable},
    source::Lost,
    summary::{Summary, Tally, cpu_seconds},
    tracker::Tracker,
    view::{Moment, View},
};

/// Batches that are read ahead.
const AHEAD: usize = 4;

/// A recording to be shown.
pub struct Replay {
    /// The recording, with its head read.
    pub recording: Recording,
    /// Its name, for messages.
    pub name: String,
    /// Its length, where that is known, bytes.
    pub length: Option<u64>,
    /// Times real time; as fast as possible if `None`.
    pub speed: Option<f64>,
}

/// Shows a recording in `view`.
///
/// # Errors
/// It is cut off or damaged: everything before that has been shown. Or the output cannot be written.
pub fn replay(settings: &Settings, replay: Replay, view: &mut dyn View) -> anyhow::Result<()> {
    runtime()?.block_on(async { Player::start(settings, replay, view)?.run().await })
}

struct Player<'a> {
    flow: Flow<'a>,
    name: String,
    batches: Receiver<Result<Vec<Row>, Damage>>,
    about: crate::about::About,
    lost: Lost,
    bar: Bar,
    pace: Option<Pace>,
    signals: [Signal; 3],
    now_ns: u64,
    /// Why the recording is not whole, once it has ended early.
    damage: Option<Damage>,
    /// When the next interval ends.
    tick_ns: Option<u64>,
    end_ns: Option<u64>,
}

impl<'a> Player<'a> {
    fn start(
        settings: &'a Settings,
        replay: Replay,
        view: &'a mut dyn View,
    ) -> anyhow::Result<Self> {
        let about = replay.recording.about().clone();
        let after = |length: std::time::Duration| {
            let length = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
            about.start_ns.saturating_add(length)
        };
        let bar = Bar::new(&replay, settings.quiet, view.is_silent());
        Ok(Self {
            name: replay.name,
            batches: read_ahead(replay.recording).context("starting the thread that reads")?,
            lost: Lost::default(),
            bar,
            pace: replay.speed.map(|speed| Pace::new(speed, about.start_ns)),
            signals: signals()?,
            now_ns: about.start_ns,
            damage: None,
            tick_ns: view.every().map(after),
            end_ns: settings.duration.map(after),
            about,
            flow: Flow {
                settings,
                view,
                tracker: Tracker::new(settings.tracker.clone()),
                tally: Tally::default(),
                output: Output::patient_stdout().context("starting the output thread")?,
                places: Places::unknown(),
            },
        })
    }

    async fn run(mut self) -> anyhow::Result<()> {
        self.flow.view.begin(&mut self.flow.output);
        if !self.flow.settings.quiet {
            let about = &self.about;
            let [host, kernel, tier] =
                [&about.host, &about.kernel, &about.tier].map(|text| printable(text.as_bytes()));
            eprintln!("tcpstate: ready: recording of {host}, Linux {kernel}, {tier} tier");
        }
        let about = self.about.clone();
        let (view, mut moment, _) = self.parts();
        view.ready(&about, &mut moment);
        let end = self.play().await;
        self.bar.end();
        self.finish(&end).await?;
        match self.damage {
            Some(damage) => Err(anyhow!(damage).context(format!("reading {}", self.name))),
            None => Ok(()),
        }
    }

    /// Plays the recording until something ends it.
    async fn play(&mut self) -> End {
        loop {
            let batch = tokio::select! {
                biased;
                () = stopped(&mut self.signals) => return End::Signal,
                () = poll_fn(|cx| self.flow.view.poll_wish(cx)) => {
                    if self.show().is_break() {
                        return End::Done;
                    }
                    continue;
                }
                batch = self.batches.recv() => batch,
            };
            match batch {
                Some(Ok(rows)) => {
                    for row in &rows {
                        if let ControlFlow::Break(end) = self.row(row).await {
                            return end;
                        }
                    }
                }
                Some(Err(error)) => {
                    self.damage = Some(error);
                    return self.linger().await;
                }
                None => return self.linger().await,
            }
            self.bar.update();
            self.flow.output.flush();
            if self.flow.output.is_closed() {
                return End::ReaderGone;
            }
        }
    }

    /// Takes one row at its time.
    async fn row(&mut self, row: &Row) -> ControlFlow<End> {
        let mono_ns = row.mono_ns();
        let end_ns = self.end_ns.filter(|end_ns| mono_ns > *end_ns);
        // The interval that ends with the measurement is shown by its end.
        let until_ns = end_ns.map_or(mono_ns, |end_ns| end_ns.saturating_sub(1));
        while let Some(tick_ns) = self.tick_ns.filter(|tick_ns| *tick_ns <= until_ns) {
            self.wait(tick_ns).await?;
            self.now_ns = tick_ns;
            let every = self.flow.view.every().unwrap_or_default().as_nanos();
            let every = u64::try_from(every).unwrap_or(u64::MAX).max(1);
            self.tick_ns = tick_ns.checked_add(every);
            if self.show().is_break() {
                return ControlFlow::Break(End::Done);
            }
            self.make_room().await?;
        }
        if let Some(end_ns) = end_ns {
            self.wait(end_ns).await?;
            self.now_ns = end_ns;
            return ControlFlow::Break(End::Done);
        }
        self.wait(mono_ns).await?;
        self.now_ns = self.now_ns.max(mono_ns);
        match row {
            Row::Snapshot { socket, .. } => {
                self.flow.place(socket.cgroup);
                self.flow
                    .give(|tracker, out| tracker.replay_socket(socket, out));
            }
            Row::Transition { transition, .. } => {
                self.flow.place(transition.cgroup);
                self.flow
                    .give(|tracker, out| tracker.replay(transition, out));
            }
            Row::Loss { cause, lost, .. } => self.lost.add(cause, *lost),
            Row::End { .. } => {}
        }
        self.make_room().await
    }

    /// Waits until it is time for `mono_ns`; meanwhile the view may wish to be shown.
    async fn wait(&mut self, mono_ns: u64) -> ControlFlow<End> {
        while let Some(left) = self.pace.as_ref().and_then(|pace| pace.left(mono_ns)) {
            self.flow.output.flush();
            let show = tokio::select! {
                biased;
                () = stopped(&mut self.signals) => return ControlFlow::Break(End::Signal),
                () = poll_fn(|cx| self.flow.view.poll_wish(cx)) => true,
                () = sleep(left) => false,
            };
            if show && self.show().is_break() {
                return ControlFlow::Break(End::Done);
            }
            if self.flow.output.is_closed() {
                return ControlFlow::Break(End::ReaderGone);
            }
        }
        ControlFlow::Continue(())
    }

    /// Waits for a slow reader of the output: a replay has time, so nothing is dropped.
    async fn make_room(&mut self) -> ControlFlow<End> {
        while self.flow.output.is_full() {
            self.flow.output.flush();
            if self.flow.output.is_closed() {
                return ControlFlow::Break(End::ReaderGone);
            }
            if self.flow.output.is_full() {
                tokio::select! {
                    () = stopped(&mut self.signals) => return ControlFlow::Break(End::Signal),
                    () = sleep(WRITTEN_EVERY) => {}
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// After the last row: the end, unless the view stays for its user.
    async fn linger(&mut self) -> End {
        while self.flow.view.lingers() {
            self.flow.output.flush();
            if self.flow.output.is_closed() {
                return End::ReaderGone;
            }
            tokio::select! {
                () = stopped(&mut self.signals) => return End::Signal,
                () = poll_fn(|cx| self.flow.view.poll_wish(cx)) => {}
            }
            if self.show().is_break() {
                return End::Done;
            }
        }
        End::Done
    }

    /// The view, what it may look at, and where it may write.
    fn parts(&mut self) -> (&mut dyn View, Moment<'_>, &mut Output) {
        let moment = Moment {
            tracker: &self.flow.tracker,
            places: &mut self.flow.places,
            start_ns: self.about.start_ns,
            now_ns: self.now_ns,
            lost: self.lost,
            damage: self.damage.as_ref(),
            programs: None,
        };
        (&mut *self.flow.view, moment, &mut self.flow.output)
    }

    fn show(&mut self) -> ControlFlow<()> {
        let (view, mut moment, output) = self.parts();
        view.interval(&mut moment, output)
    }

    async fn finish(&mut self, end: &End) -> anyhow::Result<()> {
        self.flow.give(|tracker, out| tracker.finish(out));
        let (view, mut moment, output) = self.parts();
        view.finish(&mut moment, output);
        if self.flow.settings.summary {
            let summary = self.summary();
            self.flow.output.line(|line| summary.json_line(line));
        }
        write_out(&mut self.flow.output, end, &mut self.signals).await?;
        eprintln!("tcpstate: {}", self.summary());
        Ok(())
    }

    fn summary(&self) -> Summary {
        Summary {
            tally: self.flow.tally.clone(),
            counted: None,
            lost: Lost {
                writer_slow: self.lost.writer_slow + self.flow.output.dropped(),
                ..self.lost
            },
            tracked: self.flow.tracker.tracked(),
            cpu_seconds: cpu_seconds(),
            bpf_seconds: None,
        }
    }
}

/// Reads on a thread, so that a slow disk or pipe keeps no key and no signal waiting. The first error is the last.
fn read_ahead(mut recording: Recording) -> std::io::Result<Receiver<Result<Vec<Row>, Damage>>> {
    let (sender, batches) = channel(AHEAD);
    thread::Builder::new()
        .name("reader".into())
        .spawn(move || {
            while let Some(batch) = recording.next_batch().transpose() {
                let is_last = batch.is_err();
                if sender.blocking_send(batch).is_err() || is_last {
                    return;
                }
            }
        })?;
    Ok(batches)
}
