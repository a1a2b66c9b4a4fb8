//! `/proc`, where processes, network namespaces, kernel functions and settings are looked up.
use std::io;

use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};

/// Checks that it is mounted. Nothing else would say so: a host without processes looks much the same.
///
/// # Errors
/// It is not; says what to do.
pub fn demand() -> io::Result<()> {
    if statfs("/proc").is_ok_and(|found| found.filesystem_type() == PROC_SUPER_MAGIC) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        "/proc is not mounted; mount it: mount -t proc proc /proc",
    ))
}
