//! The terminal while the view has it: an alternate screen drawn by a thread of its own, so that a slow terminal never
//! stalls the measurement; and given back as it was found, whatever ends the program.
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    panic,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, TryRecvError, sync_channel},
    },
};

use crossterm::{
    cursor::{Hide, Show},
    execute, queue,
    terminal::{
        BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
        disable_raw_mode, enable_raw_mode,
    },
};
use log::LevelFilter;
use nix::{
    fcntl::OFlag,
    poll::{PollFd, PollFlags, poll},
};
use ratatui::{Terminal, backend::CrosstermBackend};

use super::{draw, model::Picture, palette::Palette};
use crate::privilege;

/// How long a terminal that takes nothing is waited for before it is asked whether the end has come.
const PATIENCE_MS: u8 = 50;

/// Whether the view has the terminal: then the level of messages from before, which are held back meanwhile. Every byte
/// for the terminal is written under this lock.
static TAKEN: Mutex<Option<LevelFilter>> = Mutex::new(None);
/// The terminal is to be given back: a picture that it does not take is given up.
static ENDING: AtomicBool = AtomicBool::new(false);

/// The terminal, taken.
pub struct Screen {
    slot: Arc<Slot>,
    /// How the thread that draws ended.
    ended: Receiver<io::Result<()>>,
}

/// The next picture for the thread that draws. A newer one takes the place of one that was not drawn yet.
#[derive(Default)]
struct Slot {
    next: Mutex<Next>,
    changed: Condvar,
}

#[derive(Default)]
struct Next {
    picture: Option<Picture>,
    end: bool,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// It cannot be set up.
    pub fn take(palette: Palette) -> io::Result<Self> {
        give_back_on_panic();
        let frames = Frames::open()?;
        let slot = Arc::new(Slot::default());
        let (sender, ended) = sync_channel(1);
        let screen = Self {
            slot: Arc::clone(&slot),
            ended,
        };
        {
            let mut taken = lock(&TAKEN);
            ENDING.store(false, Ordering::Relaxed);
            enable_raw_mode()?;
            *taken = Some(log::max_level());
            log::set_max_level(LevelFilter::Off); // a message would land in the middle of the picture
            execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        }
        privilege::spawn("screen", move || {
            // Nobody asks any more once the screen is given back.
            let _ = sender.send(draw_all(&slot, frames, palette));
        })?;
        Ok(screen)
    }

    /// Has `picture` drawn as soon as the terminal has taken the one before.
    pub fn show(&self, picture: Picture) {
        lock(&self.slot.next).picture = Some(picture);
        self.slot.changed.notify_one();
    }

    /// Why nothing is drawn any more, if that is so.
    pub fn failure(&self) -> Option<io::Error> {
        match self.ended.try_recv() {
            Ok(Err(error)) => Some(error),
            Ok(Ok(())) | Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                Some(io::Error::other("the thread that draws has panicked"))
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        lock(&self.slot.next).end = true;
        self.slot.changed.notify_one();
        give_back();
    }
}

/// Draws each picture until the end.
fn draw_all(slot: &Slot, frames: Frames, palette: Palette) -> io::Result<()> {
    let mut terminal = Terminal::new(CrosstermBackend::new(frames))?;
    while let Some(picture) = slot.wait() {
        queue!(terminal.backend_mut(), BeginSynchronizedUpdate)?;
        terminal.draw(|frame| draw::draw(frame, &picture, palette))?;
        queue!(terminal.backend_mut(), EndSynchronizedUpdate)?;
        Write::flush(terminal.backend_mut())?;
    }
    Ok(())
}

impl Slot {
    /// Waits for the next picture; `None` at the end.
    fn wait(&self) -> Option<Picture> {
        let mut next = lock(&self.next);
        while !next.end && next.picture.is_none() {
            next = self
                .changed
                .wait(next)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if next.end { None } else { next.picture.take() }
    }
}

/// Gathers what belongs together and writes it at once, unless the terminal is being given back.
struct Frames {
    bytes: Vec<u8>,
    /// The terminal, opened anew: only so can it be written to without waiting, and nobody else is touched by that.
    terminal: File,
}

impl Frames {
    fn open() -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options
            .write(true)
            .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
        let terminal = options
            .open("/proc/self/fd/1")
            .or_else(|_| options.open("/dev/tty"))?; // that of another user
        Ok(Self {
            bytes: Vec::new(),
            terminal,
        })
    }
}

impl Write for Frames {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let taken = lock(&TAKEN);
        let mut rest = &self.bytes[..];
        while taken.is_some() && !ENDING.load(Ordering::Relaxed) && !rest.is_empty() {
            match self.terminal.write(rest) {
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut room = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLOUT)];
                    let _ = poll(&mut room, PATIENCE_MS); // a signal ends it early: that is no harm
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.clear();
        Ok(())
    }
}

/// Makes every panic give the terminal back before its message is printed.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            give_back();
            print(info);
        }));
    });
}

/// Leaves the terminal as it was found. Once: a second time would move the cursor of whoever has it by then.
fn give_back() {
    ENDING.store(true, Ordering::Relaxed);
    let mut taken = lock(&TAKEN);
    if let Some(level) = taken.take() {
        // Nothing can be done about a terminal that has gone.
        let _ = execute!(
            io::stdout(),
            EndSynchronizedUpdate,
            LeaveAlternateScreen,
            Show
        );
        let _ = disable_raw_mode();
        log::set_max_level(level);
    }
}

/// A panic elsewhere leaves nothing half done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{env, io::Read as _, thread, time::Duration};

    use portable_pty::{CommandBuilder, PtySize, native_pty_system};

    use super::{super::model::Model, *};

    const LEAVE: &str = "\u{1b}[?1049l";
    const CHILD: &str = "view::top::screen::tests::child_that_panics";

    #[test]
    #[ignore = "the test below starts it on a terminal of its own"]
    fn child_that_panics() {
        let screen = Screen::take(Palette::new(true)).expect("a terminal");
        screen.show(Model::new(Duration::from_secs(1), Vec::new()).picture());
        panic!("forced panic");
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_its_message() {
        let pair = native_pty_system()
            .openpty(PtySize::default())
            .expect("a pseudo-terminal");
        let before = pair.master.get_termios();
        let mut command = CommandBuilder::new(env::current_exe().expect("this test's path"));
        command.args(["--exact", CHILD, "--ignored", "--nocapture"]);
        let mut output = pair.master.try_clone_reader().expect("reading");
        let mut child = pair.slave.spawn_command(command).expect("starting it");
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = output.read_to_end(&mut bytes); // the end of a pseudo-terminal is an error
            bytes
        });
        let status = child.wait().expect("waiting for a child of our own");
        assert_eq!(pair.master.get_termios(), before);
        drop(pair);
        let text = String::from_utf8_lossy(&reader.join().expect("reading")).into_owned();
        assert!(!status.success(), "{text}");
        let [taken, after] = text.split(LEAVE).collect::<Vec<_>>()[..] else {
            panic!("the screen is not left once: {text:?}")
        };
        assert!(taken.contains("\u{1b}[?1049h"), "{text:?}");
        assert!(after.contains("forced panic"), "{text:?}");
        assert!(after.contains("\u{1b}[?25h"), "no cursor: {text:?}");
    }
}
