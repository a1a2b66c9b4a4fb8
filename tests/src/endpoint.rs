//! Sockets of the kernel's side with an address, a backlog or an option that the standard library does not give them.
use std::{
    net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream},
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

use crate::netlink::ask_sockets;

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

/// A backlog as long as the kernel allows, `somaxconn`.
pub const LONGEST: i32 = -1;

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

/// A listener that shares its address with others that do.
///
/// # Panics
/// It cannot be made.
#[must_use]
pub fn sharing_listener(address: SocketAddr) -> TcpListener {
    let socket = unbound(address);
    setsockopt(&socket, sockopt::ReusePort, &true).expect("setting SO_REUSEPORT");
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address)).expect("binding");
    listen(&socket, Backlog::new(8).expect("a backlog")).expect("listening");
    TcpListener::from(socket)
}

/// A socket bound to `local`; its port may be that of a connection in `TIME_WAIT`.
///
/// # Panics
/// It cannot be made.
#[must_use]
pub fn bound(local: SocketAddr) -> OwnedFd {
    let socket = unbound(local);
    setsockopt(&socket, sockopt::ReuseAddr, &true).expect("setting SO_REUSEADDR");
    bind(socket.as_raw_fd(), &SockaddrStorage::from(local)).expect("binding");
    socket
}

/// A socket of the family of `local`.
fn unbound(local: SocketAddr) -> OwnedFd {
    let family = match local {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket")
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

/// Destroys a socket of the calling thread's network namespace, full or mini, as `ss -K` does.
///
/// # Errors
/// The kernel's: there is none, or it cannot destroy this one.
pub fn destroy(local: SocketAddrV4, remote: SocketAddrV4) -> nix::Result<()> {
    const SOCK_DESTROY: u16 = 21;
    // struct inet_diag_req_v2: what it is,
    let mut request = vec![libc::AF_INET as u8, libc::IPPROTO_TCP as u8, 0, 0];
    request.extend(u32::MAX.to_ne_bytes()); // in any state,
    request.extend(local.port().to_be_bytes());
    request.extend(remote.port().to_be_bytes());
    for address in [local, remote] {
        request.extend(address.ip().octets()); // in room for IPv6
        request.extend([0; 12]);
    }
    request.extend([0; 4]); // on any device,
    request.extend([0xff; 8]); // with any cookie
    ask_sockets(SOCK_DESTROY, &request)
}
