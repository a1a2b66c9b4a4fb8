//! Iterators: walks over the kernel's tables, by programs of ours. aya attaches them too, but keeps the link to itself; the
//! process that opens an iterator decides which network namespace it walks, and that may be another one.
use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use aya_obj::generated::{
    bpf_attach_type::BPF_TRACE_ITER,
    bpf_cmd::{BPF_ITER_CREATE, BPF_LINK_CREATE},
};
use nix::{errno::Errno, libc};

/// Attaches a loaded program: iterators are opened through the link.
pub(super) fn attach(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // `prog_fd`, no `target_fd`, `attach_type`, no `flags`.
    let attributes = [number(program), 0, BPF_TRACE_ITER as u32, 0];
    bpf(BPF_LINK_CREATE as u32, &attributes)
}

/// Opens an iterator, over the calling thread's network namespace where it walks one. Needs no capability, but on kernels
/// before 5.19 with `kernel.unprivileged_bpf_disabled`.
pub(crate) fn iterate(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    bpf(BPF_ITER_CREATE as u32, &[number(link), 0]) // `link_fd`, no `flags`
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs() // never negative
}

/// A command of bpf(2) that makes a descriptor.
#[expect(unsafe_code, reason = "no library offers these two calls alone")]
fn bpf(command: u32, attributes: &[u32]) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads `size_of_val(attributes)` bytes, which are there, and takes the rest for 0. Neither command
    // has a pointer among its attributes.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_ptr(),
            size_of_val(attributes),
        )
    };
    let fd = i32::try_from(Errno::result(fd)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
