//! What tests of whole lives ask of a history: how long it stayed, what was seen of that, and why it ended.
use std::{ops::RangeInclusive, time::Duration};

use super::History;
use crate::Line;

impl History {
    /// Checks that these are its transitions, and that it was there from its beginning with every dwell known.
    ///
    /// # Panics
    /// They are others, or one is not.
    pub fn assert_life(&self, expected: &[&str]) {
        self.assert_life_but(expected, &[]);
    }

    /// Checks that these are its transitions, and that every dwell is known but in the states `unknown`.
    ///
    /// # Panics
    /// They are others, or one is not.
    pub fn assert_life_but(&self, expected: &[&str], unknown: &[&str]) {
        assert_eq!(self.edges(), expected, "{self:#?}");
        for line in &self.lines[1..] {
            let known = !unknown.contains(&&*line.from);
            assert_eq!(line.dwell_ns.is_some(), known, "dwell: {line:#?}");
        }
    }

    /// Checks how long it stayed in `state`.
    ///
    /// # Panics
    /// It was shorter or longer, or is not known.
    pub fn assert_dwell(&self, state: &str, truth: &RangeInclusive<Duration>) {
        let line = self.leaving(state);
        let dwell = line.dwell_ns.map(Duration::from_nanos);
        assert!(
            dwell.is_some_and(|dwell| truth.contains(&dwell)),
            "{dwell:?} in {state} is not in {truth:?}: {self:#?}"
        );
    }

    /// Checks that every time was seen, none recovered.
    ///
    /// # Panics
    /// One is estimated.
    pub fn assert_seen(&self) {
        assert!(
            self.lines.iter().all(|line| !line.estimated),
            "estimated: {self:#?}"
        );
    }

    /// Checks that it has ended, and why.
    ///
    /// # Panics
    /// It has not, or otherwise.
    pub fn assert_end(&self, reason: Option<&str>) {
        let last = self.last();
        assert_eq!(last.to, "CLOSE", "it lives: {self:#?}");
        assert_eq!(last.reason.as_deref(), reason, "{self:#?}");
    }

    /// Its last line.
    ///
    /// # Panics
    /// Never: a life has a line.
    #[must_use]
    pub fn last(&self) -> &Line {
        self.lines.last().expect("a life has a line")
    }

    /// The only line that leaves `state`.
    ///
    /// # Panics
    /// There is none, or more than one.
    #[must_use]
    pub fn leaving(&self, state: &str) -> &Line {
        let lines: Vec<_> = self
            .lines
            .iter()
            .filter(|line| line.from == state)
            .collect();
        let [line] = lines[..] else {
            panic!("{} lines leave {state}: {self:#?}", lines.len())
        };
        line
    }
}

/// The lives with these ports, local and remote as the kernel's socket has them, in order of time.
#[must_use]
pub fn between(lives: &[History], local: u16, remote: u16) -> Vec<&History> {
    lives
        .iter()
        .filter(|life| {
            life.lines
                .iter()
                .any(|line| (line.lport, line.rport) == (Some(local), Some(remote)))
        })
        .collect()
}

/// The only life with these ports.
///
/// # Panics
/// There is none, or more than one.
#[must_use]
pub fn find_ports(lives: &[History], local: u16, remote: u16) -> &History {
    let found = between(lives, local, remote);
    let [life] = found[..] else {
        panic!("{} lives instead of one, of {lives:#?}", found.len())
    };
    life
}
