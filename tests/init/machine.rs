//! What a distribution's start-up does before the first service: file systems, modules, the loopback device.
use std::fs;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use anyhow::Context as _;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// Type, place and options: what a Debian host has mounted, in this order.
const FILE_SYSTEMS: [(&str, &str, &str); 10] = [
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", ""),
    ("devpts", "/dev/pts", ""),
    ("tmpfs", "/tmp", "mode=1777"),
    ("tmpfs", "/run", "mode=755"),
    ("cgroup2", "/sys/fs/cgroup", ""),
    ("bpf", "/sys/fs/bpf", ""),
    ("tracefs", "/sys/kernel/tracing", ""),
    ("securityfs", "/sys/kernel/security", ""),
];

pub(crate) fn mount_all() -> anyhow::Result<()> {
    for (kind, place, options) in FILE_SYSTEMS {
        fs::create_dir_all(place).with_context(|| format!("cannot make {place}"))?;
        mount(
            Some(kind),
            place,
            Some(kind),
            MsFlags::empty(),
            Some(options),
        )
        .with_context(|| format!("cannot mount {kind} on {place}"))?;
    }
    Ok(())
}

/// As `uname -r` says.
pub(crate) fn release() -> anyhow::Result<String> {
    let path = "/proc/sys/kernel/osrelease";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.trim().to_owned())
}

/// Keeps the kernel's messages off the console, where they would fall into the middle of our lines.
///
/// Those of a failed test are shown after it. A panic still comes through: it raises the level itself.
pub(crate) fn quiet_console() -> anyhow::Result<()> {
    let path = "/proc/sys/kernel/printk";
    fs::write(path, "1").with_context(|| format!("cannot write to {path}"))
}

/// Loads what the host has put into /modules, in the order of the names, which is that of the dependencies.
pub(crate) fn load_modules() -> anyhow::Result<()> {
    for path in sorted(Path::new("/modules"))? {
        let file = fs::File::open(&path).with_context(|| format!("cannot open {path:?}"))?;
        finit_module(&file, c"", ModuleInitFlags::empty())
            .with_context(|| format!("cannot load {path:?}"))?;
    }
    Ok(())
}

/// The files of a folder, by name.
pub(crate) fn sorted(folder: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let what = || format!("cannot list {folder:?}");
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(what)? {
        paths.push(entry.with_context(what)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// `ip link set lo up`, as the netlink message that it is.
pub(crate) fn loopback_up() -> anyhow::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 0x1 | 0x4;
    const LO: u32 = 1;
    const IFF_UP: u32 = 1;
    const LENGTH: u32 = 32;
    let mut message = Vec::new();
    message.extend(LENGTH.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend([0; 8]); // sequence number and port
    message.extend([0; 4]); // any family, any kind of device
    message.extend(LO.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes()); // the flags to change

    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )
    .context("cannot open a netlink socket")?;
    let kernel = NetlinkAddr::new(0, 0);
    sendto(netlink.as_raw_fd(), &message, &kernel, MsgFlags::empty())
        .context("cannot send to the kernel over netlink")?;
    let mut answer = [0; 64];
    recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())
        .context("cannot receive the kernel's netlink answer")?;
    // An acknowledgement is an error message with the error 0, after its header.
    let error = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
    anyhow::ensure!(
        error == 0,
        "cannot bring the loopback device up: {}",
        nix::errno::Errno::from_raw(-error)
    );
    Ok(())
}
