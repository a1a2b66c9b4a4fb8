//! Where a socket is: cgroups by their ids, containers by their cgroups, names of network namespaces. Read from the file
//! system when an id is first met, kept within bounds.
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use hashbrown::HashMap;
use walkdir::WalkDir;

use crate::{netns, tcp::ContainerId};

/// A cgroup of version 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// Path below the root of the hierarchy, beginning with `/`. Untrusted: escape it before it reaches any output.
    pub path: String,
    /// The container that it belongs to, where its path names one.
    pub container: Option<ContainerId>,
}

/// What is known about cgroups and namespaces.
#[derive(Debug)]
pub struct Places {
    /// This host is meant, not the one of a recording.
    here: bool,
    /// Where the hierarchy is mounted; `None` where nothing is looked up.
    root: Option<PathBuf>,
    /// By id; `None` for one that was looked for in vain.
    cgroups: HashMap<u64, Option<Cgroup>>,
    budget: Budget,
    namespaces: HashMap<u32, String>,
}

/// Cgroups remembered at most; beyond that all are forgotten and looked up again.
const MAX_CGROUPS: usize = 65_536;
/// Walks over the hierarchy that may follow one another at once. One takes milliseconds, so cgroups that come and go
/// all the time may not cause one each.
const LOOKS_AT_ONCE: u32 = 10;
/// Time after which there may be one more.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How many walks over the hierarchy may be made now.
#[derive(Debug)]
struct Budget {
    left: u32,
    filled: Instant,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self {
            left: LOOKS_AT_ONCE,
            filled: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        while self.left < LOOKS_AT_ONCE && now.duration_since(self.filled) >= LOOK_EVERY {
            self.left += 1;
            self.filled += LOOK_EVERY;
        }
        if self.left == LOOKS_AT_ONCE {
            self.filled = now; // what is full does not fill up any more
        }
        let may = self.left > 0;
        self.left -= u32::from(may);
        may
    }
}

impl Places {
    /// The places of this host.
    #[must_use]
    pub fn of_host() -> Self {
        let mut places = Self {
            here: true,
            root: mount().ok(),
            ..Self::unknown()
        };
        places.look();
        places.names();
        places
    }

    /// Nothing is known, and nothing will be.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            here: false,
            root: None,
            cgroups: HashMap::new(),
            budget: Budget::new(Instant::now()),
            namespaces: HashMap::new(),
        }
    }

    /// The cgroup with this id; `None` if it is gone or cannot be seen.
    pub fn cgroup(&mut self, id: u64) -> Option<&Cgroup> {
        if !self.cgroups.contains_key(&id) && self.root.is_some() {
            self.look();
            self.cgroups.entry(id).or_insert(None);
        }
        self.cgroups.get(&id)?.as_ref()
    }

    /// The container of a cgroup. Where too many new ones come at once it is told later.
    pub fn container(&mut self, cgroup: u64) -> Option<ContainerId> {
        self.root.as_ref()?; // or nobody can look, as in a replay
        if !self.cgroups.contains_key(&cgroup) && !self.budget.take(Instant::now()) {
            return None;
        }
        self.cgroup(cgroup)?.container
    }

    /// The command line of a process, arguments separated by blanks; `None` if it is gone or cannot be looked at.
    /// Untrusted: escape it before it reaches any output.
    #[must_use]
    pub fn command_line(&self, pid: u32) -> Option<String> {
        if !self.here {
            return None;
        }
        let pid = i32::try_from(pid).ok()?;
        let words = procfs::process::Process::new(pid).ok()?.cmdline().ok()?;
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// Reads the names of network namespaces again.
    pub fn names(&mut self) {
        self.namespaces = netns::names();
    }

    /// What `ip netns` calls the namespace with this inode.
    #[must_use]
    pub fn netns_name(&self, inode: u32) -> Option<&str> {
        self.namespaces.get(&inode).map(String::as_str)
    }

    /// Walks over the hierarchy. What cannot be read there is not known.
    fn look(&mut self) {
        let Some(root) = &self.root else {
            return;
        };
        if self.cgroups.len() > MAX_CGROUPS {
            self.cgroups.clear();
        }
        let folders = WalkDir::new(root)
            .into_iter()
            .filter_entry(|entry| entry.file_type().is_dir())
            .filter_map(Result::ok);
        for folder in folders {
            // The id of a cgroup is the inode of its folder.
            let Ok(id) = folder.metadata().map(|metadata| metadata.ino()) else {
                continue;
            };
            let below = folder.path().strip_prefix(root).unwrap_or(folder.path());
            let path = format!("/{}", below.to_string_lossy());
            let container = container(&path);
            self.cgroups.insert(id, Some(Cgroup { path, container }));
        }
    }
}

/// The innermost container that a path names: docker, containerd, CRI-O and podman put its id at the end of a folder's
/// name, with or without a prefix and `.scope`.
pub(crate) fn container(path: &str) -> Option<ContainerId> {
    path.rsplit('/')
        .filter(|name| !name.contains("conmon")) // the monitor beside a container, not inside
        .find_map(|name| {
            let name = name.strip_suffix(".scope").unwrap_or(name);
            let id = name.rsplit(['-', ':']).next()?;
            id.parse().ok()
        })
}

/// Where the hierarchy of version 2 is mounted.
fn mount() -> anyhow::Result<PathBuf> {
    let mounts = procfs::process::Process::myself()
        .and_then(|process| process.mountinfo())
        .context("reading the mounts of this process")?;
    // A part of the hierarchy may be mounted elsewhere too, as containers have it.
    let (whole, parts): (Vec<_>, Vec<_>) = mounts
        .into_iter()
        .filter(|mount| mount.fs_type == "cgroup2")
        .partition(|mount| mount.root == "/");
    let found = whole.into_iter().chain(parts).next();
    found
        .map(|mount| mount.mount_point)
        .context("no cgroup hierarchy of version 2 is mounted")
}

/// A cgroup that `--cgroup` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupFilter {
    /// Its path below the root of the hierarchy; with its subtree.
    Path(String),
    /// Its id alone.
    Id(u64),
}

impl CgroupFilter {
    /// Reads a path (as below `/sys/fs/cgroup`, or with it) or an id.
    ///
    /// # Errors
    /// There is no such cgroup.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        const ACCEPTED: &str = "expected a path such as /system.slice/nginx.service, or an id";
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let root = mount()?;
        let below = Path::new(text)
            .strip_prefix(&root)
            .unwrap_or(Path::new(text.trim_start_matches('/')));
        let full = root.join(below);
        let is_folder = fs::metadata(&full).is_ok_and(|metadata| metadata.is_dir());
        if text.is_empty()
            || !is_folder
            || below
                .components()
                .any(|part| part == std::path::Component::ParentDir)
        {
            bail!(
                "no cgroup of that name below {}; {ACCEPTED}",
                root.display()
            );
        }
        Ok(Self::Path(format!(
            "/{}",
            below.to_string_lossy().trim_end_matches('/')
        )))
    }

    /// Whether the cgroup with `id` is meant. That decides for a connection's whole life, so one that is not known yet is
    /// looked for at once.
    pub fn holds(&self, id: u64, places: &mut Places) -> bool {
        match self {
            Self::Id(wanted) => *wanted == id,
            Self::Path(wanted) => places
                .cgroup(id)
                .is_some_and(|cgroup| Path::new(&cgroup.path).starts_with(wanted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_container_is_found_in_the_paths_of_every_runtime() {
        for path in [
            format!("/docker/{ID}"),
            format!("/system.slice/docker-{ID}.scope"),
            format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"),
            format!("/kubepods/besteffort/pod1/{ID}"),
            format!("/system.slice/kubepods-pod1.slice:cri-containerd:{ID}"),
            format!("/kubepods.slice/crio-{ID}.scope/container"),
            format!("/machine.slice/libpod-{ID}.scope/init.scope"),
        ] {
            let found = container(&path).map(|id| id.to_string());
            assert_eq!(found.as_deref(), Some(ID), "{path}");
        }
        for path in [
            "/",
            "/system.slice/nginx.service",
            &format!("/machine.slice/libpod-conmon-{ID}.scope"),
            &format!("/user.slice/{}", &ID[1..]),
            &format!("/user.slice/x{ID}"),
        ] {
            assert_eq!(container(path), None, "{path}");
        }
    }

    #[test]
    fn many_new_cgroups_cause_few_walks() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let walks = |budget: &mut Budget, now| (0..100).filter(|_| budget.take(now)).count();
        assert_eq!(walks(&mut budget, start), 10);
        assert_eq!(walks(&mut budget, start + LOOK_EVERY / 2), 0);
        assert_eq!(walks(&mut budget, start + LOOK_EVERY), 1);
        assert_eq!(walks(&mut budget, start + LOOK_EVERY * 4), 3);
        assert_eq!(walks(&mut budget, start + LOOK_EVERY * 1000), 10);
    }

    #[test]
    fn a_wrong_cgroup_is_refused_with_what_is_accepted() {
        for text in ["", "/no/such/cgroup", "../..", "/../../etc"] {
            let message = format!("{:#}", CgroupFilter::parse(text).unwrap_err());
            assert!(message.contains("expected a path"), "{message}");
        }
        assert_eq!(CgroupFilter::parse("17").unwrap(), CgroupFilter::Id(17));
    }
}
