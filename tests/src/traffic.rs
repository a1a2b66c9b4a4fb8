//! Connections on the loopback device, one step at a time, so that every test knows which transitions to expect.
use std::{
    io::{ErrorKind, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
};

use nix::{
    libc,
    sys::socket::{setsockopt, sockopt},
};

use crate::PATIENCE;

/// The loopback address of IPv4.
pub const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The loopback address of IPv6.
pub const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Both ends of a connection.
#[derive(Debug)]
pub struct Pair {
    /// The end that connected.
    pub client: TcpStream,
    /// The end that was accepted.
    pub server: TcpStream,
}

/// A listener at a port that the kernel chooses.
///
/// # Panics
/// It cannot be made.
#[must_use]
pub fn listen(ip: IpAddr) -> TcpListener {
    TcpListener::bind((ip, 0)).expect("listening")
}

/// Where a listener listens.
///
/// # Panics
/// The kernel does not say.
#[must_use]
pub fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a listener has an address")
}

/// A connection to `to`, which `listener` accepts.
///
/// # Panics
/// It fails.
#[must_use]
pub fn connect_to(to: SocketAddr, listener: &TcpListener) -> Pair {
    let client = TcpStream::connect(to).expect("connecting");
    let (server, _) = listener.accept().expect("accepting");
    for stream in [&client, &server] {
        // A test that waits for what does not come must fail, not hang.
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a stream takes a time limit");
    }
    Pair { client, server }
}

/// A connection to a listener's own address.
///
/// # Panics
/// It fails.
#[must_use]
pub fn connect(listener: &TcpListener) -> Pair {
    connect_to(address(listener), listener)
}

impl Pair {
    /// Address of the client's end.
    ///
    /// # Panics
    /// The kernel does not say.
    #[must_use]
    pub fn client_address(&self) -> SocketAddr {
        self.client.local_addr().expect("a client has an address")
    }

    /// Closes the client's end, and the server's when that has seen it.
    ///
    /// # Panics
    /// The server does not see it.
    pub fn close_client_first(self) {
        drop(self.client);
        await_end(&self.server);
    }

    /// Throws the client's end away, and closes the server's when that has seen it.
    ///
    /// # Panics
    /// The server does not see it.
    pub fn reset_by_client(self) {
        reset(self.client);
        await_reset(&self.server);
    }

    /// Throws the server's end away, and closes the client's when that has seen it.
    ///
    /// # Panics
    /// The client does not see it.
    pub fn reset_by_server(self) {
        reset(self.server);
        await_reset(&self.client);
    }

    /// Closes the server's end, and the client's when that has seen it.
    ///
    /// # Panics
    /// The client does not see it.
    pub fn close_server_first(self) {
        drop(self.server);
        await_end(&self.client);
    }
}

/// Waits until the peer has closed: this end is in `CLOSE_WAIT` then.
///
/// # Panics
/// Data or an error comes instead.
pub fn await_end(mut stream: &TcpStream) {
    let read = stream.read(&mut [0]).expect("waiting for the end");
    assert_eq!(read, 0, "data instead of the end");
}

/// Waits until the peer has thrown the connection away.
///
/// # Panics
/// Data or an orderly end comes instead.
pub fn await_reset(mut stream: &TcpStream) {
    let error = stream.read(&mut [0]).expect_err("waiting for a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

/// Closes with a reset (`SO_LINGER` 0).
fn reset(stream: TcpStream) {
    let now = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&stream, sockopt::Linger, &now).expect("setting SO_LINGER");
    drop(stream);
}
