//! A progress bar on stderr, for a replay that takes long and shows nothing meanwhile.
use std::{
    io::{IsTerminal as _, stderr, stdout},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressStyle};

use super::Replay;

/// The bar; nothing where there is no terminal for it, or no length is known.
pub(super) struct Bar(Option<(ProgressBar, Arc<AtomicU64>)>);

impl Bar {
    /// A bar, unless `quiet`. Where standard output is a terminal too, only a `silent` view leaves room for it.
    pub(super) fn new(replay: &Replay, quiet: bool, silent: bool) -> Self {
        let room = stderr().is_terminal() && (silent || !stdout().is_terminal());
        let Some(length) = replay
            .length
            .filter(|_| room && !quiet && replay.speed.is_none())
        else {
            return Self(None);
        };
        let bar = ProgressBar::new(length);
        let style =
            ProgressStyle::with_template("{bar:40} {percent}% of {total_bytes}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(Some((bar, replay.recording.progress())))
    }

    /// Draws how far the reading is.
    pub(super) fn update(&self) {
        if let Some((bar, read)) = &self.0 {
            bar.set_position(read.load(Ordering::Relaxed));
        }
    }

    /// Removes it.
    pub(super) fn end(&self) {
        if let Some((bar, _)) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
