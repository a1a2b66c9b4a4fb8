//! A systemd journal of the test's own: its socket at the usual place, in a mount namespace that only the tool sees.
use std::{collections::BTreeMap, fs, os::unix::net::UnixDatagram, process::Command, thread};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use crate::{PATIENCE, Tool, privilege};

/// Where a journal listens.
const FOLDER: &str = "/run/systemd/journal";

/// An entry: values by field.
pub type Entry = BTreeMap<String, Vec<u8>>;

/// The journal's end of the socket.
#[derive(Debug)]
pub struct Journal(UnixDatagram);

impl Journal {
    /// Launches a command where this journal listens.
    ///
    /// # Panics
    /// The namespace or the socket cannot be made.
    #[must_use]
    pub fn launch(command: Command) -> (Self, Tool) {
        in_own_mounts(|| {
            fs::create_dir_all(FOLDER).expect("making the journal's folder");
            let socket = UnixDatagram::bind(format!("{FOLDER}/socket")).expect("a socket");
            // A test that waits for what does not come must fail, not hang.
            let limit = socket.set_read_timeout(Some(PATIENCE));
            limit.expect("a socket takes a time limit");
            (Self(socket), Tool::launch(command))
        })
    }

    /// The next entry.
    ///
    /// # Panics
    /// None comes, or it is not in the journal's native protocol.
    #[must_use]
    pub fn next(&self) -> Entry {
        loop {
            let mut datagram = vec![0; 1 << 16];
            let length = self.0.recv(&mut datagram).expect("waiting for an entry");
            // An empty datagram asks whether somebody listens.
            if length > 0 {
                return read(&datagram[..length]);
            }
        }
    }

    /// How many entries have come and are not read yet. Takes them.
    ///
    /// # Panics
    /// The socket fails.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.set_nonblocking(true).expect("a socket can do that");
        std::iter::from_fn(|| self.0.recv(&mut [0; 1 << 16]).ok())
            .filter(|length| *length > 0)
            .count()
    }
}

/// Launches a command where no journal listens.
///
/// # Panics
/// The namespace cannot be made.
#[must_use]
pub fn launch_without(command: Command) -> Tool {
    in_own_mounts(|| Tool::launch(command))
}

/// Does something where an empty file system lies over `/run`.
fn in_own_mounts<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    privilege::demand();
    thread::scope(|scope| {
        let task = scope.spawn(|| {
            let nothing = None::<&str>;
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            unshare(CloneFlags::CLONE_NEWNS).expect("making a mount namespace");
            mount(nothing, "/", nothing, private, nothing).expect("keeping mounts to ourselves");
            mount(
                Some("tmpfs"),
                "/run",
                Some("tmpfs"),
                MsFlags::empty(),
                nothing,
            )
            .expect("an empty /run");
            work()
        });
        task.join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Reads an entry: `NAME=value` lines, and names followed by the length of a value that may hold any bytes.
fn read(mut rest: &[u8]) -> Entry {
    let mut entry = Entry::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, after) = rest.split_at(end.expect("a line has an end"));
        let after = &after[1..];
        let equals = line.iter().position(|byte| *byte == b'=');
        let (name, value) = match equals {
            Some(at) => {
                rest = after;
                (&line[..at], &line[at + 1..])
            }
            None => {
                let (length, after) = after.split_first_chunk().expect("eight bytes of length");
                let length = usize::try_from(u64::from_le_bytes(*length)).expect("a short value");
                assert_eq!(after.get(length), Some(&b'\n'), "the end of a value");
                rest = &after[length + 1..];
                (line, &after[..length])
            }
        };
        let name = str::from_utf8(name).expect("names are ASCII").to_owned();
        let known = entry.insert(name, value.to_vec());
        assert!(known.is_none(), "a field twice");
    }
    entry
}
