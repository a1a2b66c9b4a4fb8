//! One question to the kernel by netlink, and its answer: what the tests need of `ip` and `ss`.
use std::os::fd::AsRawFd as _;

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
        socket,
    },
};

pub(crate) const REQUEST_AND_ACK: u16 = 0x1 | 0x4;
pub(crate) const CREATE: u16 = 0x400;

/// Asks about devices and addresses of the calling thread's network namespace.
pub(crate) fn ask_route(kind: u16, flags: u16, body: &[u8]) -> nix::Result<()> {
    ask(SockProtocol::NetlinkRoute, kind, flags, body)
}

/// Asks about sockets of the calling thread's network namespace.
pub(crate) fn ask_sockets(kind: u16, body: &[u8]) -> nix::Result<()> {
    ask(SockProtocol::NetlinkSockDiag, kind, REQUEST_AND_ACK, body)
}

/// Sends a request and waits for the answer.
fn ask(protocol: SockProtocol, kind: u16, flags: u16, body: &[u8]) -> nix::Result<()> {
    const HEADER: usize = 16;
    let length = u32::try_from(HEADER + body.len()).expect("a short message");
    let mut message = Vec::new();
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]); // sequence number and port
    message.extend(body);

    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        protocol,
    )?;
    let kernel = NetlinkAddr::new(0, 0);
    sendto(netlink.as_raw_fd(), &message, &kernel, MsgFlags::empty())?;
    let mut answer = [0; 256];
    recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    // An acknowledgement is an error message with the error 0, after its header.
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        error => Err(Errno::from_raw(-error)),
    }
}
