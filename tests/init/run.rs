//! Runs the tests: each in a process group of its own, with a time limit, and nothing left behind. One after the other, so
//! that none sees another's traffic.
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::kmsg::Kmsg;
use crate::{machine, say};

/// Between two looks at a child that has begun or is ending …
const PAUSE: Duration = Duration::from_millis(10);
/// … and at one that runs for long: a hundredth of its time, but no more than this. Where the clock leaps over idle time,
/// hours are over the sooner the less wakes the machine.
const LONG_PAUSE: Duration = Duration::from_secs(1);

/// How it went.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) run: usize,
    pub(crate) failed: usize,
}

struct Test {
    executable: PathBuf,
    /// What makes the executable run it.
    args: Vec<String>,
    /// As the host knows it: one of many in an executable has the executable's name before its own.
    full_name: String,
}

/// Runs all tests of the executables in /tests whose full names contain a part of `filter`, which are separated by commas.
pub(crate) fn all(filter: &str, limit: Duration) -> anyhow::Result<Tally> {
    let mut tests = Vec::new();
    for executable in machine::sorted(Path::new("/tests"))? {
        tests.extend(plan(&executable, filter)?);
    }
    let mut kmsg = Kmsg::open()?;
    let mut tally = Tally::default();
    for test in &tests {
        tally.add(run_told(test, limit, &mut kmsg));
    }
    Ok(tally)
}

/// Runs the soak. It ends by itself, and the host notices when it falls silent: it has no time limit here.
pub(crate) fn soak(options: &[&str]) -> anyhow::Result<Tally> {
    let soak = Test {
        executable: "/bin/soak".into(),
        args: options.iter().map(|&option| option.to_owned()).collect(),
        full_name: "soak".to_owned(),
    };
    let mut tally = Tally::default();
    tally.add(run_told(&soak, Duration::MAX, &mut Kmsg::open()?));
    Ok(tally)
}

impl Tally {
    fn add(&mut self, passed: bool) {
        self.run += 1;
        self.failed += usize::from(!passed);
    }
}

/// Runs a test whose output goes to the console, and says whether it has passed.
fn run_told(test: &Test, limit: Duration, kmsg: &mut Kmsg) -> bool {
    say(&format!("run {}", test.full_name));
    let start = Instant::now();
    let verdict = run(test, limit);
    let messages = kmsg.news();
    if verdict.is_err() {
        for message in messages {
            println!("kernel: {message}");
        }
    }
    told(test, start, verdict)
}

/// Tells the host the verdict, and returns whether the test has passed.
fn told(test: &Test, start: Instant, verdict: anyhow::Result<()>) -> bool {
    let milliseconds = start.elapsed().as_millis();
    match &verdict {
        Ok(()) => say(&format!("ok {} {milliseconds}", test.full_name)),
        Err(error) => say(&format!(
            "failed {} {milliseconds} {error:#}",
            test.full_name
        )),
    }
    verdict.is_ok()
}

/// Announces the tests of one executable, and returns those to run.
fn plan(executable: &Path, filter: &str) -> anyhow::Result<Vec<Test>> {
    let file = executable.file_name().context("a file has a name")?;
    let ignored = list(executable, &["--ignored"])?;
    let mut tests = Vec::new();
    for name in list(executable, &[])? {
        let full_name = format!("{}::{name}", file.display());
        if !filter.split(',').any(|part| full_name.contains(part)) {
            continue;
        }
        if ignored.contains(&name) {
            say(&format!("ignored {full_name}"));
            continue;
        }
        say(&format!("plan {full_name}"));
        tests.push(Test {
            executable: executable.to_owned(),
            args: ["--exact", &name, "--nocapture", "--test-threads=1"]
                .map(str::to_owned)
                .into(),
            full_name,
        });
    }
    Ok(tests)
}

fn list(executable: &Path, options: &[&str]) -> anyhow::Result<Vec<String>> {
    let output = Command::new(executable)
        .args(["--list", "--format", "terse"])
        .args(options)
        .output()
        .with_context(|| format!("cannot run {executable:?}"))?;
    anyhow::ensure!(
        output.status.success(),
        "{executable:?} cannot list its tests: {}",
        output.status
    );
    let text = String::from_utf8(output.stdout)
        .with_context(|| format!("{executable:?} does not list its tests as UTF-8"))?;
    let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(str::to_owned).collect())
}

/// Runs a test to its end, and ends whatever it has left running.
fn run(test: &Test, limit: Duration) -> anyhow::Result<()> {
    let child = Command::new(&test.executable)
        .args(&test.args)
        .env_clear()
        .envs([
            ("PATH", "/bin"),
            ("HOME", "/tmp"),
            ("TERM", "dumb"),
            ("RUST_BACKTRACE", "1"),
            ("TCPSTATE_BIN", "/bin/tcpstate"),
        ])
        .current_dir("/tmp")
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {:?}", test.executable))?;
    let child = Pid::from_raw(i32::try_from(child.id()).context("a process id is small")?);
    let verdict = watch(child, limit);
    sweep(child);
    verdict
}

/// Waits for a test.
fn watch(child: Pid, limit: Duration) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        // Any of its group: orphans are ours, and have to be reaped while the test runs.
        match waitpid(group(child), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => {
                anyhow::ensure!(code == 0, "exit status {code}");
                return Ok(());
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                anyhow::bail!("killed by {signal}");
            }
            Ok(WaitStatus::StillAlive) => {}
            Ok(_) => continue,
            Err(error) => return Err(error).context("cannot wait for the test"),
        }
        anyhow::ensure!(
            start.elapsed() < limit,
            "timed out after {} s",
            limit.as_secs()
        );
        sleep((start.elapsed() / 100).clamp(PAUSE, LONG_PAUSE));
    }
}

/// Ends whatever a test has left running, so that the next one does not see it.
fn sweep(child: Pid) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        // Nobody there is what we want: no error worth a word.
        let _ = killpg(child, Signal::SIGKILL);
        while let Ok(status) = waitpid(group(child), Some(WaitPidFlag::WNOHANG)) {
            if status == WaitStatus::StillAlive {
                break;
            }
        }
        if waitpid(group(child), Some(WaitPidFlag::WNOHANG)) == Err(Errno::ECHILD) {
            return;
        }
        sleep(PAUSE);
    }
}

/// The process group of a test, as `waitpid` wants it.
fn group(child: Pid) -> Pid {
    Pid::from_raw(-child.as_raw())
}
