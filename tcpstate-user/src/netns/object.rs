//! What can be opened inside a network namespace and used from outside: a descriptor stays in the namespace where it was
//! opened, whoever reads it later. So one that has no privilege can be given it by one that has.
use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{BorrowedFd, OwnedFd},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use serde::{Deserialize, Serialize};

use super::{Netns, current, within};
use crate::{doctor::evidence::Settings, privilege::Helper, source::kernel};

/// Something to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Object<T = &'static str> {
    /// The namespace itself, to see whether it can be entered.
    Itself,
    /// The kernel's counters.
    Table(Table),
    /// A setting by its path below `/proc/sys/net`: one of [`Settings::PATHS`].
    Setting(T),
    /// A netlink socket that answers about sockets.
    SockDiag,
    /// An iterator over the sockets, of a link that comes with it.
    Iterator,
}

/// A file of `/proc/net`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Table {
    /// The counters of `TcpExt`.
    Netstat,
    /// Those of `Tcp`.
    Snmp,
    /// Sockets in use.
    Sockstat,
}

impl<T: AsRef<str>> Object<T> {
    /// Opens it in the calling thread's namespace.
    pub(crate) fn open(&self, link: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
        let file = |path: &str| Ok(File::open(path)?.into());
        match (self, link) {
            // The thread's own links: `/proc/net` and `/proc/self` show the namespace of the process's first thread.
            (Self::Itself, _) => file("/proc/thread-self/ns/net"),
            (Self::Table(Table::Netstat), _) => file("/proc/thread-self/net/netstat"),
            (Self::Table(Table::Snmp), _) => file("/proc/thread-self/net/snmp"),
            (Self::Table(Table::Sockstat), _) => file("/proc/thread-self/net/sockstat"),
            (Self::Setting(path), _) if Settings::PATHS.contains(&path.as_ref()) => {
                file(&format!("/proc/sys/net/{}", path.as_ref()))
            }
            (Self::SockDiag, _) => Ok(socket(
                AddressFamily::Netlink,
                SockType::Datagram,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::NetlinkSockDiag,
            )?),
            (Self::Iterator, Some(link)) => kernel::iterate(link),
            (Self::Setting(_) | Self::Iterator, _) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

/// Makes sure that the namespace can be entered.
///
/// # Errors
/// It cannot. `NotFound` means that it is gone.
pub fn check(ns: &Netns) -> io::Result<()> {
    open(Some(ns), Object::Itself, None).map(drop)
}

/// Reads a table or a setting of the namespace; of the caller's own, without a look at `/proc` for it, if it is none.
///
/// # Errors
/// It cannot be entered, or does not have it.
pub fn read<'a>(ns: impl Into<Option<&'a Netns>>, object: Object) -> io::Result<String> {
    let mut text = String::new();
    File::from(open(ns.into(), object, None)?).read_to_string(&mut text)?;
    Ok(text)
}

/// A netlink socket that answers about the sockets of the namespace; of the caller's own if it is none.
///
/// # Errors
/// It cannot be entered, or no such socket made.
pub fn sock_diag(ns: Option<&Netns>) -> io::Result<OwnedFd> {
    open(ns, Object::SockDiag, None)
}

/// An iterator over the sockets of the namespace, of the program that `link` is attached to.
///
/// # Errors
/// It cannot be entered, or the kernel refuses.
pub fn iterate(ns: &Netns, link: BorrowedFd<'_>) -> io::Result<File> {
    Ok(open(Some(ns), Object::Iterator, Some(link))?.into())
}

/// What is in the caller's own namespace needs no privilege; anything else the helper opens, where there is one.
fn open(ns: Option<&Netns>, object: Object, link: Option<BorrowedFd<'_>>) -> io::Result<OwnedFd> {
    let Some(ns) = ns else {
        return object.open(link);
    };
    if current()?.inode == ns.inode {
        return object.open(link);
    }
    match Helper::running() {
        Some(helper) => helper.open(ns, object, link),
        None => within(ns, || object.open(link))?,
    }
}
