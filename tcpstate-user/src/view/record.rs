//! `record`: every transition into a recording, with the sockets that existed at the start and what was lost.
use std::{
    ops::ControlFlow,
    task::{Context, Poll},
    time::Duration,
};

use hashbrown::HashMap;

use super::{Moment, View};
use crate::{
    about::About,
    dwell::Dwell,
    recording::{Rotation, Row, Writer},
    sink::{Output, hdr::HdrLog},
    source::Lost,
    tcp::{ConnectionId, TcpState, Transition},
    tracker::Open,
};

/// Rows that are handed over without waiting for the next flush.
const BATCH: usize = 4096;
/// Rows of one batch in the file at most: a snapshot of a busy host is cut into several.
const PIECE: usize = 32_768;
/// How often rows are handed to the disk, full batch or not: what a crash costs at most, with the time to write it.
const FLUSH_EVERY: Duration = Duration::from_millis(900);
/// How often the recording is compared with the tracker, which may have found or lost sockets without a transition, ns.
const COMPARE_NS: u64 = 30_000_000_000;

/// The view.
pub struct Record {
    writer: Writer,
    rotation: Rotation,
    /// What the recording is about; `None` before it has begun.
    about: Option<About>,
    rows: Vec<Row>,
    /// The state of every open connection as the recording tells it so far, by serial.
    recorded: HashMap<u64, TcpState>,
    /// Rows were dropped: the recording may tell a state that is none any more.
    unsure: bool,
    compared_ns: u64,
    /// The next file could not begin, as the queue is full: not asked for again before the next interval.
    waits: bool,
    seq: u64,
    /// Losses that the recording tells so far.
    lost: Lost,
    hdr: Option<(HdrLog, Dwell)>,
    result: anyhow::Result<()>,
}

impl Record {
    /// A recording into `writer`, and if asked for dwell times into `hdr`.
    #[must_use]
    pub fn new(writer: Writer, rotation: Rotation, hdr: Option<HdrLog>) -> Self {
        Self {
            writer,
            rotation,
            about: None,
            rows: Vec::with_capacity(BATCH),
            recorded: HashMap::new(),
            unsure: false,
            compared_ns: 0,
            waits: false,
            seq: 0,
            lost: Lost::default(),
            hdr: hdr.map(|log| (log, Dwell::default())),
            result: Ok(()),
        }
    }

    /// How writing went.
    ///
    /// # Errors
    /// The recording or the histogram log could not be written; the message names the file.
    pub fn result(self) -> anyhow::Result<()> {
        self.result?;
        self.hdr.map_or(Ok(()), |(log, _)| log.finish())
    }

    /// Hands over what has come. What finds no room stays until it is a batch; then it is dropped and counted.
    fn hand_over(&mut self) {
        if self.about.is_none() {
            return;
        }
        while !self.rows.is_empty() {
            let mut rest = self.rows.split_off(self.rows.len().min(PIECE));
            rest.reserve(BATCH);
            let piece = std::mem::replace(&mut self.rows, rest);
            let tells: Vec<_> = piece.iter().filter_map(tells).collect();
            match self.writer.rows(piece) {
                Ok(()) => tell(&mut self.recorded, tells),
                Err(mut piece) => {
                    piece.append(&mut self.rows);
                    if piece.len() < BATCH {
                        self.rows = piece;
                    } else {
                        self.writer.drop_rows(piece.len());
                        self.unsure = true;
                    }
                    return;
                }
            }
        }
    }

    /// Adds rows for what the tracker knows and the recording does not tell.
    fn compare(&mut self, moment: &Moment<'_>) {
        let mono_ns = moment.now_ns;
        let mut told = self.recorded.clone();
        tell(&mut told, self.rows.iter().filter_map(tells));
        for socket in moment.tracker.open() {
            if told.remove(&socket.id.serial) != Some(socket.state) {
                self.rows.push(Row::Snapshot { mono_ns, socket });
            }
        }
        let gone = told.into_keys().map(|serial| Row::Snapshot {
            mono_ns,
            socket: gone(serial, mono_ns),
        });
        self.rows.extend(gone);
        self.unsure = false;
        self.compared_ns = mono_ns;
    }

    /// Adds rows for what was lost since the last look.
    fn losses(&mut self, moment: &Moment<'_>) {
        let before = self.lost.by_cause();
        for ((cause, now), (_, before)) in moment.lost.by_cause().into_iter().zip(before) {
            if now > before {
                self.rows.push(Row::Loss {
                    mono_ns: moment.now_ns,
                    cause,
                    lost: now - before,
                });
            }
        }
        self.lost = moment.lost;
    }

    /// Whether the next file should begin at `now_ns`.
    fn wants_next(&self, now_ns: u64) -> bool {
        let due = |about: &About| {
            self.rotation.every.is_some_and(|every| {
                now_ns.saturating_sub(about.start_ns)
                    >= u64::try_from(every.as_nanos()).unwrap_or(u64::MAX)
            })
        };
        self.writer.is_full() || self.about.as_ref().is_some_and(due)
    }

    /// Ends this file and begins the next, which stands for itself: it starts with the sockets that exist.
    fn rotate(&mut self, moment: &Moment<'_>) {
        self.rows.push(Row::End {
            mono_ns: moment.now_ns,
        });
        self.hand_over();
        if !self.rows.is_empty() {
            self.rows.pop();
            self.waits = true;
            return; // no room now: the next interval tries again
        }
        let Some(about) = &mut self.about else {
            return;
        };
        let next = About {
            start_ns: moment.now_ns,
            ..about.clone()
        };
        if self.writer.begin(&next) {
            *about = next;
            self.recorded.clear();
            self.compare(moment);
        } else {
            self.waits = true;
        }
    }
}

impl View for Record {
    fn ready(&mut self, about: &About, moment: &mut Moment<'_>) {
        self.writer.begin(about); // the queue is empty
        self.about = Some(about.clone());
        if let Some((log, _)) = &mut self.hdr {
            log.begin(about);
        }
        self.compare(moment);
        self.hand_over();
    }

    fn transition(&mut self, _seq: u64, transition: &Transition, _output: &mut Output) -> bool {
        if let Some((_, dwell)) = &mut self.hdr {
            dwell.transition(transition);
        }
        self.rows.push(Row::Transition {
            seq: self.seq,
            transition: *transition,
        });
        self.seq += 1;
        if self.rows.len() >= BATCH {
            self.hand_over();
        }
        true
    }

    fn every(&self) -> Option<Duration> {
        Some(FLUSH_EVERY)
    }

    /// A full file is changed at once, not at the next flush.
    fn poll_wish(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        if self.writer.is_full() && !self.waits {
            Poll::Ready(())
        } else {
            Poll::Pending // asked again at the next fetch
        }
    }

    fn interval(&mut self, moment: &mut Moment<'_>, _output: &mut Output) -> ControlFlow<()> {
        if self.writer.has_failed() {
            return ControlFlow::Break(());
        }
        self.waits = false;
        self.losses(moment);
        if self.unsure || moment.now_ns.saturating_sub(self.compared_ns) >= COMPARE_NS {
            self.compare(moment);
        }
        if self.wants_next(moment.now_ns) {
            self.rotate(moment);
        }
        self.hand_over();
        ControlFlow::Continue(())
    }

    fn finish(&mut self, moment: &mut Moment<'_>, _output: &mut Output) {
        self.losses(moment);
        self.rows.push(Row::End {
            mono_ns: moment.now_ns,
        });
        self.result = self.writer.finish(std::mem::take(&mut self.rows));
        if let (Some((log, dwell)), Some(about)) = (&mut self.hdr, &self.about) {
            log.interval(dwell, about.start_ns, moment.now_ns);
        }
    }

    fn dropped(&self) -> u64 {
        self.writer.dropped()
    }
}

/// What a row tells about a connection: its serial and the state it is in.
fn tells(row: &Row) -> Option<(u64, TcpState)> {
    match row {
        Row::Transition { transition, .. } => Some((transition.id.serial, transition.to)),
        Row::Snapshot { socket, .. } => Some((socket.id.serial, socket.state)),
        Row::Loss { .. } | Row::End { .. } => None,
    }
}

/// Adds what rows tell to what was told before.
fn tell(told: &mut HashMap<u64, TcpState>, rows: impl IntoIterator<Item = (u64, TcpState)>) {
    for (serial, state) in rows {
        if state == TcpState::Close {
            told.remove(&serial);
        } else {
            told.insert(serial, state);
        }
    }
}

/// A connection whose end was missed.
fn gone(serial: u64, mono_ns: u64) -> Open {
    Open {
        id: ConnectionId { cookie: 0, serial },
        skaddr: 0,
        netns: 0,
        tuple: None,
        state: TcpState::Close,
        since_ns: None,
        seen_ns: mono_ns,
        role: None,
        owner: None,
        cgroup: None,
        bytes: None,
    }
}
