//! The lines of `trace -J`, counted as they come: a soak has millions of them, and keeps none.
use std::{
    collections::{BTreeMap, HashSet},
    io::{BufRead as _, BufReader, PipeReader},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use anyhow::Context as _;
use serde::Deserialize;
use tcpstate_tests::Summary;

/// Lines kept for a look at what went wrong.
const MET: usize = 10;

/// What has come so far.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// Lines, by transition: `CLOSE->SYN_SENT`.
    pub edges: BTreeMap<String, u64>,
    /// Lines that are missing between two that came.
    pub missing: u64,
    /// Number of the next line.
    next: u64,
    /// Connections that have begun and not ended.
    pub live: HashSet<String>,
    /// The first lines that follow from none before them.
    pub met: Vec<String>,
}

/// The thread that reads.
pub struct Lines {
    counted: Arc<Mutex<Counted>>,
    thread: JoinHandle<anyhow::Result<Summary>>,
}

/// A line, as far as it counts.
#[derive(Deserialize)]
struct Line<'a> {
    id: &'a str,
    from: &'a str,
    to: &'a str,
    seq: u64,
}

impl Lines {
    /// Reads to the end of `pipe`.
    pub fn of(pipe: PipeReader) -> Self {
        let counted = Arc::new(Mutex::new(Counted::default()));
        let shared = Arc::clone(&counted);
        let thread = thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = String::new();
            loop {
                line.clear();
                if pipe.read_line(&mut line)? == 0 {
                    anyhow::bail!("trace has ended without a summary record");
                }
                if line.contains("\"summary\":true") {
                    return Ok(Summary::read(&line));
                }
                let read = serde_json::from_str(&line).with_context(|| line.clone())?;
                lock(&shared).take(&read, &line);
            }
        });
        Self { counted, thread }
    }

    /// What `read` makes of what has come so far.
    pub fn look<T>(&self, read: impl FnOnce(&Counted) -> T) -> T {
        read(&lock(&self.counted))
    }

    /// Waits for the summary record; returns it with all that has come.
    pub fn end(self) -> anyhow::Result<(Summary, Counted)> {
        let summary = self.thread.join().expect("the thread that reads")?;
        let counted = lock(&self.counted).clone();
        Ok((summary, counted))
    }
}

impl Counted {
    fn take(&mut self, read: &Line<'_>, line: &str) {
        let Line { id, from, to, seq } = *read;
        self.missing += seq.saturating_sub(self.next);
        self.next = seq + 1;
        *self.edges.entry(format!("{from}->{to}")).or_default() += 1;
        let begins = from == "CLOSE" || (from, to) == ("LISTEN", "SYN_RECV");
        if !begins && !self.live.contains(id) && self.met.len() < MET {
            self.met.push(line.trim_end().to_owned());
        }
        if to == "CLOSE" {
            self.live.remove(id);
        } else if begins {
            self.live.insert(id.to_owned());
        }
    }
}

fn lock(counted: &Mutex<Counted>) -> std::sync::MutexGuard<'_, Counted> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}
