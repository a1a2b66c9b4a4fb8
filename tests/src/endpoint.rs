//! Sockets of the kernel's side with an address, a backlog or an option that the standard library does not give them.
use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    libc, setsockopt_impl, sockopt_impl,
    sys::socket::{
        AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrStorage, bind, connect,
        listen, sendto, setsockopt, socket, sockopt,
    },
};

// nix has no names for these options.
sockopt_impl!(
    /// Seconds that an orphan stays in `FIN_WAIT2`; below zero: none.
    Linger2,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_LINGER2,
    libc::c_int
);
sockopt_impl!(
    /// How many connections a listener may have that began with data.
    FastOpen,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_FASTOPEN,
    libc::c_int
);

/// A listener that lets no more than `backlog` connections, and the one that the kernel adds, wait.
///
/// # Panics
/// It cannot be made.
#[must_use]
pub fn listener(address: SocketAddr, backlog: i32) -> TcpListener {
    let listener = TcpListener::bind(address).expect("listening");
    let backlog = Backlog::new(backlog).expect("a backlog");
    listen(&listener, backlog).expect("listening again");
    listener
}

/// A socket bound to `local`; its port may be that of a connection in `TIME_WAIT`.
///
/// # Panics
/// It cannot be made.
#[must_use]
pub fn bound(local: SocketAddr) -> OwnedFd {
    let family = match local {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    setsockopt(&socket, sockopt::ReuseAddr, &true).expect("setting SO_REUSEADDR");
    bind(socket.as_raw_fd(), &SockaddrStorage::from(local)).expect("binding");
    socket
}

/// A connection from `local`, complete.
///
/// # Panics
/// It fails.
#[must_use]
pub fn connected(local: SocketAddr, to: SocketAddr) -> TcpStream {
    let socket = bound(local);
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to)).expect("connecting");
    TcpStream::from(socket)
}

/// A connection from `local` that has only begun: its SYN is sent.
///
/// # Panics
/// It fails, or is complete.
#[must_use]
pub fn connecting(local: SocketAddr, to: SocketAddr) -> TcpStream {
    let stream = TcpStream::from(bound(local));
    stream.set_nonblocking(true).expect("a stream can do that");
    let result = connect(stream.as_raw_fd(), &SockaddrStorage::from(to));
    assert_eq!(result, Err(Errno::EINPROGRESS), "connecting to {to}");
    stream
}

/// A connection from `local` whose first segment carries `data`, if the kernel has a Fast Open cookie of `to`.
///
/// # Panics
/// It fails.
#[must_use]
pub fn connected_with_data(local: SocketAddr, to: SocketAddr, data: &[u8]) -> TcpStream {
    let socket = bound(local);
    let to = SockaddrStorage::from(to);
    let sent = sendto(
        socket.as_raw_fd(),
        data,
        &to,
        MsgFlags::from_bits_retain(libc::MSG_FASTOPEN),
    );
    assert_eq!(sent, Ok(data.len()), "connecting with data");
    TcpStream::from(socket)
}

/// Sets an option that `close` will look at.
///
/// # Panics
/// The kernel refuses.
pub fn set_linger2(stream: &TcpStream, seconds: i32) {
    setsockopt(stream, Linger2, &seconds).expect("setting TCP_LINGER2");
}

/// Lets so many connections of a listener begin with data.
///
/// # Panics
/// The kernel refuses.
pub fn set_fast_open(listener: &TcpListener, queue: i32) {
    setsockopt(listener, FastOpen, &queue).expect("setting TCP_FASTOPEN");
}
