//! What runs in another process: it reads a command a line from standard input, a Unix socket, and answers `ok …` there.
use std::{
    env,
    ffi::CString,
    io::{BufRead as _, BufReader, IoSlice, IoSliceMut, Read as _, Write as _, stderr, stdin},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Child, exit},
    thread,
};

use nix::{
    cmsg_space,
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
};

use super::{INHERITS, NAME, command};
use crate::endpoint;

/// What it has.
struct Program {
    control: BufReader<UnixStream>,
    /// By number; what is closed leaves its place empty.
    sockets: Vec<Option<OwnedFd>>,
    /// Its children, which end when their control is closed.
    children: Vec<Child>,
}

/// Does what it is told until nobody tells any more.
///
/// # Panics
/// It was not started by a test, or cannot do what it is told.
pub fn run() {
    let name = env::var(NAME).expect("another process is started by a test, never by itself");
    // The name of the process, which a walk over its open files shows, and of this thread, which opens sockets.
    std::fs::write("/proc/self/comm", &name).expect("naming the process");
    let name = CString::new(name).expect("a name without zeros");
    nix::sys::prctl::set_name(&name).expect("naming the thread");
    let control = stdin().as_fd().try_clone_to_owned().expect("the control");
    let mut program = Program {
        control: BufReader::new(UnixStream::from(control)),
        sockets: Vec::new(),
        children: Vec::new(),
    };
    if env::var_os(INHERITS).is_some() {
        let socket = stderr().as_fd().try_clone_to_owned();
        program.sockets.push(Some(socket.expect("the socket")));
        // From here on the socket is open once, and messages of this process are lost.
        let nothing = std::fs::File::open("/dev/null").expect("opening /dev/null");
        nix::unistd::dup2_stderr(nothing).expect("closing standard error");
    }
    program.answer(&std::process::id().to_string());
    let mut line = String::new();
    while program.control.read_line(&mut line).expect("a command") > 0 {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = program.obey(&words);
        program.answer(&answer);
        line.clear();
    }
    for child in &mut program.children {
        let _ = child.wait();
    }
}

impl Program {
    fn answer(&mut self, words: &str) {
        let control = self.control.get_mut();
        // The test may have ended.
        let _ = control.write_all(format!("ok {words}\n").as_bytes());
    }

    fn obey(&mut self, words: &[&str]) -> String {
        match *words {
            ["listen", ip] => {
                let ip: std::net::IpAddr = ip.parse().expect("an address");
                let listener = endpoint::listener((ip, 0).into(), -1);
                let address = listener.local_addr().expect("a listener has an address");
                format!("{} {address}", self.keep(listener))
            }
            ["connect", to] => {
                let stream = TcpStream::connect(to).expect("connecting");
                let address = stream.local_addr().expect("a client has an address");
                format!("{} {address}", self.keep(stream))
            }
            ["accept", listener] => {
                let listener = TcpListener::from(self.copy(listener));
                let (stream, _) = listener.accept().expect("accepting");
                self.keep(stream)
            }
            ["take"] => {
                self.answer("");
                let socket = receive(self.control.get_ref());
                self.keep(socket)
            }
            ["give", socket, over] => {
                let (socket, over) = (self.lose(socket), self.lose(over));
                pass_on(&socket, &UnixStream::from(over));
                String::new()
            }
            ["receive", over] => {
                let over = UnixStream::from(self.lose(over));
                let socket = receive(&over);
                self.keep(socket)
            }
            ["write", socket] => {
                let mut stream = TcpStream::from(self.copy(socket));
                stream.write_all(b"!").expect("writing");
                String::new()
            }
            ["read", socket] => {
                let mut stream = TcpStream::from(self.copy(socket));
                let read = stream.read(&mut [0]).expect("reading");
                read.to_string()
            }
            ["close", socket] => {
                drop(self.lose(socket));
                String::new()
            }
            ["fork", name, control, socket] => {
                let control = self.lose(control);
                let mut command = command(name, control);
                command.env(INHERITS, "1").stderr(self.copy(socket));
                let child = command.spawn().expect("starting this executable again");
                self.children.push(child);
                String::new()
            }
            ["serve", listener, threads] => {
                for _ in 0..threads.parse::<usize>().expect("a number") {
                    let listener = TcpListener::from(self.copy(listener));
                    thread::spawn(move || serve(&listener));
                }
                String::new()
            }
            ["load", count, from, ref to @ ..] => {
                let count = count.parse().expect("a number");
                let from = SocketAddr::new(from.parse().expect("an address"), 0);
                let to: Vec<SocketAddr> = to
                    .iter()
                    .map(|to| to.parse().expect("an address and a port"))
                    .collect();
                for to in to.iter().cycle().take(count) {
                    ask(from, *to);
                }
                String::new()
            }
            ["become", uid] => {
                let uid = nix::unistd::Uid::from_raw(uid.parse().expect("a number"));
                nix::unistd::setuid(uid).expect("changing the user");
                String::new()
            }
            ["exit"] => exit(0),
            _ => panic!("an unknown command: {words:?}"),
        }
    }

    fn keep(&mut self, socket: impl Into<OwnedFd>) -> String {
        self.sockets.push(Some(socket.into()));
        (self.sockets.len() - 1).to_string()
    }

    fn copy(&self, number: &str) -> OwnedFd {
        let number: usize = number.parse().expect("a number");
        let socket = self.sockets[number].as_ref().expect("an open socket");
        socket.try_clone().expect("one more handle")
    }

    fn lose(&mut self, number: &str) -> OwnedFd {
        let number: usize = number.parse().expect("a number");
        self.sockets[number].take().expect("an open socket")
    }
}

fn serve(listener: &TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().expect("accepting");
        let mut byte = [0];
        while stream.read(&mut byte).expect("reading") > 0 {
            stream.write_all(&byte).expect("answering");
        }
    }
}

fn ask(from: SocketAddr, to: SocketAddr) {
    let mut stream = endpoint::connected(from, to);
    stream.write_all(b"?").expect("asking");
    stream.read_exact(&mut [0]).expect("an answer");
}

fn pass_on(socket: &OwnedFd, over: &UnixStream) {
    let fds = [socket.as_raw_fd()];
    let sent = sendmsg::<()>(
        over.as_raw_fd(),
        &[IoSlice::new(b"!")],
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::empty(),
        None,
    );
    assert_eq!(sent, Ok(1), "passing a socket on");
}

/// Receives a socket.
fn receive(over: &UnixStream) -> OwnedFd {
    let mut space = cmsg_space!(i32);
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    let message = recvmsg::<()>(
        over.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )
    .expect("receiving a socket");
    for message in message.cmsgs().expect("a whole message") {
        if let ControlMessageOwned::ScmRights(fds) = message {
            return own(fds[0]);
        }
    }
    panic!("a message without a socket")
}

#[expect(
    unsafe_code,
    reason = "a descriptor comes out of a message as a number"
)]
fn own(fd: i32) -> OwnedFd {
    // SAFETY: the kernel has just made it for us, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
