//! A unit of the package: started and stopped by `systemctl`, looked at from outside, and scraped.
use std::{fs, net::SocketAddr, path::Path, process::Command};

use tcpstate_tests::{Samples, http, poll_until, traffic::V4};

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

    /// It is a user of its own, may gain nothing, and each of its threads has these capabilities and no others.
    pub(crate) fn assert_confined(&self, capabilities: u64) {
        assert_eq!(property(self.name, "DynamicUser"), "yes");
        let mut tasks = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid)).expect("its threads") {
            let path = task.expect("a thread").path().join("status");
            let status = fs::read_to_string(&path).expect("its status");
            let of = |field: &str| -> Vec<&str> {
                let line = status.lines().find_map(|line| line.strip_prefix(field));
                line.expect("the kernel tells it")
                    .split_whitespace()
                    .collect()
            };
            for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
                let has = u64::from_str_radix(of(set)[0], 16).expect("a bit set");
                assert_eq!(
                    has, capabilities,
                    "{set} {has:x} and not {capabilities:x}, {path:?}"
                );
            }
            for uid in of("Uid:") {
                let uid: u32 = uid.parse().expect("a user id");
                assert!(DYNAMIC_UIDS.contains(&uid), "user {uid}, {path:?}");
            }
            assert_eq!(of("NoNewPrivs:"), ["1"], "{path:?}");
            assert_eq!(of("Seccomp:"), ["2"], "a filter of system calls, {path:?}");
            tasks += 1;
        }
        println!("{}: {tasks} threads, CapEff {capabilities:016x}", self.name);
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
