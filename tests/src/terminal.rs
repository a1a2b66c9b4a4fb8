//! The tool on a terminal of its own: a pseudo-terminal whose output an emulator turns into what a user sees.
use std::{
    env,
    fmt::Debug,
    io::{Read, Write},
    num::NonZeroU16,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Instant,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use portable_pty::{
    Child, CommandBuilder, ExitStatus, MasterPty, PtySize, SlavePty, native_pty_system,
};

use crate::{PATIENCE, privilege};

/// What stands on the terminal before the tool starts.
pub const PROMPT: &str = "root@host:~# tcpstate top";

/// The tool on its terminal.
pub struct Terminal {
    seen: Arc<Seen>,
    reader: Option<JoinHandle<()>>,
    writer: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    /// The terminal's own handle, as a shell holds it: the terminal outlives the tool.
    slave: Option<Box<dyn SlavePty + Send>>,
    child: Box<dyn Child + Send + Sync>,
    ended: bool,
}

/// What has been seen so far.
struct Seen {
    emulator: Mutex<vt100::Parser>,
    changed: Condvar,
}

/// What the tool has left behind.
#[derive(Debug)]
pub struct Left {
    /// How it ended.
    pub status: ExitStatus,
    /// The lines on the terminal.
    pub lines: Vec<String>,
}

impl Terminal {
    /// Starts `tcpstate ARGS` on a terminal of this size.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(args: &[&str], columns: u16, rows: u16) -> Self {
        privilege::demand();
        let pair = native_pty_system()
            .openpty(size(columns, rows))
            .expect("opening a pseudo-terminal");
        let path = env::var_os("TCPSTATE_BIN").expect("TCPSTATE_BIN must name the tool's binary");
        let mut command = CommandBuilder::new(path);
        command.args(args);
        command.env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR");
        let (height, width) = cells(columns, rows);
        let mut emulator = vt100::Parser::new(height, width, 0);
        emulator.process(format!("{PROMPT}\r\n").as_bytes());
        let seen = Arc::new(Seen {
            emulator: Mutex::new(emulator),
            changed: Condvar::new(),
        });
        let output = pair.master.try_clone_reader().expect("reading");
        let reader = thread::spawn({
            let seen = Arc::clone(&seen);
            move || read(output, &seen)
        });
        let child = pair
            .slave
            .spawn_command(command)
            .expect("starting the tool");
        Self {
            seen,
            reader: Some(reader),
            writer: pair.master.take_writer().expect("writing"),
            master: pair.master,
            slave: Some(pair.slave),
            child,
            ended: false,
        }
    }

    /// The modes of the terminal: echo, line editing and so on.
    ///
    /// # Panics
    /// The terminal does not say.
    pub fn modes(&self) -> impl Debug + PartialEq + use<> {
        self.master.get_termios().expect("a terminal has modes")
    }

    /// Waits for a picture that `wanted` finds something in.
    ///
    /// # Panics
    /// It does not come.
    pub fn wait_for<T>(&self, what: &str, wanted: impl Fn(&[String]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut emulator = self.seen.lock();
        loop {
            let lines = lines(&emulator);
            if let Some(found) = wanted(&lines) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} in:\n{}", lines.join("\n"));
            emulator = self
                .seen
                .changed
                .wait_timeout(emulator, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for a picture with these words, and returns its lines.
    ///
    /// # Panics
    /// It does not come.
    pub fn wait_for_words(&self, words: &str) -> Vec<String> {
        self.wait_for(words, |lines| {
            let there = lines.iter().any(|line| line.contains(words));
            there.then(|| lines.to_vec())
        })
    }

    /// Types.
    ///
    /// # Panics
    /// The terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.writer
            .write_all(keys.as_bytes())
            .and_then(|()| self.writer.flush())
            .expect("typing");
    }

    /// Changes the size of the terminal.
    ///
    /// # Panics
    /// The kernel refuses.
    pub fn resize(&self, columns: u16, rows: u16) {
        let (height, width) = cells(columns, rows);
        self.seen.lock().set_size(height, width);
        self.master
            .resize(size(columns, rows))
            .expect("resizing the terminal");
    }

    /// Whether the tool has the terminal: its alternate screen, without a cursor.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        let emulator = self.seen.lock();
        emulator.screen().alternate_screen() && emulator.screen().hide_cursor()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// The tool has ended.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("sending a signal");
    }

    /// Waits for the end, and checks that the screen and the cursor are given back. The terminal's modes can still be
    /// asked for.
    ///
    /// # Panics
    /// They are not, or the tool does not end.
    pub fn finish(&mut self) -> Left {
        let status = self.wait();
        self.ended = true;
        // Everything that it has written is read before this.
        let lines = self.wait_for("summary on the screen from before", |lines| {
            // A terminal that was made narrower has cut it.
            let first = lines.first().filter(|line| !line.is_empty())?;
            let back = PROMPT.starts_with(first.as_str());
            (back && lines.concat().ends_with(" s CPU")).then(|| lines.to_vec())
        });
        let emulator = self.seen.lock();
        let screen = emulator.screen();
        assert!(!screen.alternate_screen(), "still on the alternate screen");
        assert!(!screen.hide_cursor(), "the cursor stays hidden");
        assert!(!screen.bracketed_paste(), "paste mode stays on");
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
        Left { status, lines }
    }

    fn wait(&mut self) -> ExitStatus {
        crate::poll_until("the tool to end", || {
            match self
                .child
                .try_wait()
                .expect("waiting for a child of our own")
            {
                Some(status) => Ok(status),
                None => Err(lines(&self.seen.lock()).join("\n")),
            }
        })
    }

    /// The tool's process.
    ///
    /// # Panics
    /// The tool has ended.
    #[must_use]
    pub fn pid(&self) -> Pid {
        let pid = self.child.process_id().expect("a child has an id");
        Pid::from_raw(i32::try_from(pid).expect("process ids are small"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        drop(self.slave.take()); // the last handle: the reader sees the end
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Seen {
    /// A panic of a test while it holds the lock leaves nothing half done here.
    fn lock(&self) -> MutexGuard<'_, vt100::Parser> {
        self.emulator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(mut output: Box<dyn Read + Send>, seen: &Seen) {
    let mut bytes = [0; 4096];
    // The end of a pseudo-terminal is an error.
    while let Ok(length @ 1..) = output.read(&mut bytes) {
        seen.lock().process(&bytes[..length]);
        seen.changed.notify_all();
    }
}

fn lines(emulator: &vt100::Parser) -> Vec<String> {
    let screen = emulator.screen();
    let width = screen.size().1.get();
    screen
        .rows(0, width)
        .map(|line| line.trim_end().to_owned())
        .collect()
}

const fn size(columns: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols: columns,
        pixel_width: 0,
        pixel_height: 0,
    }
}

fn cells(columns: u16, rows: u16) -> (NonZeroU16, NonZeroU16) {
    let cells = |count| NonZeroU16::new(count).expect("a terminal has cells");
    (cells(rows), cells(columns))
}
