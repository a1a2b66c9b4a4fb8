//! Standard output, and the systemd journal beside it, each behind a thread and a bounded queue: a reader that stalls
//! never stalls the measurement. What a queue has no room for is dropped by whole lines and counted.
use std::{
    fs::File,
    io::{self, Write},
    os::{fd::AsFd, unix::fs::FileTypeExt as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use memchr::memchr_iter;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::journal::Journal;
use crate::tcp::Transition;

/// Bytes gathered before they are handed to the thread without waiting for a flush.
const CHUNK_BYTES: usize = 64 << 10;
/// Room beyond them for the line that fills a chunk.
const LAST_LINE_BYTES: usize = 4 << 10;
/// Chunks in the queue: with [`CHUNK_BYTES`], 16 MiB wait for a slow reader before lines are dropped.
const QUEUE_CHUNKS: usize = 256;

/// `PIPE_BUF`: so much a pipe takes whole or not at all, so that a write that waits for a reader has written nothing.
const PIPE_BYTES: usize = 4096;

/// Lines on their way to standard output.
pub struct Output {
    chunk: Vec<u8>,
    /// Lines handed to the thread.
    handed: u64,
    /// Lines that it has written to their end.
    written: Arc<AtomicU64>,
    dropped: u64,
    /// Nothing is dropped: whoever writes waits while [`Output::is_full`].
    patient: bool,
    /// `None` once the reader has gone.
    queue: Option<SyncSender<Vec<u8>>>,
    writer: Option<JoinHandle<io::Result<()>>>,
    journal: Option<Journal>,
}

impl Output {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn stdout() -> io::Result<Self> {
        let (queue, chunks) = sync_channel::<Vec<u8>>(QUEUE_CHUNKS);
        // Past the standard library's own buffer, so that it is known what has got out.
        let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let piece = if stdout.metadata()?.file_type().is_fifo() {
            PIPE_BYTES
        } else {
            CHUNK_BYTES
        };
        let written = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&written);
        let writer = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || {
                for chunk in chunks {
                    for piece in chunk.chunks(piece) {
                        write(&mut stdout, piece, &counter)?;
                    }
                }
                Ok(())
            })?;
        Ok(Self {
            chunk: empty_chunk(),
            handed: 0,
            written,
            dropped: 0,
            patient: false,
            queue: Some(queue),
            writer: Some(writer),
            journal: None,
        })
    }

    /// Everything goes to `queue` instead of standard output; what is shown is looked at.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn to(queue: SyncSender<Vec<u8>>) -> Self {
        Self {
            chunk: Vec::new(),
            handed: 0,
            written: Arc::default(),
            dropped: 0,
            patient: true,
            queue: Some(queue),
            writer: None,
            journal: None,
        }
    }

    /// From now on there is also the journal.
    pub fn add_journal(&mut self, journal: Journal) {
        self.journal = Some(journal);
    }

    /// Sends the `seq`th transition of the run to the journal, if there is one.
    pub fn journal(&mut self, seq: u64, transition: &Transition) {
        if let Some(journal) = &mut self.journal {
            journal.send(seq, transition);
        }
    }

    /// The same for lines that can wait: while it is full, whoever writes has to pause, and nothing is dropped.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn patient_stdout() -> io::Result<Self> {
        Ok(Self {
            patient: true,
            ..Self::stdout()?
        })
    }

    /// Whether a patient output has no room now; [`Output::flush`] tries again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.patient && self.chunk.len() >= CHUNK_BYTES
    }

    /// Appends a line (or several that belong together) that `write` produces.
    pub fn line(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.chunk);
        if self.chunk.len() >= CHUNK_BYTES {
            self.hand_over(CHUNK_BYTES);
        }
    }

    /// Hands what was gathered to the thread, and notices a reader that has gone.
    pub fn flush(&mut self) {
        if !self.chunk.is_empty() {
            self.hand_over(CHUNK_BYTES);
        }
        if self.queue.is_some() && reader_gone() {
            self.queue = None;
        }
    }

    /// Whether nobody reads any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.is_none()
    }

    /// Lines dropped because the reader was slow, and entries that did not get into the journal.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped + self.journal.as_ref().map_or(0, Journal::dropped)
    }

    /// Whether everything is written, or nobody reads any more. No line may follow the first call.
    ///
    /// # Errors
    /// Writing failed, other than by a reader that went away.
    pub fn finished(&mut self) -> io::Result<bool> {
        if !self.chunk.is_empty() {
            self.hand_over(usize::MAX);
        }
        if !self.chunk.is_empty() {
            return Ok(false); // the queue is full
        }
        self.queue = None; // the thread ends when it has written what is queued
        if self
            .writer
            .as_ref()
            .is_some_and(|writer| !writer.is_finished())
        {
            return Ok(false);
        }
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(self.journal.as_mut().is_none_or(Journal::finished)),
        }
    }

    /// Gives up on a reader that takes nothing more: what did not get out counts as dropped.
    pub fn abandon(&mut self) {
        self.dropped += lines(&self.chunk) + self.handed - self.written.load(Ordering::Relaxed);
        self.chunk.clear();
        if let Some(journal) = &mut self.journal {
            journal.abandon();
        }
    }

    /// Hands the chunk over. While the queue is full, a chunk of up to `keep` bytes waits; a longer one is dropped.
    fn hand_over(&mut self, keep: usize) {
        let keep = if self.patient { usize::MAX } else { keep };
        let Some(queue) = &self.queue else {
            self.chunk.clear();
            return;
        };
        let lines = lines(&self.chunk);
        match queue.try_send(std::mem::replace(&mut self.chunk, empty_chunk())) {
            Ok(()) => self.handed += lines,
            Err(TrySendError::Full(chunk)) if chunk.len() < keep => self.chunk = chunk,
            Err(TrySendError::Full(_)) => self.dropped += lines,
            Err(TrySendError::Disconnected(_)) => self.queue = None,
        }
    }
}

fn empty_chunk() -> Vec<u8> {
    Vec::with_capacity(CHUNK_BYTES + LAST_LINE_BYTES)
}

/// Writes a piece and counts the lines that have got out to their end, also those before an error.
fn write(stdout: &mut File, mut piece: &[u8], written: &AtomicU64) -> io::Result<()> {
    while !piece.is_empty() {
        match stdout.write(piece) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => {
                written.fetch_add(lines(&piece[..length]), Ordering::Relaxed);
                piece = &piece[length..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends of lines in `bytes`.
fn lines(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

/// Whether standard output is a pipe or socket whose other end is closed.
fn reader_gone() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok()
        && fds[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLERR))
}
