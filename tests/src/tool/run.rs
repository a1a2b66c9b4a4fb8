//! A finished run of the tool: what it printed and how it ended.
use std::process::ExitStatus;

use crate::{History, Line, Namespace, Summary};

/// A finished run.
#[derive(Debug)]
#[must_use]
pub struct Run {
    /// The command line, for messages.
    pub what: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Lines of standard output.
    pub stdout: Vec<String>,
    /// Lines of standard error.
    pub stderr: Vec<String>,
}

impl Run {
    /// Checks the exit status.
    ///
    /// # Panics
    /// It is another.
    pub fn assert_status(&self, expected: i32) {
        assert_eq!(self.status.code(), Some(expected), "{self:#?}");
    }

    /// Checks that it ended well, with the summary as the last line of its messages.
    ///
    /// # Panics
    /// It did not.
    pub fn assert_summary(&self) {
        self.assert_status(0);
        let last = self.stderr.last().map_or("", String::as_str);
        let is_summary = last.starts_with("tcpstate: ")
            && [" transitions", " lost", " tracked", " CPU"]
                .iter()
                .all(|word| last.contains(word));
        assert!(is_summary, "no summary at the end: {self:#?}");
    }

    /// Its transitions, of JSON output.
    ///
    /// # Panics
    /// A line is none.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let lines: Vec<_> = self
            .stdout
            .iter()
            .filter(|line| !is_summary(line))
            .map(|line| Line::read(line))
            .collect();
        for (number, line) in lines.iter().enumerate() {
            assert_eq!(
                line.seq, number as u64,
                "the order of the output: {line:#?}"
            );
        }
        lines
    }

    /// The transitions in one namespace.
    ///
    /// # Panics
    /// A line is none.
    #[must_use]
    pub fn lines_in(&self, ns: &Namespace) -> Vec<Line> {
        let mut lines = self.lines();
        lines.retain(|line| line.netns == ns.inode());
        lines
    }

    /// The connections in one namespace.
    ///
    /// # Panics
    /// A line is none, or does not follow from the one before it.
    #[must_use]
    pub fn histories_in(&self, ns: &Namespace) -> Vec<History> {
        History::of(self.lines_in(ns))
    }

    /// The summary record, which is the last.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.assert_summary();
        let records: Vec<_> = self.stdout.iter().filter(|line| is_summary(line)).collect();
        let [record] = records[..] else {
            panic!("{} summary records: {self:#?}", records.len())
        };
        assert_eq!(self.stdout.last(), Some(record), "it is not the last");
        Summary::read(record)
    }
}

fn is_summary(line: &str) -> bool {
    line.contains("\"summary\":true")
}
