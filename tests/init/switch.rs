//! From the initramfs into the system on the disk, whose own init takes over.
use std::convert::Infallible;
use std::ffi::CStr;
use std::fs;

use anyhow::Context as _;
use nix::mount::{MsFlags, mount};
use nix::unistd::{chdir, chroot, execv};

/// Where the disk is mounted until it is the root.
const ROOT: &str = "/root";
/// The first disk that the emulator offers, written to for this run only.
const DISK: &str = "/dev/vda";
const INIT: &CStr = c"/sbin/init";

/// Becomes the init of the disk.
pub(crate) fn to_disk() -> anyhow::Result<Infallible> {
    fs::create_dir_all(ROOT).with_context(|| format!("cannot make {ROOT}"))?;
    mount(
        Some(DISK),
        ROOT,
        Some("ext4"),
        MsFlags::empty(),
        None::<&str>,
    )
    .with_context(|| format!("cannot mount {DISK}"))?;
    chdir(ROOT).with_context(|| format!("cannot enter {ROOT}"))?;
    // It mounts its own /proc, /sys and /dev; ours stay below, where nobody sees them.
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .context("cannot make the disk the root")?;
    chroot(".").context("cannot make the disk the root")?;
    chdir("/").context("cannot enter the root")?;
    execv(INIT, &[INIT]).with_context(|| format!("cannot run {INIT:?}"))
}
