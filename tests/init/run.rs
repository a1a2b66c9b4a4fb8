//! Runs the tests: each in a process of its own, one after the other, with a time limit, and nothing left behind.
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::kmsg::Kmsg;
use crate::{machine, say};

/// Between two looks at the children.
const PAUSE: Duration = Duration::from_millis(10);

/// How it went.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) run: usize,
    pub(crate) failed: usize,
}

struct Test {
    executable: PathBuf,
    /// As the executable knows it.
    name: String,
    /// With the executable's name before it.
    full_name: String,
}

/// Runs all tests of the executables in /tests whose full names contain `filter`.
pub(crate) fn all(filter: &str, limit: Duration) -> anyhow::Result<Tally> {
    let mut tests = Vec::new();
    for executable in machine::sorted(Path::new("/tests"))? {
        tests.extend(plan(&executable, filter)?);
    }
    let mut kmsg = Kmsg::open()?;
    let mut tally = Tally::default();
    for test in &tests {
        say(&format!("run {}", test.full_name));
        let start = Instant::now();
        let verdict = run(test, limit);
        let milliseconds = start.elapsed().as_millis();
        sweep();
        let messages = kmsg.news();
        tally.run += 1;
        match verdict {
            Ok(()) => say(&format!("ok {} {milliseconds}", test.full_name)),
            Err(error) => {
                tally.failed += 1;
                for message in messages {
                    println!("kernel: {message}");
                }
                say(&format!(
                    "failed {} {milliseconds} {error:#}",
                    test.full_name
                ));
            }
        }
    }
    Ok(tally)
}

/// Announces the tests of one executable, and returns those to run.
fn plan(executable: &Path, filter: &str) -> anyhow::Result<Vec<Test>> {
    let file = executable.file_name().context("a file has a name")?;
    let ignored = list(executable, &["--ignored"])?;
    let mut tests = Vec::new();
    for name in list(executable, &[])? {
        let full_name = format!("{}::{name}", file.display());
        if !full_name.contains(filter) {
            continue;
        }
        if ignored.contains(&name) {
            say(&format!("ignored {full_name}"));
            continue;
        }
        say(&format!("plan {full_name}"));
        tests.push(Test {
            executable: executable.to_owned(),
            name,
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

fn run(test: &Test, limit: Duration) -> anyhow::Result<()> {
    let child = Command::new(&test.executable)
        .args(["--exact", &test.name, "--nocapture", "--test-threads=1"])
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
    let start = Instant::now();
    loop {
        // Any child: orphans are ours, and have to be reaped while the test runs.
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
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
        sleep(PAUSE);
    }
}

/// Ends whatever a test has left running, so that the next one does not see it.
fn sweep() {
    // From PID 1, -1 means everything but the kernel's own threads and ourselves.
    let everything = Pid::from_raw(-1);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        // Nobody there is what we want: no error worth a word.
        let _ = kill(everything, Signal::SIGKILL);
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            if status == WaitStatus::StillAlive {
                break;
            }
        }
        if waitpid(None, Some(WaitPidFlag::WNOHANG)) == Err(Errno::ECHILD) {
            return;
        }
        sleep(PAUSE);
    }
}
