//! What a guest has said, line by line: its kernel, its tests and their verdicts. Pure: text in, report out.
//!
//! The words are those of `tests/init/main.rs`.
use std::collections::BTreeMap;
use std::time::Duration;

/// What begins a line that is meant for us.
const MARK: &str = "tcpstate-vm: ";

/// All that is known of one run of one kernel.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// As `uname -r` says there.
    pub(super) release: Option<String>,
    /// Each announced test.
    pub(super) tests: BTreeMap<String, Verdict>,
    /// What failed tests have printed, in the order of their failing.
    pub(super) failures: Vec<(String, Vec<String>)>,
    /// The test that runs, and what it has printed.
    running: Option<(String, Vec<String>)>,
    broken: Option<String>,
    panic: Option<String>,
    done: Option<Done>,
}

/// How a test went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It passed, after this time.
    Passed(Duration),
    /// It ran to its end, and failed.
    Failed(Duration),
    /// The guest ended while it ran.
    Interrupted,
    /// The guest ended before its turn.
    NotRun,
    /// It is marked with `#[ignore]`.
    Ignored,
}

/// Init's own summary.
#[derive(Debug, PartialEq, Eq)]
struct Done {
    status: u32,
    tests: usize,
}

/// What a line is, for whoever watches.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Init has begun.
    Hello,
    /// A test has begun or ended, or the plan of tests goes on.
    Progress,
    /// Nothing will follow.
    End,
    /// What the test that runs has printed.
    Printed,
    /// What the firmware or the kernel prints.
    Other,
}

/// Why a guest as a whole has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// A few words for the table.
    pub(super) short: &'static str,
    /// The whole story.
    pub(super) long: String,
}

impl Report {
    /// Takes one line of the console.
    pub(super) fn line(&mut self, line: &str) -> Line {
        // A test that prints no newline at its end has its text before the mark.
        let Some((before, words)) = line.split_once(MARK) else {
            if line.contains("Kernel panic - not syncing") {
                self.panic = Some(line.trim().to_owned());
            }
            return self.printed(line);
        };
        if !before.trim().is_empty() {
            self.printed(before);
        }
        let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
        let mut fields = rest.splitn(3, ' ');
        let test = || rest.split(' ').next().unwrap_or_default().to_owned();
        match word {
            "hello" => {
                self.release = Some(rest.to_owned());
                Line::Hello
            }
            "plan" => self.progress(test(), Verdict::NotRun),
            "ignored" => self.progress(test(), Verdict::Ignored),
            "run" => {
                self.running = Some((test(), Vec::new()));
                self.progress(test(), Verdict::Interrupted)
            }
            "ok" | "failed" => {
                let (name, time) = (fields.next(), fields.next());
                let time = time.and_then(|time| time.parse().ok());
                let (Some(name), Some(time)) = (name, time.map(Duration::from_millis)) else {
                    return Line::Other; // cut short: the count at the end will tell
                };
                let mut printed = self.running.take().unwrap_or_default().1;
                if word == "ok" {
                    return self.progress(name.to_owned(), Verdict::Passed(time));
                }
                printed.push(fields.next().unwrap_or_default().to_owned());
                self.failures.push((name.to_owned(), printed));
                self.progress(name.to_owned(), Verdict::Failed(time))
            }
            "broken" => {
                self.broken = Some(rest.to_owned());
                Line::End
            }
            "done" => {
                self.done = Done::parse(rest);
                Line::End
            }
            _ => Line::Other,
        }
    }

    /// The guest has ended, or was ended because its time was up: the trouble with the guest itself, if any.
    pub(super) fn end(&mut self, timed_out: bool) -> Option<Trouble> {
        self.failures.extend(self.running.take());
        let trouble = |short, long: String| Some(Trouble { short, long });
        if let Some(panic) = &self.panic {
            return trouble("kernel panic", panic.clone());
        }
        if self.release.is_none() {
            let how = if timed_out {
                "in its time"
            } else {
                "and ended"
            };
            return trouble("did not boot", format!("did not reach its init {how}"));
        }
        if let Some(broken) = &self.broken {
            return trouble("not ready", format!("could not be made ready: {broken}"));
        }
        if timed_out {
            return trouble("timed out", "said nothing for too long".to_owned());
        }
        let Some(done) = &self.done else {
            return trouble("stopped early", "ended before its tests did".to_owned());
        };
        if done.tests == 0 {
            return trouble("no tests", "ran no test at all".to_owned());
        }
        let passed = self.count(|verdict| matches!(verdict, Verdict::Passed(_)));
        let failed = self.count(|verdict| matches!(verdict, Verdict::Failed(_)));
        if done.tests != passed + failed || (done.status == 0) != (failed == 0) {
            let long = format!("says {done:?}, but {passed} passed and {failed} failed");
            return trouble("garbled", long);
        }
        None
    }

    /// How many tests have such a verdict.
    pub(super) fn count(&self, such: impl Fn(&Verdict) -> bool) -> usize {
        self.tests.values().filter(|verdict| such(verdict)).count()
    }

    fn progress(&mut self, test: String, verdict: Verdict) -> Line {
        self.tests.insert(test, verdict);
        Line::Progress
    }

    fn printed(&mut self, line: &str) -> Line {
        let Some((_, printed)) = &mut self.running else {
            return Line::Other;
        };
        printed.push(line.to_owned());
        Line::Printed
    }
}

impl Done {
    fn parse(text: &str) -> Option<Self> {
        let (status, tests) = text.split_once(' ')?;
        Some(Self {
            status: status.strip_prefix("status=")?.parse().ok()?,
            tests: tests.strip_prefix("tests=")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of these lines of init, and the table's words for the guest itself.
    fn after(lines: &[&str], timed_out: bool) -> (Report, &'static str) {
        let mut report = Report::default();
        for line in lines {
            report.line(line);
        }
        let trouble = report.end(timed_out);
        (report, trouble.map_or("fine", |trouble| trouble.short))
    }

    const START: [&str; 5] = [
        "[    2.1] Run /init as init process",
        "tcpstate-vm: hello 6.1.0-50-cloud-amd64",
        "tcpstate-vm: plan e::a",
        "tcpstate-vm: ignored e::z",
        "tcpstate-vm: run e::a",
    ];

    fn with<'a>(rest: &[&'a str]) -> Vec<&'a str> {
        [&START[..], rest].concat()
    }

    #[test]
    fn a_run_that_is_told_to_its_end_is_fine() {
        let lines = with(&[
            "test a ... oktcpstate-vm: ok e::a 1500",
            "tcpstate-vm: done status=0 tests=1",
        ]);
        let (report, guest) = after(&lines, false);
        assert_eq!(guest, "fine");
        assert_eq!(report.release.as_deref(), Some("6.1.0-50-cloud-amd64"));
        let passed = Verdict::Passed(Duration::from_millis(1500));
        assert_eq!(report.tests["e::a"], passed);
        assert_eq!(report.tests["e::z"], Verdict::Ignored);
    }

    #[test]
    fn a_failed_test_keeps_what_it_has_printed() {
        let lines = with(&[
            "assertion failed",
            "tcpstate-vm: failed e::a 20 exit status 101",
            "tcpstate-vm: done status=1 tests=1",
        ]);
        let (report, guest) = after(&lines, false);
        assert_eq!(guest, "fine");
        assert_eq!(
            report.failures,
            [(
                "e::a".to_owned(),
                vec!["assertion failed".to_owned(), "exit status 101".to_owned()]
            )]
        );
    }

    #[test]
    fn each_bad_end_of_a_guest_has_its_own_name() {
        let panic = "[ 9.0] Kernel panic - not syncing: Attempted to kill init!";
        let hello = START[1];
        for (lines, timed_out, name) in [
            (vec!["SeaBIOS"], false, "did not boot"),
            (vec!["SeaBIOS"], true, "did not boot"),
            (vec!["SeaBIOS", panic], false, "kernel panic"),
            (with(&[panic]), false, "kernel panic"),
            (with(&["test a ... "]), true, "timed out"),
            (with(&["test a ... "]), false, "stopped early"),
            (vec![hello, "tcpstate-vm: broken x"], false, "not ready"),
            (
                vec![hello, "tcpstate-vm: done status=1 tests=0"],
                false,
                "no tests",
            ),
            // A verdict that got lost, and one that contradicts the summary.
            (
                with(&["tcpstate-vm: done status=0 tests=1"]),
                false,
                "garbled",
            ),
            (
                with(&[
                    "tcpstate-vm: ok e::a 1",
                    "tcpstate-vm: done status=1 tests=1",
                ]),
                false,
                "garbled",
            ),
        ] {
            assert_eq!(after(&lines, timed_out).1, name, "{lines:?}");
        }
    }

    #[test]
    fn what_a_test_prints_is_told_from_what_comes_before_and_after() {
        let mut report = Report::default();
        for (line, kind) in [
            ("SeaBIOS", Line::Other),
            (START[1], Line::Hello),
            ("[    2.2] random: crng init done", Line::Other),
            ("tcpstate-vm: run soak", Line::Progress),
            ("  1   5000", Line::Printed),
            ("tcpstate-vm: ok soak 240000", Line::Progress),
            ("tcpstate-vm: done status=0 tests=1", Line::End),
            ("[  241.3] reboot: Power down", Line::Other),
        ] {
            assert_eq!(report.line(line), kind, "{line}");
        }
    }

    #[test]
    fn a_test_that_the_guest_did_not_survive_is_interrupted_and_shown() {
        let (report, _) = after(&with(&["half a line"]), true);
        assert_eq!(report.tests["e::a"], Verdict::Interrupted);
        assert_eq!(report.failures[0].1, ["half a line"]);
    }
}
