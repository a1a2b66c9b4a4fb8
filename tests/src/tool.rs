//! The tool as a child process: started, waited for, signalled, and never left behind.
mod copy;
mod lines;
mod run;

use std::{
    env,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use self::lines::Lines;
pub use self::{
    copy::{NOBODY, PublicCopy},
    run::Run,
};
use crate::{Line, PATIENCE, host, privilege};

/// The tool, running.
pub struct Tool {
    pid: u32,
    what: String,
    stdout: Lines,
    stderr: Lines,
    /// How it ended, from the thread that waits for that.
    exit: Receiver<ExitStatus>,
    ended: Option<ExitStatus>,
}

/// The command line `tcpstate ARGS`.
///
/// # Panics
/// `TCPSTATE_BIN` does not name the tool.
#[must_use]
pub fn command(args: &[&str]) -> Command {
    let path = env::var_os("TCPSTATE_BIN").expect(
        "TCPSTATE_BIN must name the tool's binary; `cargo xtask e2e` builds it and sets this",
    );
    let mut command = Command::new(path);
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
///
/// # Panics
/// It does not start or does not end.
pub fn run(command: Command) -> Run {
    Tool::launch(command).finish()
}

impl Tool {
    /// Starts an event command and waits until it is ready.
    ///
    /// # Panics
    /// It fails instead.
    #[must_use]
    pub fn start(args: &[&str]) -> Self {
        privilege::demand();
        let tool = Self::launch(command(args));
        tool.await_ready();
        tool
    }

    /// Starts `trace --json --summary` with more options and waits until it is ready.
    ///
    /// # Panics
    /// It fails instead.
    #[must_use]
    pub fn trace(more: &[&str]) -> Self {
        Self::start(&[&["trace", "--json", "--summary"], more].concat())
    }

    /// Starts a command. Its output is read all the time, so that it never has to wait for us.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn launch(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::spawn(&mut command)
    }

    /// The same with a standard output of the caller's choice.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn launch_into(stdout: impl Into<Stdio>, mut command: Command) -> Self {
        command.stdout(stdout).stderr(Stdio::piped());
        Self::spawn(&mut command)
    }

    fn spawn(command: &mut Command) -> Self {
        let what = format!("{command:?}");
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("starting {what}: {error}"));
        let (sender, exit) = channel();
        let tool = Self {
            pid: child.id(),
            what,
            stdout: Lines::of(child.stdout.take()),
            stderr: Lines::of(child.stderr.take()),
            exit,
            ended: None,
        };
        thread::spawn(move || sender.send(wait(&mut child)));
        tool
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its resident memory, in bytes.
    ///
    /// # Panics
    /// It has ended.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        host::resident_bytes(self.pid)
    }

    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// It ends or is silent.
    pub fn await_ready(&self) {
        if self
            .stderr
            .wait_for(|line| line.starts_with("tcpstate: ready"))
            .is_none()
        {
            panic!("{} does not get ready: {}", self.what, self.messages());
        }
    }

    /// Waits for a line of standard error, and returns it.
    ///
    /// # Panics
    /// It does not come; `what` says what.
    pub fn wait_for_message(&self, what: &str, wanted: impl FnMut(&str) -> bool) -> String {
        self.stderr
            .wait_for(wanted)
            .unwrap_or_else(|| panic!("{} does not say {what}: {}", self.what, self.messages()))
    }

    /// Waits for a line of standard output, and returns it; those that came before the call count too.
    ///
    /// # Panics
    /// It does not come; `what` says what.
    pub fn wait_for(&self, what: &str, wanted: impl FnMut(&str) -> bool) -> String {
        self.stdout.wait_for(wanted).unwrap_or_else(|| {
            panic!(
                "{} does not print {what}; it printed:\n{}\n{}",
                self.what,
                self.stdout.all().join("\n"),
                self.messages()
            )
        })
    }

    /// Waits for a transition in the namespace with this inode, as JSON.
    ///
    /// # Panics
    /// It does not come.
    pub fn wait_for_edge(&self, netns: u32, edge: &str) -> Line {
        let mut found = None;
        self.wait_for(edge, |text| {
            let line = Line::read(text);
            let wanted = line.netns == netns && line.edge() == edge;
            found = Some(line);
            wanted
        });
        found.expect("a line was found")
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// It has ended.
    pub fn signal(&self, signal: Signal) {
        kill(self.nix_pid(), signal).unwrap_or_else(|error| {
            panic!("{signal} to {}: {error}: {}", self.what, self.messages())
        });
    }

    /// Ends it as Ctrl-C does.
    ///
    /// # Panics
    /// It does not end.
    pub fn stop(self) -> Run {
        self.signal(Signal::SIGINT);
        self.finish()
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// It does not end.
    pub fn finish(mut self) -> Run {
        match self.exit.recv_timeout(PATIENCE) {
            Ok(status) => self.ended = Some(status),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                panic!("{} does not end: {}", self.what, self.messages());
            }
        }
        Run {
            what: self.what.clone(),
            status: self.ended.expect("it has just ended"),
            stdout: self.stdout.end(),
            stderr: self.stderr.end(),
        }
    }

    fn nix_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.pid).expect("process ids are small"))
    }

    fn messages(&self) -> String {
        format!("its messages:\n{}", self.stderr.all().join("\n"))
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // Not if it has been waited for: the number may be another process's by now.
        if self.ended.is_none() && self.exit.try_recv().is_err() {
            let _ = kill(self.nix_pid(), Signal::SIGKILL);
            let _ = self.exit.recv_timeout(PATIENCE);
        }
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    child.wait().expect("waiting for a child of our own")
}
