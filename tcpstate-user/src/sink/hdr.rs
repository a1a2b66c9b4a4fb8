//! HistogramLog: histograms of dwell times, one tag a state, as the usual HdrHistogram tools read them.
use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use anyhow::Context as _;
use hdrhistogram::serialization::{
    V2DeflateSerializer,
    interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError, Tag},
};

use crate::{about::About, dwell::Dwell, tcp::TcpState};

/// A log under construction. Its first error ends it and is kept for [`HdrLog::finish`].
#[derive(Debug)]
pub struct HdrLog {
    path: PathBuf,
    file: File,
    start_ns: u64,
    error: Option<io::Error>,
}

impl HdrLog {
    /// Opens the file, or makes it. What it had stays until [`HdrLog::begin`]: what it is for may not come about.
    ///
    /// # Errors
    /// It cannot be made or written to.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("making {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            start_ns: 0,
            error: None,
        })
    }

    /// Whether the file at `path` is this one.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        let own = self.file.metadata().ok();
        let other = fs::metadata(path).ok();
        own.zip(other).is_some_and(|(own, other)| {
            (own.dev(), own.ino(), own.is_file()) == (other.dev(), other.ino(), true)
        })
    }

    /// Writes the head: the log is about this measurement, and its intervals count from its start.
    pub fn begin(&mut self, about: &About) {
        self.start_ns = about.start_ns;
        let wall_ns = i128::from(about.start_ns) + i128::from(about.wall_offset_ns);
        let start = UNIX_EPOCH + Duration::from_nanos(u64::try_from(wall_ns).unwrap_or(0));
        let mut head = Vec::new();
        let built = IntervalLogWriterBuilder::new()
            .add_comment("[Histogram log format version 1.3]")
            .add_comment("[microseconds in each TCP state, one tag a state]")
            .with_start_time(start)
            .begin_log_with(&mut head, &mut V2DeflateSerializer::new())
            .map(drop);
        let written = built.and_then(|()| {
            head.extend_from_slice(
                b"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
            );
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
            }
            self.file.write_all(&head)
        });
        self.error = written.err();
    }

    /// Writes the finished stays between two times (monotonic, ns), state by state.
    pub fn interval(&mut self, dwell: &Dwell, from_ns: u64, to_ns: u64) {
        let start = Duration::from_nanos(from_ns.saturating_sub(self.start_ns));
        let length = Duration::from_nanos(to_ns.saturating_sub(from_ns));
        if self.error.is_none() {
            self.error = self.write(dwell, start, length).err();
        }
    }

    fn write(&mut self, dwell: &Dwell, start: Duration, length: Duration) -> io::Result<()> {
        let mut lines = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        let mut log =
            IntervalLogWriterBuilder::new().begin_log_with(&mut lines, &mut serializer)?;
        for state in TcpState::live() {
            let histogram = dwell.histogram(state);
            if !histogram.is_empty() {
                log.write_histogram(histogram, start, length, Tag::new(state.name()))
                    .map_err(|error| match error {
                        IntervalLogWriterError::IoError(error) => error,
                        IntervalLogWriterError::SerializeError(error) => io::Error::other(error),
                    })?;
            }
        }
        self.file.write_all(&lines)
    }

    /// Ends the log.
    ///
    /// # Errors
    /// It could not be written.
    pub fn finish(self) -> anyhow::Result<()> {
        match self.error {
            Some(error) => Err(error).with_context(|| format!("writing {}", self.path.display())),
            None => Ok(()),
        }
    }
}
