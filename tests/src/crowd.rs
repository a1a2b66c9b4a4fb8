//! Hundreds of connections of every kind, on loopback and with hand-driven peers, that come and go round by round and
//! stand still between rounds. Every local port is in [`PORTS`].
use std::{
    mem,
    net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    ops::RangeInclusive,
};

use crate::{
    Pair, endpoint, sockets,
    traffic::{self, V4},
    tun::{ACK, FIN, KERNEL, PEER, Peer, RST, Tun},
};

/// Local ports of the crowd.
pub const PORTS: RangeInclusive<u16> = LISTENER..=29_999;
const LISTENER: u16 = 26_000;
const FIRST_CLIENT: u16 = 26_100;
/// Port of the first peer behind the device.
const FIRST_PEER: u16 = 2_000;
/// Connections of each kind that a round adds.
const OF_EACH: usize = 4;

/// The connections.
pub struct Crowd<'a> {
    tun: &'a Tun,
    behind: TcpListener,
    loopback: [TcpListener; 2],
    next_port: u16,
    kept: Vec<TcpStream>,
    /// Of the last round.
    pairs: Vec<Pair>,
    recent: Recent<'a>,
    /// Of the rounds before.
    silent: Vec<Peer<'a>>,
}

/// Peers whose connections stand in one state each; the next round moves one of each on.
#[derive(Default)]
struct Recent<'a> {
    syn_sent: Vec<Peer<'a>>,
    syn_recv: Vec<Peer<'a>>,
    fin_wait1: Vec<Peer<'a>>,
    closing: Vec<Peer<'a>>,
    last_ack: Vec<Peer<'a>>,
}

impl<'a> Crowd<'a> {
    /// Nobody but the listeners, in the calling thread's network namespace, which has `tun`.
    ///
    /// # Panics
    /// They cannot be made.
    #[must_use]
    pub fn new(tun: &'a Tun) -> Self {
        let listen = |ip| endpoint::listener(SocketAddr::new(ip, LISTENER), endpoint::LONGEST);
        Self {
            tun,
            behind: listen(IpAddr::V4(KERNEL)),
            loopback: [V4, IpAddr::V6(Ipv6Addr::LOCALHOST)].map(listen),
            next_port: 0,
            kept: Vec::new(),
            pairs: Vec::new(),
            recent: Recent::default(),
            silent: Vec::new(),
        }
    }

    /// Moves some connections of the last round on and adds new ones.
    ///
    /// # Panics
    /// A connection does not do what it should.
    pub fn round(&mut self) {
        self.move_on();
        for number in 0..OF_EACH {
            let listener = number % 2;
            let pair = self.pair(listener);
            self.pairs.push(pair);
            self.pair(listener).close_client_first();
            self.pair(listener).close_server_first();
            let half_closed = self.pair(listener);
            half_closed
                .client
                .shutdown(Shutdown::Write)
                .expect("closing one way");
            traffic::await_end(&half_closed.server);
            self.kept.extend([half_closed.client, half_closed.server]);
            let orphan = self.pair(listener);
            drop(orphan.client);
            traffic::await_end(&orphan.server);
            self.kept.push(orphan.server);
            self.connections_behind();
        }
    }

    /// Ends every connection, so that none outlives the namespace's last task.
    ///
    /// # Panics
    /// One does not end.
    pub fn end(mut self) {
        self.move_on();
        for peer in &mut self.silent {
            peer.send(RST | ACK);
        }
        drop(self);
        sockets::await_end();
    }

    fn port(&mut self) -> u16 {
        self.next_port += 1;
        self.next_port
    }

    /// A connection on the loopback device.
    fn pair(&mut self, listener: usize) -> Pair {
        let port = FIRST_CLIENT + self.port();
        assert!(PORTS.contains(&port), "the crowd has grown too large");
        let listener = &self.loopback[listener];
        let to = traffic::address(listener);
        let client = endpoint::connected(SocketAddr::new(to.ip(), port), to);
        let (server, _) = listener.accept().expect("accepting");
        for stream in [&client, &server] {
            stream
                .set_read_timeout(Some(crate::PATIENCE))
                .expect("a stream takes a time limit");
        }
        Pair { client, server }
    }

    /// One connection of each kind that needs a peer that does not answer.
    fn connections_behind(&mut self) {
        let (local, remote) = (FIRST_CLIENT + self.port(), FIRST_PEER + self.port());
        let connecting = endpoint::connecting((KERNEL, local).into(), (PEER, remote).into());
        self.kept.push(connecting);
        self.recent.syn_sent.push(Peer::called(self.tun, remote));

        let port = FIRST_PEER + self.port();
        let half_open = Peer::half_open(self.tun, port, LISTENER);
        self.recent.syn_recv.push(half_open);

        let (mut peer, stream) = self.accepted();
        drop(stream);
        peer.take(FIN | ACK);
        self.recent.fin_wait1.push(peer);

        let (mut peer, stream) = self.accepted();
        drop(stream);
        peer.see(FIN | ACK); // not acknowledged
        peer.send(FIN | ACK);
        peer.see(ACK);
        peer.expect_more(1);
        self.recent.closing.push(peer);

        let (mut peer, stream) = self.accepted();
        peer.send(FIN | ACK);
        traffic::await_end(&stream);
        drop(stream);
        peer.take(FIN | ACK);
        self.recent.last_ack.push(peer);
    }

    /// A connection from behind the device.
    fn accepted(&mut self) -> (Peer<'a>, TcpStream) {
        let port = FIRST_PEER + self.port();
        let peer = Peer::connected(self.tun, port, LISTENER);
        let (stream, _) = self.behind.accept().expect("accepting");
        (peer, stream)
    }

    /// Ends one pair, and lets one peer of each kind answer.
    fn move_on(&mut self) {
        let mut pairs = mem::take(&mut self.pairs).into_iter();
        if let Some(pair) = pairs.next() {
            pair.close_client_first();
        }
        for pair in pairs {
            self.kept.extend([pair.client, pair.server]);
        }
        let Recent {
            mut syn_sent,
            mut syn_recv,
            mut fin_wait1,
            mut closing,
            mut last_ack,
        } = mem::take(&mut self.recent);
        if let Some(peer) = syn_sent.last_mut() {
            peer.send(RST | ACK); // refused
        }
        if let [first, second, ..] = &mut syn_recv[..] {
            first.send(RST);
            second.send(ACK);
            let (stream, _) = self.behind.accept().expect("accepting");
            self.kept.push(stream);
        }
        for peers in [&mut fin_wait1, &mut closing, &mut last_ack] {
            if let Some(peer) = peers.last_mut() {
                peer.send(ACK);
            }
        }
        for peers in [syn_sent, syn_recv, fin_wait1, closing, last_ack] {
            self.silent.extend(peers);
        }
    }
}
