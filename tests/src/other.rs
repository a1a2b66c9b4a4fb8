//! Other processes, which open, pass on and use sockets as a test tells them. There is no other program: the test's own
//! executable runs again, and there the one test that is marked as ignored, which has to call [`run`].
mod program;

use std::{
    env, fs,
    io::{BufRead as _, BufReader, IoSlice, Write as _},
    net::{IpAddr, SocketAddr},
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Child, Command, Stdio},
};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

pub use self::program::run;
use crate::{Namespace, PATIENCE, poll_until};

/// Name of the test that calls [`run`].
const PROGRAM: &str = "other_process";
/// The process's name.
const NAME: &str = "TCPSTATE_TESTS_NAME";
/// Set where standard error is a socket, which becomes the first.
const INHERITS: &str = "TCPSTATE_TESTS_INHERITS";

/// A process. It is killed with this value.
#[derive(Debug)]
pub struct Other {
    /// Our child; `None` if it is one of another's.
    child: Option<Child>,
    pid: u32,
    name: String,
    control: BufReader<UnixStream>,
}

/// A socket of a process, by number.
#[derive(Clone, Copy, Debug)]
pub struct Socket(usize);

impl Other {
    /// A process in `ns` that calls itself `name`, which is one word.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(ns: &Namespace, name: &str) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut command = command(name, theirs.into());
        let child = ns.run(|| command.spawn().expect("starting this executable again"));
        Self::greeted(Some(child), name, ours)
    }

    /// The same with a process id that was another's before and is free now.
    ///
    /// # Panics
    /// The kernel does not give it out.
    #[must_use]
    pub fn start_as(ns: &Namespace, name: &str, pid: u32) -> Self {
        const LAST: &str = "/proc/sys/kernel/ns_last_pid";
        // Whatever else starts on this machine may come first.
        poll_until("a process with that id", || {
            let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
            let mut command = command(name, theirs.into());
            let mut child = ns.run(|| {
                fs::write(LAST, (pid - 1).to_string())
                    .unwrap_or_else(|error| panic!("writing to {LAST}: {error}"));
                command.spawn().expect("starting this executable again")
            });
            if child.id() == pid {
                return Ok(Self::greeted(Some(child), name, ours));
            }
            let _ = child.kill();
            let _ = child.wait();
            Err(format!("{} instead of {pid}", child.id()))
        })
    }

    /// A child of this process that inherits `socket`, which is its [`Other::inherited`].
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn fork(&mut self, name: &str, socket: Socket) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let control = self.take(theirs);
        self.ask(&format!("fork {name} {} {}", control.0, socket.0));
        Self::greeted(None, name, ours)
    }

    /// The socket that it got from the process that forked it.
    #[must_use]
    pub fn inherited(&self) -> Socket {
        Socket(0)
    }

    fn greeted(child: Option<Child>, name: &str, control: UnixStream) -> Self {
        control
            .set_read_timeout(Some(PATIENCE))
            .expect("a stream takes a time limit");
        let mut other = Self {
            child,
            pid: 0,
            name: name.to_owned(),
            control: BufReader::new(control),
        };
        other.pid = other.answer("its greeting").parse().expect("a process id");
        other
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// It listens at a port that the kernel chooses.
    ///
    /// # Panics
    /// It cannot.
    pub fn listen(&mut self, ip: IpAddr) -> (Socket, SocketAddr) {
        let answer = self.ask(&format!("listen {ip}"));
        let (socket, address) = answer.split_once(' ').expect("two words");
        (
            number(socket),
            address.parse().expect("an address and a port"),
        )
    }

    /// It connects to `to`; returns its own address as well.
    ///
    /// # Panics
    /// It cannot.
    pub fn connect(&mut self, to: SocketAddr) -> (Socket, SocketAddr) {
        let answer = self.ask(&format!("connect {to}"));
        let (socket, address) = answer.split_once(' ').expect("two words");
        (
            number(socket),
            address.parse().expect("an address and a port"),
        )
    }

    /// It accepts a connection.
    ///
    /// # Panics
    /// None comes.
    pub fn accept(&mut self, listener: Socket) -> Socket {
        number(&self.ask(&format!("accept {}", listener.0)))
    }

    /// It takes over a socket of this process, over a Unix socket.
    ///
    /// # Panics
    /// The kernel refuses.
    pub fn take(&mut self, socket: impl Into<OwnedFd>) -> Socket {
        let socket = socket.into();
        self.ask("take"); // it reads nothing more before it has the socket
        let fds = [socket.as_fd().as_raw_fd()];
        let sent = sendmsg::<()>(
            self.control.get_ref().as_raw_fd(),
            &[IoSlice::new(b"!")],
            &[ControlMessage::ScmRights(&fds)],
            MsgFlags::empty(),
            None,
        );
        assert_eq!(sent, Ok(1), "passing a socket on");
        number(&self.answer("take"))
    }

    /// It passes a socket on to `to`, over a Unix socket, and closes its own.
    ///
    /// # Panics
    /// The kernel refuses.
    pub fn give(&mut self, socket: Socket, to: &mut Self) -> Socket {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let (from, into) = (self.take(ours), to.take(theirs));
        self.ask(&format!("give {} {}", socket.0, from.0));
        number(&to.ask(&format!("receive {}", into.0)))
    }

    /// It writes one byte.
    ///
    /// # Panics
    /// It cannot.
    pub fn write(&mut self, socket: Socket) {
        self.ask(&format!("write {}", socket.0));
    }

    /// It reads one byte, or sees the end.
    ///
    /// # Panics
    /// It cannot.
    pub fn read(&mut self, socket: Socket) {
        self.ask(&format!("read {}", socket.0));
    }

    /// It closes a socket.
    ///
    /// # Panics
    /// It has none.
    pub fn close(&mut self, socket: Socket) {
        self.ask(&format!("close {}", socket.0));
    }

    /// So many of its threads accept, read a byte, answer it, and close when the peer has closed; for ever.
    ///
    /// # Panics
    /// It cannot.
    pub fn serve(&mut self, listener: Socket, threads: usize) {
        self.ask(&format!("serve {} {threads}", listener.0));
    }

    /// It begins to make `count` connections from `from`, one after the other to each of `to`, of which the servers
    /// answer a byte; [`Other::loaded`] waits for the end.
    ///
    /// # Panics
    /// It is gone.
    pub fn load(&mut self, count: usize, from: IpAddr, to: &[SocketAddr]) {
        let to: Vec<String> = to.iter().map(SocketAddr::to_string).collect();
        self.say(&format!("load {count} {from} {}", to.join(" ")));
    }

    /// Waits for the end of [`Other::load`].
    ///
    /// # Panics
    /// It failed.
    pub fn loaded(&mut self) {
        self.answer("load");
    }

    /// It works for another user from now on.
    ///
    /// # Panics
    /// The kernel refuses.
    pub fn become_user(&mut self, uid: u32) {
        self.ask(&format!("become {uid}"));
    }

    /// It joins the control group with this folder.
    ///
    /// # Panics
    /// The kernel refuses.
    pub fn join(&mut self, cgroup: &std::path::Path) {
        let procs = cgroup.join("cgroup.procs");
        std::fs::write(&procs, self.pid.to_string())
            .unwrap_or_else(|error| panic!("writing to {}: {error}", procs.display()));
    }

    /// It exits, whatever it has open.
    ///
    /// # Panics
    /// It does not.
    pub fn exit(mut self) {
        self.say("exit");
        let mut rest = String::new();
        let read = self.control.read_line(&mut rest).expect("waiting for it");
        assert_eq!(read, 0, "{} says {rest} instead of exiting", self.name);
    }

    fn ask(&mut self, question: &str) -> String {
        self.say(question);
        self.answer(question)
    }

    fn say(&mut self, words: &str) {
        let control = self.control.get_mut();
        control
            .write_all(format!("{words}\n").as_bytes())
            .unwrap_or_else(|error| panic!("telling {} to {words}: {error}", self.name));
    }

    fn answer(&mut self, what: &str) -> String {
        let mut line = String::new();
        let read = self.control.read_line(&mut line);
        read.unwrap_or_else(|error| panic!("{}: {what}: {error}", self.name));
        let answer = line.trim_end_matches('\n').strip_prefix("ok ");
        let answer = answer.unwrap_or_else(|| panic!("{}: {what}: {line:?}", self.name));
        answer.to_owned()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // A child of another's ends when its control is closed.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn number(text: &str) -> Socket {
    Socket(text.parse().expect("a number of a socket"))
}

/// This executable again, as a process called `name` that is controlled over `control`.
fn command(name: &str, control: OwnedFd) -> Command {
    let mut command = Command::new(env::current_exe().expect("this executable"));
    command
        .args(["--exact", PROGRAM, "--ignored", "--nocapture"])
        .arg("--test-threads=1")
        .env(NAME, name)
        .env_remove(INHERITS)
        .stdin(control)
        .stdout(Stdio::null());
    command
}
