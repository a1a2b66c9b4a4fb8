//! One guest, from power-on to power-off: starts the emulator, watches its console, ends it when its time is up.
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::matrix::{Clock, Machine, Matrix};
use super::report::{Line, Report, Trouble};

/// From init's last word to the end of the emulator.
const POWER_OFF: Duration = Duration::from_secs(30);
/// Init ends a test that takes too long; so long do we wait for it to say so.
const GRACE: Duration = Duration::from_secs(60);

/// What is needed to start a guest.
pub(crate) struct Guest<'a> {
    /// How it is called on the screen.
    pub(crate) title: String,
    pub(crate) machine: &'a Machine,
    pub(crate) matrix: &'a Matrix,
    pub(crate) clock: Clock,
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
    /// A disk for it to read. What it writes is forgotten.
    pub(crate) disk: Option<PathBuf>,
    /// Where its console is kept.
    pub(crate) log: PathBuf,
    /// What it may take to come to its init.
    pub(crate) boot_seconds: u64,
    /// The words that its init is called with.
    pub(crate) init: String,
    /// What its test prints is passed on as it comes, and each line is a sign of life: for one that runs longer than a test
    /// may, and prints all the time.
    pub(crate) passes_on: bool,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) report: Report,
    /// From power-on to init.
    pub(super) boot: Option<Duration>,
    /// What is wrong with the guest itself.
    pub(super) trouble: Option<Trouble>,
}

impl Guest<'_> {
    /// Runs it.
    pub(super) fn run(&self) -> anyhow::Result<Outcome> {
        let mut log = File::create(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        let start = Instant::now();
        let mut emulator = Emulator::start(&mut self.command())
            .with_context(|| format!("cannot start {}", self.machine.qemu[0]))?;
        let lines = emulator.lines()?;

        let test_limit = Duration::from_secs(self.matrix.test_seconds) + GRACE;
        let mut deadline = start + Duration::from_secs(self.boot_seconds);
        let mut report = Report::default();
        let mut boot = None;
        let timed_out = loop {
            let line = match lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => break false,
                Err(RecvTimeoutError::Timeout) => break true,
            };
            writeln!(log, "{line}")
                .with_context(|| format!("cannot write {}", self.log.display()))?;
            let now = Instant::now();
            match report.line(&line) {
                Line::Hello => {
                    boot = Some(now - start);
                    deadline = now + test_limit;
                    self.tell(&format!("booted in {:.1} s", (now - start).as_secs_f64()));
                }
                Line::Progress => deadline = now + test_limit,
                Line::Printed if self.passes_on => {
                    println!("{line}");
                    deadline = now + test_limit;
                }
                Line::End => deadline = now + POWER_OFF,
                Line::Printed | Line::Other => {}
            }
        };
        drop(emulator);
        let trouble = report.end(timed_out);
        let end = trouble.as_ref().map_or("done", |trouble| &trouble.long);
        self.tell(&format!(
            "{end}, after {:.1} s",
            start.elapsed().as_secs_f64()
        ));
        Ok(Outcome {
            report,
            boot,
            trouble,
        })
    }

    fn command(&self) -> Command {
        let mut qemu = Command::new(&self.machine.qemu[0]);
        qemu.args(&self.machine.qemu[1..])
            .args(self.matrix.clock(self.clock))
            .args(["-m", "1024", "-smp", "2", "-no-reboot", "-nic", "none"])
            .args(["-display", "none", "-monitor", "none", "-serial", "stdio"]);
        qemu.arg("-kernel").arg(&self.kernel);
        qemu.arg("-initrd").arg(&self.initramfs);
        // A kernel that stumbles must not go on: an oops is a panic, and a panic ends the emulator.
        qemu.arg("-append").arg(format!(
            "{} panic=-1 oops=panic -- {}",
            self.machine.append, self.init
        ));
        if let Some(disk) = &self.disk {
            let drive = format!("if=virtio,format=raw,snapshot=on,file={}", disk.display());
            qemu.args(["-drive", &drive]);
        }
        qemu
    }

    fn tell(&self, what: &str) {
        eprintln!("vm: {}: {what}", self.title);
    }
}

/// A running emulator, which does not outlive us.
struct Emulator(Child);

impl Emulator {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        Ok(Self(child))
    }

    /// The lines of its console, up to its end.
    fn lines(&mut self) -> anyhow::Result<mpsc::Receiver<String>> {
        let console = self.0.stdout.take().context("its output is piped")?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            // By bytes: early consoles print what is no UTF-8. The end of input or of interest ends the thread.
            for line in BufReader::new(console).split(b'\n') {
                let Ok(line) = line else { return };
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(receiver)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It has ended already, or has to.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
