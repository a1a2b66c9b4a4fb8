//! The churn: connections of every kind, so many a second, until it is stopped. Two threads make those that end at once, on
//! loopback; one makes those that wait for a timer of the kernel, with peers behind a TUN device that do not answer.
use std::{
    collections::VecDeque,
    fmt::Write as _,
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread::{self, Scope, ScopedJoinHandle},
    time::{Duration, Instant},
};

use tcpstate_tests::{
    Namespace, Pair, endpoint, host, sockets, traffic,
    tun::{ACK, FIN, KERNEL, PEER, Peer, RST, Tun},
};

/// Threads that make connections on loopback.
const THREADS: u8 = 2;
/// One in so many connections waits for a timer.
const SLOW_SHARE: u32 = 50;
/// Addresses that a thread connects to in turn, so that ports do not run out.
const ADDRESSES: u8 = 64;
const FIRST_PORT: u16 = 9_000;
/// Nobody listens here.
const DEAF: u16 = 9_999;
/// Ports of peers, and of the kernel's ends that connect to them, are used in turn.
const PORTS: u16 = 20_000;
const FIRST_PEER: u16 = 2_000;
const FIRST_CLIENT: u16 = 32_000;
/// After so long every timer of the namespace has done its work: two SYNs, SYN-ACKs or FINs, and two seconds of FIN_WAIT2.
const OVER: Duration = Duration::from_secs(10);

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
enum Kind {
    ClientFirst,
    ServerFirst,
    Both,
    HalfClosed,
    ResetByClient,
    ResetByServer,
    Unread,
    Refused,
    SynTimeout,
    HalfOpenTimeout,
    HalfOpenReset,
    Orphan,
    PeerGone,
}

/// Those that end at once …
const FAST: [Kind; 8] = [
    Kind::ClientFirst,
    Kind::ServerFirst,
    Kind::Both,
    Kind::HalfClosed,
    Kind::ResetByClient,
    Kind::ResetByServer,
    Kind::Unread,
    Kind::Refused,
];
/// … and those that wait.
const SLOW: [Kind; 5] = [
    Kind::SynTimeout,
    Kind::HalfOpenTimeout,
    Kind::HalfOpenReset,
    Kind::Orphan,
    Kind::PeerGone,
];

/// It.
pub struct Churn {
    rate: u32,
    stop: AtomicBool,
    made: [AtomicU64; FAST.len() + SLOW.len()],
}

/// Stops it when it goes.
pub struct Stop<'a>(&'a Churn);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

impl Churn {
    /// Of so many connections a second; it has not begun.
    pub fn new(rate: u32) -> Self {
        Self {
            rate,
            stop: AtomicBool::new(false),
            made: Default::default(),
        }
    }

    /// What stops it.
    pub fn stop_with(&self) -> Stop<'_> {
        Stop(self)
    }

    /// Begins in `ns`. A thread ends when it is stopped and its last connections are over.
    pub fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        ns: &'scope Namespace,
    ) -> Vec<ScopedJoinHandle<'scope, ()>> {
        ns.run(|| {
            for (setting, value) in [
                ("tcp_syn_retries", "1"),
                ("tcp_synack_retries", "1"),
                ("tcp_orphan_retries", "1"),
                ("tcp_fin_timeout", "2"),
            ] {
                host::set(setting, value);
            }
        });
        let slow = self.rate / SLOW_SHARE;
        let fast = (self.rate - slow) / u32::from(THREADS);
        let mut threads = vec![scope.spawn(move || ns.run(|| self.wait_for_timers(slow)))];
        for number in 0..THREADS {
            threads.push(scope.spawn(move || ns.run(|| self.loopback(number, fast))));
        }
        threads
    }

    /// Connections so far.
    pub fn made(&self) -> u64 {
        self.made
            .iter()
            .map(|made| made.load(Ordering::Relaxed))
            .sum()
    }

    /// How many of each kind.
    pub fn kinds(&self) -> String {
        let mut text = String::new();
        for (kind, made) in FAST.iter().chain(&SLOW).zip(&self.made) {
            // A string cannot fail.
            let _ = write!(text, "{kind:?} {}  ", made.load(Ordering::Relaxed));
        }
        text.trim_end().to_owned()
    }

    fn count(&self, kind: Kind) {
        self.made[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for the moment of each connection, and calls `make` for it.
    fn pace(&self, rate: u32, mut make: impl FnMut()) {
        let mut due = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            make();
            due += Duration::from_secs(1) / rate;
        }
    }

    fn loopback(&self, thread: u8, rate: u32) {
        let port = FIRST_PORT + u16::from(thread);
        let listener = endpoint::listener((Ipv4Addr::UNSPECIFIED, port).into(), endpoint::LONGEST);
        let mut kinds = FAST.iter().cycle();
        let mut addresses = (0..ADDRESSES).cycle();
        self.pace(rate, || {
            let (Some(kind), Some(low)) = (kinds.next(), addresses.next()) else {
                return; // a cycle has no end
            };
            let address = Ipv4Addr::new(127, thread + 1, 0, low);
            fast(*kind, &listener, (address, port).into());
            self.count(*kind);
        });
        sockets::await_end();
    }

    fn wait_for_timers(&self, rate: u32) {
        let tun = Tun::new();
        let behind: SocketAddr = (KERNEL, FIRST_PORT - 1).into();
        let behind = endpoint::listener(behind, endpoint::LONGEST);
        let loopback = traffic::listen(traffic::V4);
        let mut kept: VecDeque<(Instant, TcpStream)> = VecDeque::new();
        let mut kinds = SLOW.iter().cycle();
        let mut numbers = (0..PORTS).cycle();
        self.pace(rate.max(1), || {
            let (Some(kind), Some(number)) = (kinds.next(), numbers.next()) else {
                return; // a cycle has no end
            };
            while kept
                .front()
                .is_some_and(|(since, _)| since.elapsed() > OVER)
            {
                kept.pop_front();
            }
            let keep = slow(*kind, number, &tun, &behind, &loopback);
            kept.extend(keep.map(|stream| (Instant::now(), stream)));
            self.count(*kind);
        });
        // Half-open ones have no stream to keep: they too are over then.
        thread::sleep(OVER);
        drop(kept);
        sockets::await_end();
    }
}

/// Makes a connection and ends it.
fn fast(kind: Kind, listener: &TcpListener, to: SocketAddr) {
    if let Kind::Refused = kind {
        let refused = TcpStream::connect((to.ip(), DEAF)).expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{refused}");
        return;
    }
    let mut pair = traffic::connect_to(to, listener);
    match kind {
        Kind::ClientFirst => pair.close_client_first(),
        Kind::ServerFirst => pair.close_server_first(),
        Kind::Both => {
            let Pair { client, server } = pair;
            for end in [&client, &server] {
                end.shutdown(Shutdown::Write).expect("closing one way");
            }
            traffic::await_end(&server);
            traffic::await_end(&client);
        }
        Kind::HalfClosed => {
            pair.client
                .shutdown(Shutdown::Write)
                .expect("closing one way");
            traffic::await_end(&pair.server);
            pair.server.write_all(b"the rest").expect("sending");
            drop(pair.server);
            let read = pair.client.read_to_end(&mut Vec::new());
            assert_eq!(read.expect("reading the rest"), 8);
        }
        Kind::ResetByClient => pair.reset_by_client(),
        Kind::ResetByServer => pair.reset_by_server(),
        // Closed with data that nobody has read, which the kernel answers with a reset.
        Kind::Unread => {
            pair.client.write_all(b"unread").expect("sending");
            pair.server.peek(&mut [0]).expect("waiting for it");
            drop(pair.server);
            traffic::await_reset(&pair.client);
        }
        _ => unreachable!("{kind:?} is none of the fast ones"),
    }
}

/// Begins a connection that a timer of the kernel will end; returns the stream that has to stay open until then.
fn slow(
    kind: Kind,
    number: u16,
    tun: &Tun,
    behind: &TcpListener,
    loopback: &TcpListener,
) -> Option<TcpStream> {
    let peer = FIRST_PEER + number;
    let listener = traffic::address(behind).port();
    match kind {
        Kind::SynTimeout => {
            let local = (KERNEL, FIRST_CLIENT + number).into();
            Some(endpoint::connecting(local, (PEER, peer).into()))
        }
        Kind::HalfOpenTimeout => {
            let _ = Peer::half_open(tun, peer, listener);
            None
        }
        Kind::HalfOpenReset => {
            Peer::half_open(tun, peer, listener).send(RST);
            None
        }
        // Its other end does not close: FIN_WAIT2 without an owner.
        Kind::Orphan => {
            let pair = traffic::connect(loopback);
            drop(pair.client);
            traffic::await_end(&pair.server);
            Some(pair.server)
        }
        // Its other end does not even acknowledge the FIN.
        Kind::PeerGone => {
            let mut peer = Peer::connected(tun, peer, listener);
            let (stream, _) = behind.accept().expect("accepting");
            drop(stream);
            peer.take(FIN | ACK);
            None
        }
        _ => unreachable!("{kind:?} is none of the slow ones"),
    }
}
