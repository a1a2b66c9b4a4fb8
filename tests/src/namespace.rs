//! Network namespaces of the tests' own, so that no traffic of the host gets between.
use std::{
    fs::{self, File},
    net::Ipv6Addr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::mpsc::{Sender, channel},
    thread::{self, JoinHandle},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
};

use crate::{host, loopback, privilege};

/// Name of the threads that [`Namespace::run`] runs its work on: sockets opened there have it as their owner's.
pub const COMM: &str = "traffic";

/// The calling thread's network namespace.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace with its loopback device up. It ends with this value and the last socket in it.
#[derive(Debug)]
pub struct Namespace {
    handle: File,
    inode: u32,
    held: Held,
}

/// What keeps a namespace where others can find it.
#[derive(Debug)]
enum Held {
    /// A task in it, which waits until the sender goes.
    Task(Option<(Sender<()>, JoinHandle<()>)>),
    /// A name, as `ip netns add` gives one; no task is in it.
    Name(PathBuf),
}

impl Namespace {
    /// A namespace with a task in it.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn new() -> Self {
        privilege::demand();
        let (ready, opened) = channel();
        let (keep, end) = channel::<()>();
        let task = thread::spawn(move || {
            ready.send(enter_new()).expect("the test waits for it");
            let _ = end.recv(); // fails as soon as the sender is dropped
        });
        let (handle, inode) = opened.recv().expect("the namespace's task is alive");
        Self {
            handle,
            inode,
            held: Held::Task(Some((keep, task))),
        }
    }

    /// A namespace without a task, with the name `name` in `/run/netns`.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn named(name: &str) -> Self {
        privilege::demand();
        fs::create_dir_all("/run/netns").expect("making /run/netns");
        let path = Path::new("/run/netns").join(name);
        File::create_new(&path).expect("making a file for the name");
        let (handle, inode) = thread::scope(|scope| {
            let path = &path;
            let task = scope.spawn(move || {
                let opened = enter_new();
                mount(
                    Some(OWN),
                    path,
                    None::<&str>,
                    MsFlags::MS_BIND,
                    None::<&str>,
                )
                .expect("binding the namespace to its name");
                opened
            });
            task.join().expect("making the namespace")
        });
        Self {
            handle,
            inode,
            held: Held::Name(path),
        }
    }

    /// The number that identifies it, as in `net:[4026531840]`.
    #[must_use]
    pub fn inode(&self) -> u32 {
        self.inode
    }

    /// Gives its loopback device one more address.
    ///
    /// # Panics
    /// The kernel refuses.
    pub fn add_address(&self, address: Ipv6Addr) {
        self.run(|| loopback::add(address).expect("adding an address"));
    }

    /// Runs `work` there, on a thread of its own that is called [`COMM`]. Sockets stay where they were opened, whatever
    /// thread uses them later; a child process starts in the namespace.
    ///
    /// # Panics
    /// `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            thread::Builder::new()
                .name(COMM.to_owned())
                .spawn_scoped(scope, || {
                    setns(&self.handle, CloneFlags::CLONE_NEWNET).expect("entering the namespace");
                    work()
                })
                .expect("starting a thread")
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        match &mut self.held {
            Held::Task(task) => {
                if let Some((keep, task)) = task.take() {
                    drop(keep);
                    let _ = task.join();
                }
            }
            // While unwinding there is nobody to tell of an error.
            Held::Name(path) => {
                let _ = umount2(path.as_path(), MntFlags::MNT_DETACH);
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Moves the calling thread into a new namespace.
fn enter_new() -> (File, u32) {
    unshare(CloneFlags::CLONE_NEWNET).expect("making a network namespace");
    loopback::up().expect("bringing the loopback device up");
    // No tail loss probes: where an acknowledgment is some milliseconds late, as in an emulated guest, a FIN is sent again;
    // a TIME_WAIT answers it, no socket takes the answer, and the reset that this brings ends the TIME_WAIT at once.
    host::set("tcp_early_retrans", "0");
    let handle = File::open(OWN).expect("opening the namespace");
    let inode = handle.metadata().expect("reading its inode").ino();
    let inode = u32::try_from(inode).expect("inodes of namespaces have 32 bits");
    (handle, inode)
}
