//! Network namespaces: which there are, what they are called, and what can be opened inside one.
use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread,
};

use hashbrown::HashMap;
use nix::{
    libc,
    sched::{CloneFlags, setns},
    sys::statfs::{NSFS_MAGIC, statfs},
};
use serde::{Deserialize, Serialize};

mod object;
mod select;
pub use self::{
    object::{Object, Table, check, iterate, read, sock_diag},
    select::{Selector, select, selector},
};
use crate::{privilege::Helper, proc, sink::printable};

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netns {
    /// The inode number that identifies it, as in `net:[4026531840]`.
    pub inode: u32,
    /// A path that opens it: `/run/netns/NAME`, or the `ns/net` of a task in it.
    pub path: PathBuf,
    /// What `ip netns` calls it, if it has a name.
    pub name: Option<String>,
}

impl fmt::Display for Netns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => {
                let name = printable(name.as_bytes()); // it may be a container's choice
                write!(f, "network namespace {name} ({})", self.inode)
            }
            None => write!(f, "network namespace {}", self.inode),
        }
    }
}

/// The network namespaces of this host as far as this process may look.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Found {
    /// Each namespace once, by inode.
    pub namespaces: Vec<Netns>,
    /// Tasks (not namespaces) and directories that could not be looked at: there may be more namespaces.
    pub unseen: usize,
    /// The first of them, and why.
    pub unseen_why: Option<String>,
}

/// Finds every namespace that has a task or an `ip netns` name. One that lives only by an open descriptor or by a
/// bind mount elsewhere is not found. Where a helper has the privilege to look, it does.
#[must_use]
pub fn all() -> Found {
    let Some(helper) = Helper::running() else {
        return search();
    };
    helper.find().unwrap_or_else(|error| {
        let found = search();
        Found {
            unseen: found.unseen + 1,
            unseen_why: Some(error.to_string()),
            ..found
        }
    })
}

/// The same with nothing but the privilege of this process.
pub(crate) fn search() -> Found {
    let mut search = Search::default();
    // Names first: the path of a name outlives every task.
    search.names();
    search.tasks();
    Found {
        namespaces: search.namespaces.into_values().collect(),
        ..search.found
    }
}

/// What `ip netns` calls the namespaces that it knows, by inode. Cheap: it looks at no task.
#[must_use]
pub fn names() -> HashMap<u32, String> {
    let mut search = Search::default();
    search.names();
    search
        .namespaces
        .into_iter()
        .filter_map(|(inode, namespace)| Some((inode, namespace.name?)))
        .collect()
}

/// The calling thread's namespace.
pub fn current() -> io::Result<Netns> {
    proc::demand()?;
    // Spelled with its ids, so that another thread opens the same namespace through it.
    let path = Path::new("/proc")
        .join(fs::read_link("/proc/thread-self")?)
        .join("ns/net");
    Ok(Netns {
        inode: inode_of_link(&path)?,
        path,
        name: None,
    })
}

/// Runs `f` in the namespace, on a thread of its own: the caller's thread never moves. `NotFound` means that the
/// namespace is gone.
pub(crate) fn within<T: Send>(ns: &Netns, f: impl FnOnce() -> T + Send) -> io::Result<T> {
    let explain = |error: io::Error| {
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => "; entering it needs CAP_SYS_ADMIN: run as root",
            io::ErrorKind::InvalidInput => "; it is a namespace of another kind",
            _ => "",
        };
        io::Error::new(error.kind(), format!("{ns}: {error}{remedy}"))
    };
    let file = open(ns).map_err(explain)?;
    thread::scope(|scope| {
        thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, || {
                setns(&file, CloneFlags::CLONE_NEWNET).map_err(|errno| explain(errno.into()))?;
                Ok(f())
            })
            .map_err(explain)?
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Opens the namespace; through another task of it where the one that `path` names has ended.
fn open(ns: &Netns) -> io::Result<File> {
    match open_checked(&ns.path, ns.inode) {
        Err(error) if has_ended(&error) => {
            let again = search()
                .namespaces
                .into_iter()
                .find(|other| other.inode == ns.inode);
            let again = again.ok_or(io::Error::new(io::ErrorKind::NotFound, "it has ended"))?;
            open_checked(&again.path, ns.inode)
        }
        result => result,
    }
}

/// Task ids and names are used again: only the inode says that this is still the same namespace.
fn open_checked(path: &Path, inode: u32) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.ino() == u64::from(inode) {
        Ok(file)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// The inode of the network namespace that `path` opens, `None` where it opens something else.
fn inode_of(path: &Path) -> io::Result<Option<u32>> {
    let other_kind = fs::read_link(path).is_ok_and(
        |link| matches!(link.to_string_lossy().split_once(":["), Some((kind, _)) if kind != "net"),
    );
    if other_kind || statfs(path)?.filesystem_type() != NSFS_MAGIC {
        return Ok(None);
    }
    Ok(u32::try_from(fs::metadata(path)?.ino()).ok())
}

/// The inode that the link `ns/net` of a task names; one system call, and it opens nothing.
fn inode_of_link(path: &Path) -> io::Result<u32> {
    let link = fs::read_link(path)?;
    let text = link.to_string_lossy();
    inode_in(&text).ok_or_else(|| {
        io::Error::other(format!(
            "{} links to {text}, expected net:[INUM]",
            path.display()
        ))
    })
}

/// The inode in the text of such a link, `net:[4026531840]`.
pub(crate) fn inode_in(link: &str) -> Option<u32> {
    link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// A task or a name that went away while it was looked at is no error.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Where `ip netns` keeps its names; on old hosts `/var/run` is no link to `/run`.
const NAME_DIRS: [&str; 2] = ["/run/netns", "/var/run/netns"];

/// State of the search of [`all`].
#[derive(Default)]
struct Search {
    namespaces: BTreeMap<u32, Netns>,
    found: Found,
}

impl Search {
    fn names(&mut self) {
        let [first, second] = NAME_DIRS.map(Path::new);
        self.names_in(first);
        if fs::canonicalize(first).ok() != fs::canonicalize(second).ok() {
            self.names_in(second);
        }
    }

    fn names_in(&mut self, dir: &Path) {
        let mut names = self.entries(dir);
        names.sort(); // of several names for one namespace, always the same is shown
        for name in names {
            let path = dir.join(&name);
            // Something else than a namespace is what a removed one left behind: nothing can live in it.
            if let Some(Some(inode)) = self.seen(&path, inode_of(&path)) {
                self.namespaces.entry(inode).or_insert(Netns {
                    inode,
                    path,
                    name: Some(name),
                });
            }
        }
    }

    fn tasks(&mut self) {
        let proc = Path::new("/proc");
        if !proc.join("1").exists() {
            // `hidepid` hides the processes of others without an error; process 1 always exists.
            self.unseen(proc, "mounted with hidepid");
        }
        for pid in self.numbers(proc) {
            let tasks = proc.join(pid).join("task");
            // Threads can have a namespace of their own.
            for tid in self.numbers(&tasks) {
                let path = tasks.join(tid).join("ns/net");
                if let Some(inode) = self.seen(&path, inode_of_link(&path)) {
                    self.namespaces.entry(inode).or_insert(Netns {
                        inode,
                        path,
                        name: None,
                    });
                }
            }
        }
    }

    fn numbers(&mut self, dir: &Path) -> Vec<String> {
        let mut names = self.entries(dir);
        names.retain(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        names
    }

    fn entries(&mut self, dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = self.seen(dir, entries).unwrap_or_default();
        entries
            .into_iter()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    fn seen<T>(&mut self, path: &Path, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                if !has_ended(&error) {
                    self.unseen(path, error);
                }
                None
            }
        }
    }

    fn unseen(&mut self, path: &Path, why: impl fmt::Display) {
        self.found.unseen += 1;
        self.found.unseen_why.get_or_insert_with(|| {
            format!("{}: {why}", printable(path.as_os_str().as_encoded_bytes()))
        });
    }
}

#[cfg(test)]
mod tests;
