//! Makes a TUN device and configures it by netlink: what `ip tuntap add`, `ip address add` and `ip link set up` do.
use std::{
    ffi::c_char,
    fs::{self, File},
    io,
    net::Ipv4Addr,
    os::fd::AsRawFd as _,
    path::Path,
};

use nix::{
    errno::Errno,
    libc,
    net::if_::if_nametoindex,
    sys::stat::{Mode, SFlag, makedev, mknod},
};

use crate::netlink::{CREATE, REQUEST_AND_ACK, ask_route};

const NODE: &str = "/dev/net/tun";
/// Numbers of the node (Documentation/admin-guide/devices.txt).
const MAJOR_MINOR: (u64, u64) = (10, 200);
/// Name of the device; it is alone in its namespace.
const NAME: &str = "tun0";
/// The peers' addresses have this many bits in common.
const PREFIX: u8 = 24;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const IFA_LOCAL: u16 = 2;
const IFF_UP: u32 = 1;

/// A device in the calling thread's namespace, up, with `address`.
pub(super) fn open(address: Ipv4Addr) -> io::Result<File> {
    let node = Path::new(NODE);
    if !node.exists() {
        fs::create_dir_all("/dev/net")?;
        let number = makedev(MAJOR_MINOR.0, MAJOR_MINOR.1);
        mknod(node, SFlag::S_IFCHR, Mode::S_IRUSR | Mode::S_IWUSR, number)?;
    }
    let file = File::options().read(true).write(true).open(node)?;
    attach(&file)?;
    let index = if_nametoindex(NAME)?;
    set_address(index, address)?;
    set_up(index)?;
    Ok(file)
}

/// Makes the device that `file` reads from and writes to.
fn attach(file: &File) -> io::Result<()> {
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: (libc::IFF_TUN | libc::IFF_NO_PI) as i16,
        },
    };
    for (to, from) in request.ifr_name.iter_mut().zip(NAME.bytes()) {
        *to = from as c_char;
    }
    #[expect(unsafe_code, reason = "no crate of ours has this ioctl")]
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which outlives the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    Errno::result(result)?;
    Ok(())
}

fn set_address(index: u32, address: Ipv4Addr) -> nix::Result<()> {
    let mut body = vec![libc::AF_INET as u8, PREFIX, 0, 0];
    body.extend(index.to_ne_bytes());
    body.extend(8_u16.to_ne_bytes()); // length of the attribute, its header included
    body.extend(IFA_LOCAL.to_ne_bytes());
    body.extend(address.octets());
    ask_route(RTM_NEWADDR, REQUEST_AND_ACK | CREATE, &body)
}

fn set_up(index: u32) -> nix::Result<()> {
    let mut body = vec![0; 4]; // any family, any kind of device
    body.extend(index.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes()); // the flags to change
    ask_route(RTM_NEWLINK, REQUEST_AND_ACK, &body)
}
