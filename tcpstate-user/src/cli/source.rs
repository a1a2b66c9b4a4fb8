//! Where the transitions of a command come from: this host, or with `--from` a recording.
use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use jiff::tz::TimeZone;

use super::event::EventArgs;
use crate::{
    clock,
    netns::{self, Netns},
    recording::Recording,
    session::{self, Replay, Settings},
    sink::WallClock,
    source::kernel::Owners,
    view::View,
};

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// What every command takes that can show a recording instead of this host.
#[derive(Debug, clap::Args)]
pub struct SourceArgs {
    #[command(flatten)]
    event: EventArgs,
    /// Show this recording ('-': standard input) instead of this host; needs no privileges
    #[arg(long, value_name = "FILE", conflicts_with_all = ["raw", "reconcile", "ring_size", "bpf_stats"])]
    from: Option<PathBuf>,
    /// Times real time: 1, 0.5, 60; without it, as fast as it can
    #[arg(long, value_name = "FACTOR", requires = "from", value_parser = speed)]
    speed: Option<f64>,
}

/// Settings, and where the transitions come from.
pub struct Source {
    /// What was asked for.
    pub settings: Settings,
    replay: Option<Replay>,
}

impl SourceArgs {
    /// The network namespace of this host that was asked for, or the own one; `None` with a recording.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(super) fn netns_here(&self) -> anyhow::Result<Option<Netns>> {
        match self.event.netns() {
            _ if self.from.is_some() => Ok(None),
            Some(selector) => selector.find().map(Some),
            None => netns::current().map(Some).context("own network namespace"),
        }
    }

    /// The recording that was named, if one was.
    pub(super) fn recording(&self) -> Option<&Path> {
        self.from.as_deref()
    }

    /// What was meant; a recording is opened.
    ///
    /// # Errors
    /// The recording cannot be opened, or is none; or the network namespace cannot be looked at.
    pub fn open(&self, verbose: u8) -> anyhow::Result<Source> {
        self.open_with(Owners::Events, verbose)
    }

    /// The same for a command that needs to know less of the owners.
    ///
    /// # Errors
    /// As above.
    pub fn open_with(&self, owners: Owners, verbose: u8) -> anyhow::Result<Source> {
        let Some(from) = self.from.as_deref() else {
            return Ok(Source {
                settings: self.event.settings_with(owners, verbose)?,
                replay: None,
            });
        };
        Ok(Source {
            settings: self.event.recorded_settings(verbose)?,
            replay: Some(open(from, self.speed)?),
        })
    }
}

impl Source {
    /// The wall clock of the host that is shown.
    #[must_use]
    pub fn clock(&self) -> WallClock {
        match &self.replay {
            Some(replay) => replay.recording.about().clock(),
            None => WallClock::new(clock::wall_offset_ns(), TimeZone::system()),
        }
    }

    /// Whether it is this host, now.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.replay.is_none()
    }

    /// When the measurement begins or began, monotonic, ns.
    #[must_use]
    pub fn start_ns(&self) -> u64 {
        match &self.replay {
            Some(replay) => replay.recording.about().start_ns,
            None => clock::monotonic_ns(),
        }
    }

    /// Shows it in `view`.
    ///
    /// # Errors
    /// What kept it from running to its end, in one line that says what to do.
    pub fn show(self, view: &mut dyn View) -> anyhow::Result<()> {
        match self.replay {
            Some(replay) => session::replay(&self.settings, replay, view),
            None => session::run(&self.settings, view),
        }
    }
}

fn open(from: &Path, speed: Option<f64>) -> anyhow::Result<Replay> {
    let (name, input, length): (_, Box<dyn Read + Send>, _) = if from == Path::new("-") {
        ("standard input".to_owned(), Box::new(io::stdin()), None)
    } else {
        let name = from.display().to_string();
        let file = File::open(from).with_context(|| format!("opening {name}"))?;
        let length = file.metadata().ok().filter(|file| file.is_file());
        (name, Box::new(file), length.map(|file| file.len()))
    };
    let recording = Recording::open(Box::new(BufReader::with_capacity(CHUNK, input)))
        .with_context(|| format!("reading {name}"))?;
    Ok(Replay {
        recording,
        name,
        length,
        speed,
    })
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok();
    speed
        .filter(|speed: &f64| speed.is_finite() && *speed > 0.0)
        .ok_or_else(|| "expected a number above zero such as 1, 0.5 or 60".to_owned())
}
