//! Mounts that nobody else sees: a thread in a mount namespace of its own, and what it can change there.
use std::{path::Path, thread};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};

const NOTHING: Option<&str> = None;

/// Runs `work` on a thread whose mounts are its own, and those of the processes that it starts.
///
/// # Panics
/// The kernel refuses, or `work` panics.
pub fn privately<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let task = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).expect("making a mount namespace");
            let all = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(NOTHING, "/", NOTHING, all, NOTHING).expect("keeping mounts to ourselves");
            work()
        });
        task.join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Lays an empty file system over a folder.
///
/// # Panics
/// The kernel refuses.
pub fn hide(folder: &str) {
    mount(
        Some("tmpfs"),
        folder,
        Some("tmpfs"),
        MsFlags::empty(),
        NOTHING,
    )
    .unwrap_or_else(|error| panic!("hiding {folder}: {error}"));
}

/// Lets nobody write to a folder, root neither.
///
/// # Panics
/// The kernel refuses.
pub fn make_read_only(folder: &Path) {
    let bind = |flags| {
        mount(
            Some(folder),
            folder,
            NOTHING,
            MsFlags::MS_BIND | flags,
            NOTHING,
        )
    };
    bind(MsFlags::empty())
        .and_then(|()| bind(MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY))
        .unwrap_or_else(|error| panic!("making {} read-only: {error}", folder.display()));
}

/// Takes away what is mounted at a folder.
///
/// # Panics
/// Nothing is.
pub fn take_away(folder: &Path) {
    umount2(folder, MntFlags::MNT_DETACH)
        .unwrap_or_else(|error| panic!("taking {} away: {error}", folder.display()));
}
