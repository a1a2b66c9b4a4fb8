//! Lines of a pipe, read on a thread, with a way to wait for one.
use std::{
    io::{BufRead as _, BufReader, Read},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use crate::PATIENCE;

/// What has been read so far.
#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

/// The lines of one pipe.
pub(super) struct Lines(Arc<(Mutex<State>, Condvar)>);

impl Lines {
    /// Starts to read `pipe`; without one there are no lines.
    pub(super) fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let shared = Arc::new((Mutex::default(), Condvar::new()));
        let lines = Self(Arc::clone(&shared));
        match pipe {
            Some(pipe) => drop(thread::spawn(move || read(pipe, &Self(shared)))),
            None => lines.lock().ended = true,
        }
        lines
    }

    /// Waits for a line; `None` if it does not come.
    pub(super) fn wait_for(&self, mut wanted: impl FnMut(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut looked_at = 0;
        let mut state = self.lock();
        loop {
            for line in &state.lines[looked_at..] {
                if wanted(line) {
                    return Some(line.clone());
                }
            }
            looked_at = state.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return None;
            }
            state = self.wait(state, left);
        }
    }

    /// What there is so far.
    pub(super) fn all(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// Everything. Waits for the end, which comes when every process that has the pipe is gone.
    pub(super) fn end(&self) -> Vec<String> {
        let missing = self.wait_for(|_| false);
        let state = self.lock();
        assert!(
            missing.is_none() && state.ended,
            "a pipe stays open after its process has ended"
        );
        state.lines.clone()
    }

    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        left: std::time::Duration,
    ) -> MutexGuard<'a, State> {
        let (_, changed) = &*self.0;
        changed
            .wait_timeout(state, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// A panic of a test while it holds the lock leaves nothing half done here.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(pipe: impl Read, lines: &Lines) {
    let mut pipe = BufReader::new(pipe);
    loop {
        // The tool's output is text whatever names it has to print; the tests of names look at the bytes of it.
        let mut line = String::new();
        let more = pipe.read_line(&mut line).expect("the tool prints UTF-8") > 0;
        let mut state = lines.lock();
        if more {
            state.lines.push(line.trim_end_matches('\n').to_owned());
        } else {
            state.ended = true;
        }
        drop(state);
        lines.0.1.notify_all();
        if !more {
            return;
        }
    }
}
