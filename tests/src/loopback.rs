//! The loopback device of the calling thread's network namespace: down in a new one, until it is brought up here. Spoken
//! to by netlink, so that no `ip` is needed.
use std::net::Ipv6Addr;

use crate::netlink::{CREATE, REQUEST_AND_ACK, ask_route};

/// The loopback device is the first of every namespace.
const LO: u32 = 1;

/// `ip link set lo up`
pub(crate) fn up() -> nix::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const IFF_UP: u32 = 1;
    let mut link = vec![0; 4]; // struct ifinfomsg: any family, any kind of device
    link.extend(LO.to_ne_bytes());
    link.extend(IFF_UP.to_ne_bytes());
    link.extend(IFF_UP.to_ne_bytes()); // the flags to change
    ask_route(RTM_NEWLINK, REQUEST_AND_ACK, &link)
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
    ask_route(RTM_NEWADDR, REQUEST_AND_ACK | CREATE, &place)
}
