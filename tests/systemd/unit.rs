//! A unit of the package: started and stopped by `systemctl`, looked at from outside, and scraped.
use std::{net::SocketAddr, path::Path, process::Command};

use tcpstate_tests::{
    Samples, http, poll_until,
    task::{self, Task},
    traffic::V4,
};

/// The port of `serve`.
const PORT: u16 = 9817;
/// User ids that systemd gives to dynamic users.
const DYNAMIC_UIDS: std::ops::RangeInclusive<u32> = 61_184..=65_519;

/// A unit that has been started.
pub(crate) struct Unit {
    pub(crate) name: &'static str,
    pid: u32,
    /// What systemd calls this run of it.
    invocation: String,
}

impl Unit {
    /// Starts it, and waits until it measures: it answers no scrape before.
    pub(crate) fn start(name: &'static str) -> Self {
        run("systemctl", &["start", name]);
        let unit = Self {
            name,
            pid: property(name, "MainPID").parse().expect("a process id"),
            invocation: property(name, "InvocationID"),
        };
        poll_until("an answer", || {
            let state = property(name, "ActiveState");
            assert_eq!(state, "active", "{}", unit.journal());
            let answer = http::try_get(address(), "/metrics", &[]);
            let answer = answer.map_err(|error| error.to_string())?;
            (answer.status == 200).then_some(()).ok_or(answer.body)
        });
        unit
    }

    /// What it shows now.
    pub(crate) fn scrape(&self) -> Samples {
        Samples::scrape(address())
    }

    /// It is a user of its own, may gain nothing, and none of its threads has a capability left, but those of its helper,
    /// which has these and no others. What could be had at all is `bounding`.
    pub(crate) fn assert_confined(&self, bounding: u64, helper: Option<u64>) {
        assert_eq!(property(self.name, "DynamicUser"), "yes");
        let mut tasks: Vec<(Task, u64)> = Vec::new();
        tasks.extend(
            Task::all(self.pid)
                .into_iter()
                .map(|task| (task, task::measuring())),
        );
        let child = task::helper(self.pid);
        assert_eq!(child.is_some(), helper.is_some(), "{child:?}");
        if let (Some(child), Some(capabilities)) = (child, helper) {
            tasks.extend(
                Task::all(child)
                    .into_iter()
                    .map(|task| (task, capabilities)),
            );
        }
        for (task, capabilities) in &tasks {
            task.assert_confined(*capabilities);
            assert_eq!(task.set("CapBnd:"), bounding, "{task:#?}");
            for uid in task.field("Uid:").split_whitespace() {
                let uid: u32 = uid.parse().expect("a user id");
                assert!(DYNAMIC_UIDS.contains(&uid), "user {uid}: {task:#?}");
            }
            println!("{}: {}: CapEff {capabilities:016x}", self.name, task.name);
        }
    }

    /// systemd's own judgement of what it may do, from 0 (nothing) to 100.
    pub(crate) fn assert_rated(&self, at_most: u32) {
        let path = property(self.name, "FragmentPath");
        let threshold = format!("--threshold={at_most}");
        let words = [
            "security",
            "--offline=true",
            "--no-pager",
            &threshold,
            &path,
        ];
        let judgement = run("systemd-analyze", &words);
        println!("{}", judgement.lines().last().unwrap_or_default());
    }

    /// Ends it, cleanly.
    pub(crate) fn stop(self) {
        run("systemctl", &["stop", self.name]);
        self.assert_stopped();
    }

    /// It has ended by itself when it was asked to, having measured all the time. What systemd knows of a unit is forgotten
    /// with the unit; the journal tells.
    pub(crate) fn assert_stopped(&self) {
        assert_eq!(property(self.name, "ActiveState"), "inactive");
        assert!(!self.process_exists(), "it runs on");
        let journal = self.journal();
        for end in [" 0 lost,", ": Deactivated successfully."] {
            assert!(journal.contains(end), "no `{end}` in:\n{journal}");
        }
    }

    /// What it has said, and systemd about it, in this run.
    fn journal(&self) -> String {
        run("journalctl", &["--sync"]);
        let by_it = format!("_SYSTEMD_INVOCATION_ID={}", self.invocation);
        let about_it = format!("INVOCATION_ID={}", self.invocation);
        let words = ["--no-pager", "--output=cat", &by_it, "+", &about_it];
        run("journalctl", &words)
    }

    pub(crate) fn process_exists(&self) -> bool {
        Path::new(&format!("/proc/{}", self.pid)).exists()
    }
}

fn address() -> SocketAddr {
    SocketAddr::new(V4, PORT)
}

/// Runs a program, which has to succeed, and returns what it prints.
pub(crate) fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program)
        .args(words)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let (out, err) = (output.stdout, output.stderr);
    let (out, err) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    assert!(output.status.success(), "{program} {words:?}: {out}{err}");
    out.trim().to_owned()
}

/// What systemd knows of a unit.
pub(crate) fn property(unit: &str, name: &str) -> String {
    run("systemctl", &["show", "--value", "--property", name, unit])
}
