//! A socket in every state, on the loopback device alone, for as long as the zoo stands.
use std::{
    io::{ErrorKind, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    setsockopt_impl, sockopt_impl,
    sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, setsockopt, socket,
    },
};

use crate::{
    PATIENCE, Pair, poll_until,
    sockets::{self, ByState},
    traffic::{self, V4, V6},
};

// nix has no name for this option.
sockopt_impl!(
    /// The listener's half of a connection stays in `SYN_RECV` for so many seconds unless data comes.
    DeferAccept,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    u32
);

/// The sockets.
#[derive(Debug, Default)]
pub struct Zoo {
    listeners: Vec<TcpListener>,
    pairs: Vec<Pair>,
    streams: Vec<TcpStream>,
    half_made: Vec<OwnedFd>,
}

impl Zoo {
    /// Fills the calling thread's network namespace, which must be empty.
    ///
    /// # Panics
    /// A state is not reached.
    #[must_use]
    pub fn new() -> Self {
        let mut zoo = Self::default();
        let listener = traffic::listen(V4);
        let listener6 = traffic::listen(V6);
        zoo.pairs.push(traffic::connect(&listener)); // ESTABLISHED, twice
        zoo.pairs.push(traffic::connect(&listener6));
        traffic::connect(&listener).close_client_first(); // TIME_WAIT
        traffic::connect(&listener6).close_server_first();
        zoo.half_closed(traffic::connect(&listener6));
        zoo.orphaned(traffic::connect(&listener));
        zoo.fin_wait1(traffic::connect(&listener));
        zoo.closing(traffic::connect(&listener));
        zoo.last_ack(traffic::connect(&listener));
        zoo.syn_recv();
        zoo.syn_sent();
        zoo.listeners.extend([listener, listener6]);
        zoo
    }

    /// What it holds.
    #[must_use]
    pub fn expected() -> ByState {
        let mut expected = sockets::none();
        for (state, count) in [
            // Both ends of two pairs; the peers of FIN_WAIT1, SYN_RECV, and the accepted ones before SYN_SENT.
            ("ESTABLISHED", 4 + 1 + 1 + 2),
            ("SYN_SENT", 1),
            ("SYN_RECV", 1),
            ("FIN_WAIT1", 1),
            // Half closed, orphaned (a mini-socket), the peers of CLOSING and LAST_ACK.
            ("FIN_WAIT2", 4),
            ("TIME_WAIT", 2),
            // The peers of the first two of those, and of FIN_WAIT1 none: its FIN is stuck behind its data.
            ("CLOSE_WAIT", 2),
            ("LAST_ACK", 1),
            ("LISTEN", 4),
            ("CLOSING", 1),
        ] {
            expected.insert(state.to_owned(), count);
        }
        expected
    }

    /// Waits until the kernel shows exactly that.
    ///
    /// # Panics
    /// It does not.
    pub fn settle() {
        poll_until("a socket in every state", || {
            let seen = sockets::by_state();
            (seen == Self::expected())
                .then_some(())
                .ok_or(format!("{seen:?} instead of {:?}", Self::expected()))
        });
    }

    /// `FIN_WAIT2` and `CLOSE_WAIT`, both with a user.
    fn half_closed(&mut self, pair: Pair) {
        shut(&pair.client);
        traffic::await_end(&pair.server);
        self.pairs.push(pair);
    }

    /// The same, but `FIN_WAIT2` is what the kernel keeps after `close`: a mini-socket.
    fn orphaned(&mut self, pair: Pair) {
        drop(pair.client);
        traffic::await_end(&pair.server);
        self.streams.push(pair.server);
    }

    /// The end of the client waits behind data that the server does not read.
    fn fin_wait1(&mut self, pair: Pair) {
        stuff(&pair.client);
        shut(&pair.client);
        self.pairs.push(pair);
    }

    /// As before, and the server closes too: its end arrives, the client's does not.
    fn closing(&mut self, pair: Pair) {
        stuff(&pair.client);
        shut(&pair.client);
        shut(&pair.server);
        self.pairs.push(pair);
    }

    /// The server's end waits behind data that the client does not read.
    fn last_ack(&mut self, pair: Pair) {
        stuff(&pair.server);
        shut(&pair.client);
        traffic::await_end(&pair.server);
        shut(&pair.server);
        self.pairs.push(pair);
    }

    /// The listener waits for data before it believes in the connection; the client believes in it at once.
    fn syn_recv(&mut self) {
        let listener = traffic::listen(V4);
        setsockopt(&listener, DeferAccept, &60).expect("setting TCP_DEFER_ACCEPT");
        let client = TcpStream::connect(traffic::address(&listener)).expect("connecting");
        self.streams.push(client);
        self.listeners.push(listener);
    }

    /// A listener whose queue is full does not answer.
    fn syn_sent(&mut self) {
        let listener = traffic::listen(V4);
        let address = traffic::address(&listener);
        let empty = Backlog::new(0).expect("a backlog of 0");
        nix::sys::socket::listen(&listener, empty).expect("listening again");
        // The kernel lets one more wait than was asked for.
        let waiting = TcpStream::connect(address).expect("connecting");
        await_connection(&listener);
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a socket");
        let connecting =
            nix::sys::socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(address));
        assert_eq!(connecting, Err(Errno::EINPROGRESS));
        self.half_made.push(socket);
        self.streams.push(waiting);
        self.listeners.push(listener);
    }
}

/// Waits until somebody can be accepted: with a SYN cookie, a client may believe in its connection before.
fn await_connection(listener: &TcpListener) {
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let limit = PollTimeout::try_from(PATIENCE).expect("a short time");
    assert_eq!(poll(&mut fds, limit), Ok(1), "nobody comes");
}

fn shut(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).expect("closing one way");
}

/// Writes until nothing more fits anywhere on the way.
fn stuff(mut stream: &TcpStream) {
    let data = [0; 64 << 10];
    stream.set_nonblocking(true).expect("a stream can do that");
    loop {
        match stream.write(&data) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("writing: {error}"),
        }
    }
    stream.set_nonblocking(false).expect("a stream can do that");
}
