//! A listener with hand-driven peers: connections that stop half-way, or whose far end falls silent.
use std::net::{TcpListener, TcpStream};

use crate::{
    Namespace, endpoint,
    tun::{ACK, KERNEL, Peer, RST, Tun},
};

/// Port of the listener.
pub const PORT: u16 = 4000;
/// Port of the peer with number 0.
pub const FIRST_PEER: u16 = 5000;

/// A namespace with a listener that connections from behind a device come to.
pub struct Scene {
    /// The namespace.
    pub ns: Namespace,
    /// The listener.
    pub listener: TcpListener,
    /// The device.
    pub tun: Tun,
}

impl Scene {
    /// One whose listener lets no more than `backlog` connections, and the one that the kernel adds, wait.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn new(backlog: i32) -> Self {
        let ns = Namespace::new();
        let (listener, tun) = ns.run(|| {
            let tun = Tun::new();
            (endpoint::listener((KERNEL, PORT).into(), backlog), tun)
        });
        Self { ns, listener, tun }
    }

    /// The peer with this number, which has not said anything.
    #[must_use]
    pub fn peer(&self, number: u16) -> Peer<'_> {
        Peer::new(&self.tun, FIRST_PEER + number, PORT)
    }

    /// A connection from behind the device, which has its SYN-ACK.
    #[must_use]
    pub fn half_open(&self, number: u16) -> Peer<'_> {
        Peer::half_open(&self.tun, FIRST_PEER + number, PORT)
    }

    /// A connection from behind the device, which waits to be accepted.
    #[must_use]
    pub fn waiting(&self, number: u16) -> Peer<'_> {
        Peer::connected(&self.tun, FIRST_PEER + number, PORT)
    }

    /// A connection from behind the device, accepted.
    ///
    /// # Panics
    /// It is not there.
    #[must_use]
    pub fn accepted(&self, number: u16) -> (Peer<'_>, TcpStream) {
        let peer = self.waiting(number);
        let (stream, _) = self.listener.accept().expect("accepting");
        (peer, stream)
    }
}

/// Ends what the kernel would otherwise go on with after the test.
pub fn reset<'a>(peers: impl IntoIterator<Item = Peer<'a>>) {
    for mut peer in peers {
        peer.send(RST | ACK);
    }
}
