//! Brings the loopback device of the calling thread's network namespace up: it is down in a new one.
use std::os::fd::AsRawFd as _;

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
        socket,
    },
};

const RTM_NEWLINK: u16 = 16;
const REQUEST_AND_ACK: u16 = 0x1 | 0x4;
/// The loopback device is the first of every namespace.
const LO: u32 = 1;
const IFF_UP: u32 = 1;
/// Header and `struct ifinfomsg`, 16 bytes each.
const LENGTH: u32 = 32;

/// `ip link set lo up`, as the netlink message that it is.
pub(crate) fn up() -> nix::Result<()> {
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
    )?;
    let kernel = NetlinkAddr::new(0, 0);
    sendto(netlink.as_raw_fd(), &message, &kernel, MsgFlags::empty())?;
    let mut answer = [0; 64];
    recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    // An acknowledgement is an error message with the error 0, after its header.
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        error => Err(Errno::from_raw(-error)),
    }
}
