//! Cgroups of version 2 of the tests' own.
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::mounts;

/// A cgroup without processes. It goes with this value, when those that have joined it are gone.
#[derive(Debug)]
pub struct Cgroup {
    folder: PathBuf,
    /// Below the root of the hierarchy.
    path: String,
}

impl Cgroup {
    /// A cgroup in the root of the hierarchy.
    ///
    /// # Panics
    /// There is no hierarchy of version 2, or the kernel refuses.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::below(&root(), "", name)
    }

    /// A cgroup in this one.
    ///
    /// # Panics
    /// The kernel refuses.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self::below(&self.folder, &self.path, name)
    }

    fn below(folder: &Path, path: &str, name: &str) -> Self {
        let folder = folder.join(name);
        fs::create_dir(&folder)
            .unwrap_or_else(|error| panic!("making {}: {error}", folder.display()));
        Self {
            folder,
            path: format!("{path}/{name}"),
        }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its path below the root of the hierarchy, from `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its id.
    ///
    /// # Panics
    /// It is gone.
    #[must_use]
    pub fn id(&self) -> u64 {
        fs::metadata(&self.folder).expect("it exists").ino()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that was just killed may take a moment to go.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Takes the hierarchy away from the calling thread, whose mounts are its own.
///
/// # Panics
/// There is none, or the kernel refuses.
pub fn hide() {
    mounts::take_away(&root());
}

/// Where the hierarchy is mounted as a whole.
fn root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("reading the mounts");
    let whole = mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut words = mount.split(' ').skip(3);
        let (root, place) = (words.next()?, words.next()?);
        (kind.starts_with("cgroup2 ") && root == "/").then(|| PathBuf::from(place))
    });
    whole.expect("these tests need the cgroup hierarchy of version 2")
}
