//! The loopback device of the calling thread's network namespace: down in a new one, until it is brought up here. Spoken
//! to by netlink, so that no `ip` is needed.
use std::{net::Ipv6Addr, os::fd::AsRawFd as _};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
        socket,
    },
};

/// The loopback device is the first of every namespace.
const LO: u32 = 1;
pub(crate) const REQUEST_AND_ACK: u16 = 0x1 | 0x4;
pub(crate) const CREATE: u16 = 0x400;

/// `ip link set lo up`
pub(crate) fn up() -> nix::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const IFF_UP: u32 = 1;
    let mut link = vec![0; 4]; // struct ifinfomsg: any family, any kind of device
    link.extend(LO.to_ne_bytes());
    link.extend(IFF_UP.to_ne_bytes());
    link.extend(IFF_UP.to_ne_bytes()); // the flags to change
    ask(RTM_NEWLINK, REQUEST_AND_ACK, &link)
}

/// `ip addr add ADDRESS/128 dev lo`
pub(crate) fn add(address: Ipv6Addr) -> nix::Result<()> {
    const RTM_NEWADDR: u16 = 20;
    const AF_INET6: u8 = 10;
    const IFA_LOCAL: u16 = 2;
    const ATTRIBUTE: u16 = 20;
    // Without it the address is tentative until a worker of the kernel comes by, and nobody can bind to it.
    const IFA_F_NODAD: u8 = 2;
    let mut place = vec![AF_INET6, 128, IFA_F_NODAD, 0]; // struct ifaddrmsg; valid everywhere
    place.extend(LO.to_ne_bytes());
    place.extend(ATTRIBUTE.to_ne_bytes());
    place.extend(IFA_LOCAL.to_ne_bytes());
    place.extend(address.octets());
    ask(RTM_NEWADDR, REQUEST_AND_ACK | CREATE, &place)
}

/// Sends a request and waits for the answer.
pub(crate) fn ask(kind: u16, flags: u16, body: &[u8]) -> nix::Result<()> {
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
        SockProtocol::NetlinkRoute,
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
