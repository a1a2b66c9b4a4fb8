//! Writing a recording on a thread of its own, behind a bounded queue: a slow disk never stalls the measurement.
use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};

use super::{Rotation, Row, Target, encode::Encoder, files::Files, frame};
use crate::{about::About, privilege};

/// Batches in the queue: of 4096 rows each, they take about 40 MiB.
const QUEUE_BATCHES: usize = 32;
/// How often the end looks whether all is written.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long a disk or a reader may take nothing at the end before the rest is given up.
const PATIENCE: Duration = Duration::from_secs(5);

enum Job {
    /// A new recording begins, in the next file.
    Begin(About),
    Rows(Vec<Row>),
}

/// What both sides look at.
#[derive(Default)]
struct Shared {
    /// Number of the last recording whose file has reached its size, from 1.
    full: AtomicU64,
    /// Rows that are in the file.
    rows: AtomicU64,
    /// Name of the file that is written, for messages.
    path: Mutex<String>,
}

/// Rows on their way into a recording.
pub struct Writer {
    queue: Option<SyncSender<Job>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<()>>>,
    /// Recordings begun.
    begun: u64,
    /// Rows handed to the thread.
    handed: u64,
    /// Rows that found no room, or did not get out.
    dropped: u64,
}

impl Writer {
    /// Opens the target and starts the thread. `addresses`: with a column of kernel addresses.
    ///
    /// # Errors
    /// The file cannot be opened for writing, or no thread can be started.
    pub fn create(target: Target, rotation: Rotation, addresses: bool) -> anyhow::Result<Self> {
        let name = match &target {
            Target::Stdout => "standard output".to_owned(),
            Target::File(path) => path.display().to_string(),
        };
        let files = Files::open(target, rotation).with_context(|| format!("opening {name}"))?;
        let (queue, jobs) = sync_channel(QUEUE_BATCHES);
        let shared = Arc::new(Shared {
            path: Mutex::new(name),
            ..Shared::default()
        });
        let of_thread = Arc::clone(&shared);
        let thread = privilege::spawn("recorder", move || {
            write(&jobs, files, addresses, &of_thread)
        })
        .context("starting the thread that records")?;
        Ok(Self {
            queue: Some(queue),
            shared,
            thread: Some(thread),
            begun: 0,
            handed: 0,
            dropped: 0,
        })
    }

    /// Begins a recording of `about`; the one before, if any, ends. False if there is no room for that now.
    pub fn begin(&mut self, about: &About) -> bool {
        let begun = self.try_send(Job::Begin(about.clone())).is_ok();
        self.begun += u64::from(begun);
        begun
    }

    /// Hands rows over; gives them back if there is no room for them now.
    ///
    /// # Errors
    /// The queue is full, or the thread has ended.
    pub fn rows(&mut self, rows: Vec<Row>) -> Result<(), Vec<Row>> {
        let count = rows.len() as u64;
        match self.try_send(Job::Rows(rows)) {
            Ok(()) => {
                self.handed += count;
                Ok(())
            }
            Err(Job::Rows(rows)) => Err(rows),
            Err(Job::Begin(_)) => Err(Vec::new()),
        }
    }

    fn try_send(&mut self, job: Job) -> Result<(), Job> {
        let Some(queue) = &self.queue else {
            return Err(job);
        };
        match queue.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => Err(job),
        }
    }

    /// Counts rows that found no room.
    pub fn drop_rows(&mut self, rows: usize) {
        self.dropped += rows as u64;
    }

    /// Rows that are not in the recording.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether the file has reached its size, and the next should begin.
    #[must_use]
    pub fn is_full(&self) -> bool {
        // Not the one before, whose last rows may still be on their way.
        self.begun > 0 && self.shared.full.load(Ordering::Relaxed) == self.begun
    }

    /// Whether nothing is written any more, because that failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Writes `rows` and everything that waits, then the end mark.
    ///
    /// # Errors
    /// Writing failed now or earlier; the message names the file.
    pub fn finish(&mut self, rows: Vec<Row>) -> anyhow::Result<()> {
        let mut last = Some(rows);
        let mut written = 0;
        let mut deadline = Instant::now() + PATIENCE;
        let in_time = loop {
            if let Some(rows) = last.take() {
                last = self.rows(rows).err();
            }
            if last.is_none() {
                self.queue = None; // the thread ends when it has written what is queued
            }
            if self.has_failed() {
                break true;
            }
            let now = self.shared.rows.load(Ordering::Relaxed);
            if now != written {
                written = now;
                deadline = Instant::now() + PATIENCE;
            } else if Instant::now() > deadline {
                break false;
            }
            thread::sleep(LOOK_EVERY);
        };
        self.queue = None;
        let lost = last.map_or(0, |rows| rows.len() as u64);
        self.dropped += lost + self.handed - self.shared.rows.load(Ordering::Relaxed);
        let path = self
            .shared
            .path
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if !in_time {
            return Err(anyhow!(
                "writing {path}: it has taken nothing for {} s; what was recorded before can be read",
                PATIENCE.as_secs()
            ));
        }
        let result = match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => {
                return Err(anyhow!(
                    "writing {path}: the thread that records has panicked"
                ));
            }
            None => Ok(()),
        };
        result.with_context(|| format!("writing {path} (what was recorded before can be read)"))
    }
}

/// The thread: encodes and writes what comes, until nothing comes any more.
fn write(
    jobs: &Receiver<Job>,
    mut files: Files,
    addresses: bool,
    shared: &Shared,
) -> io::Result<()> {
    let mut encoder = None;
    let mut begun = 0;
    let mut bytes = Vec::new();
    for job in jobs {
        bytes.clear();
        match job {
            Job::Begin(about) => {
                if encoder.take().is_some() {
                    frame::write_end(&mut bytes);
                    files.write(&bytes)?;
                    bytes.clear();
                }
                begun += 1;
                files.begin()?;
                *shared.path.lock().unwrap_or_else(PoisonError::into_inner) =
                    files.path().display().to_string();
                encoder =
                    Some(Encoder::begin(&about, addresses, &mut bytes).map_err(io::Error::other)?);
                files.write(&bytes)?;
            }
            Job::Rows(rows) => {
                let Some(encoder) = &mut encoder else {
                    continue; // rows come after a beginning only
                };
                if rows.is_empty() {
                    continue;
                }
                encoder.rows(&rows, &mut bytes).map_err(io::Error::other)?;
                files.write(&bytes)?;
                shared.rows.fetch_add(rows.len() as u64, Ordering::Relaxed);
                if files.is_full() {
                    shared.full.store(begun, Ordering::Relaxed);
                }
            }
        }
    }
    if encoder.is_some() {
        bytes.clear();
        frame::write_end(&mut bytes);
        files.write(&bytes)?;
    }
    Ok(())
}
