//! The helper: this program once more, as a process that holds what looking into other network namespaces needs and nothing
//! else. It is asked over a socket, answers with a descriptor, and ends with whoever may ask: nothing else has the other
//! end of its socket.
//!
//! Invariant: it takes nothing but namespaces and names that it knows, and gives nothing but what can be read.
use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::{Command, Stdio},
    sync::{Mutex, OnceLock, PoisonError},
};

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};
use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    pipe::{PipeFlags, pipe_with},
};
use serde::{Deserialize, Serialize};

use super::{HELPER, filter, hold_only, message};
use crate::netns::{self, Found, Netns, Object};

/// What it is called with.
const WORD: &str = "netns-helper";

/// What it is asked.
#[derive(Serialize, Deserialize)]
enum Request<T> {
    /// Which namespaces there are: JSON of [`Found`] through a pipe.
    Find,
    /// This object of this namespace. A link comes with it for an iterator.
    Open(Netns, Object<T>),
}

/// What it answers: a descriptor comes with it, or this is why not.
type Answer = Result<(), Refusal>;

#[derive(Serialize, Deserialize)]
struct Refusal {
    /// The namespace has ended.
    gone: bool,
    why: String,
}

/// The running helper, as the tool sees it.
#[derive(Debug)]
pub struct Helper {
    /// One question at a time.
    socket: Mutex<OwnedFd>,
}

/// Privilege is the process's, and so is this.
static RUNNING: OnceLock<Helper> = OnceLock::new();

impl Helper {
    /// Starts it, unless it runs.
    pub(super) fn start() -> anyhow::Result<()> {
        if RUNNING.get().is_some() {
            return Ok(());
        }
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Command::new("/proc/self/exe")
            .arg0("tcpstate")
            .arg(WORD)
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .context("/proc/self/exe")?;
        RUNNING.get_or_init(|| Self {
            socket: Mutex::new(ours),
        });
        Ok(())
    }

    /// The helper of this process, if it has one.
    pub fn running() -> Option<&'static Self> {
        RUNNING.get()
    }

    /// The network namespaces of this host.
    pub(crate) fn find(&self) -> io::Result<Found> {
        let mut text = Vec::new();
        let pipe = self.ask(&Request::Find::<&str>, None)?;
        File::from(pipe).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Opens an object of another namespace.
    pub(crate) fn open(
        &self,
        ns: &Netns,
        object: Object,
        link: Option<BorrowedFd<'_>>,
    ) -> io::Result<OwnedFd> {
        self.ask(&Request::Open(ns.clone(), object), link)
    }

    fn ask(
        &self,
        request: &Request<&'static str>,
        link: Option<BorrowedFd<'_>>,
    ) -> io::Result<OwnedFd> {
        let ended = || io::Error::other("the helper that looks into other namespaces has ended");
        // A panic between question and answer leaves no answer behind: both are here.
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        message::send(socket.as_fd(), request, link).map_err(|_| ended())?;
        match message::receive(socket.as_fd())? {
            Some((Ok(()), Some(descriptor))) => Ok(descriptor),
            Some((Err(Refusal { gone: true, why }), _)) => {
                Err(io::Error::new(io::ErrorKind::NotFound, why))
            }
            Some((Err(Refusal { why, .. }), _)) => Err(io::Error::other(why)),
            Some((Ok(()), None)) => Err(io::Error::other("no descriptor came; too many are open")),
            None => Err(ended()),
        }
    }
}

/// Whether this process was started as the helper.
#[must_use]
pub fn is_helper() -> bool {
    std::env::args_os().nth(1).is_some_and(|word| word == WORD)
}

/// Answers until nobody can ask any more.
pub(super) fn serve() -> anyhow::Result<()> {
    // Whoever asks decides about the end, and asks once more after Ctrl-C or a service manager's signal to all.
    let signals = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ];
    SigSet::from_iter(signals).thread_block()?;
    hold_only(HELPER).context("dropping capabilities")?;
    filter::apply(&filter::LOOK);
    rustix::thread::set_name(c"tcpstate-netns")?;

    let stdin = io::stdin();
    let socket = stdin.as_fd();
    while let Some((request, link)) = message::receive(socket)? {
        let answered = match request {
            Request::Find => find(socket),
            Request::Open(ns, object) => open(socket, &ns, &object, link),
        };
        if let Err(error) = answered
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(error.into());
        }
    }
    Ok(())
}

fn find(socket: BorrowedFd<'_>) -> io::Result<()> {
    let text = serde_json::to_vec(&netns::search())?;
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    message::send(socket, &Answer::Ok(()), Some(read.as_fd()))?;
    drop(read); // so that writing ends when nobody reads
    File::from(write).write_all(&text)
}

fn open(
    socket: BorrowedFd<'_>,
    ns: &Netns,
    object: &Object<String>,
    link: Option<OwnedFd>,
) -> io::Result<()> {
    let link = link.as_ref().map(OwnedFd::as_fd);
    match netns::within(ns, || object.open(link)).and_then(|opened| opened) {
        Ok(opened) => message::send(socket, &Answer::Ok(()), Some(opened.as_fd())),
        Err(error) => {
            let gone = error.kind() == io::ErrorKind::NotFound;
            let why = error.to_string();
            message::send(socket, &Answer::Err(Refusal { gone, why }), None)
        }
    }
}
