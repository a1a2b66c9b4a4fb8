//! A TUN device in the test's namespace with a hand-driven TCP peer behind it: every segment that the peer sends is the
//! test's own decision, so that any path through the state diagram can be walked, and any state held for as long as
//! wanted. IPv4 only; loopback serves for the rest.
mod device;
mod peer;
mod segment;

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::Ipv4Addr,
    os::fd::AsFd as _,
    time::Instant,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub use self::{
    peer::Peer,
    segment::{ACK, FIN, RST, SYN, Segment},
};
use crate::PATIENCE;

/// The kernel's address on the device.
pub const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The address of every peer.
pub const PEER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// The device: whatever the kernel sends to [`PEER`] is read here. It goes with this value.
#[derive(Debug)]
pub struct Tun {
    file: File,
}

impl Tun {
    /// A device in the calling thread's network namespace, up, with [`KERNEL`] as its address.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn new() -> Self {
        Self {
            file: device::open(KERNEL).expect("making a TUN device"),
        }
    }

    /// Lets a segment arrive at the kernel.
    fn send(&self, packet: &[u8]) {
        let written = (&self.file).write(packet).expect("writing to the device");
        assert_eq!(written, packet.len(), "a segment is written whole");
    }

    /// Waits for a segment that `wanted` picks; others before it are dropped, as a peer does that does not answer.
    fn receive(&self, what: &str, mut wanted: impl FnMut(&Segment) -> bool) -> Segment {
        let start = Instant::now();
        let mut dropped = Vec::new();
        loop {
            let left = PATIENCE.saturating_sub(start.elapsed());
            let timeout = PollTimeout::try_from(left).expect("patience is short");
            let mut files = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut files, timeout).expect("waiting for a segment");
            assert!(
                ready > 0,
                "the kernel does not send {what}; it sent {dropped:#?}"
            );
            let mut packet = [0; 2048];
            let length = (&self.file)
                .read(&mut packet)
                .expect("reading from the device");
            match Segment::read(&packet[..length]) {
                Some(segment) if wanted(&segment) => return segment,
                Some(segment) => dropped.push(segment),
                None => {} // the kernel's own IPv6 chatter
            }
        }
    }
}

impl Default for Tun {
    fn default() -> Self {
        Self::new()
    }
}
