//! Early ends of `TIME_WAIT`: a reset, and the ways in which a new connection takes its place.
use std::{
    net::{SocketAddr, TcpListener},
    thread::sleep,
    time::{Duration, Instant},
};

use tcpstate_tests::{
    History, Sight, Watch, endpoint, history, host,
    traffic::{self, V4},
    tun::{ACK, KERNEL, Peer, RST, SYN, Tun},
};

const LISTENER: u16 = 4000;
const PORT: u16 = 5000;

/// A connection whose kernel end was closed first.
const CLIENT_CLOSES: [&str; 6] = [
    "CLOSE->SYN_SENT",
    "SYN_SENT->ESTABLISHED",
    "ESTABLISHED->FIN_WAIT1",
    "FIN_WAIT1->FIN_WAIT2",
    "FIN_WAIT2->TIME_WAIT",
    "TIME_WAIT->CLOSE",
];
/// An accepted connection whose kernel end was closed first.
const SERVER_CLOSES: [&str; 5] = [
    "LISTEN->SYN_RECV",
    "SYN_RECV->ESTABLISHED",
    "ESTABLISHED->FIN_WAIT1",
    "FIN_WAIT1->FIN_WAIT2",
    "FIN_WAIT2->TIME_WAIT",
];

fn listen(watch: &Watch) -> (TcpListener, Tun) {
    watch.ns.run(|| {
        let tun = Tun::new();
        (endpoint::listener((KERNEL, LISTENER).into(), 8), tun)
    })
}

/// A peer whose connection's kernel end is in `TIME_WAIT`.
fn peer_of_time_wait<'a>(tun: &'a Tun, listener: &TcpListener) -> Peer<'a> {
    let mut peer = Peer::connected(tun, PORT, LISTENER);
    drop(listener.accept().expect("accepting"));
    peer.close_second();
    peer
}

fn assert_server_ended(life: &History, reason: Option<&str>) {
    let edges = [&SERVER_CLOSES[..], &["TIME_WAIT->CLOSE"]].concat();
    life.assert_life(&edges);
    life.assert_end(reason);
}

#[test]
fn a_reset_ends_it() {
    let watch = Watch::new();
    let (listener, tun) = listen(&watch);
    watch.ns.run(|| host::set("tcp_rfc1337", "0"));
    let mut peer = peer_of_time_wait(&tun, &listener);
    peer.send(RST);
    watch.wait_for(LISTENER, PORT, "TIME_WAIT->CLOSE");
    let (_, lives) = watch.end();
    let life = history::find_ports(&lives, LISTENER, PORT);
    assert_server_ended(life, Sight::of_tool().reset_of_timewait());
}

#[test]
fn a_new_connection_of_the_peer_takes_its_place() {
    let watch = Watch::new();
    let (listener, tun) = listen(&watch);
    let mut peer = peer_of_time_wait(&tun, &listener);
    peer.skip(1_000_000);
    peer.send(SYN);
    peer.take(SYN | ACK);
    peer.send(ACK);
    drop(listener.accept().expect("accepting"));
    peer.close_second();
    watch.wait_for_times(2, (LISTENER, PORT), "FIN_WAIT1->FIN_WAIT2");
    watch.wait_for(LISTENER, PORT, "TIME_WAIT->CLOSE");
    let (_, lives) = watch.end();
    let [old, new] = history::between(&lives, LISTENER, PORT)[..] else {
        panic!("two connections: {lives:#?}")
    };
    assert_server_ended(old, Some("reused"));
    assert!(new.edges().len() >= 4, "{new:#?}");
    assert!(
        SERVER_CLOSES.starts_with(&new.edges().iter().map(String::as_str).collect::<Vec<_>>()),
        "{new:#?}"
    );
    assert!(old.last().mono_ns <= new.lines[1].mono_ns, "{lives:#?}");
}

#[test]
fn a_new_connection_from_the_same_port_takes_its_place() {
    let watch = Watch::new();
    let listener = watch.ns.run(|| traffic::listen(V4));
    let remote = traffic::address(&listener);
    let local = SocketAddr::new(V4, PORT);
    let connect = || {
        let client = watch.ns.run(|| endpoint::connected(local, remote));
        let (server, _) = listener.accept().expect("accepting");
        (client, server)
    };
    let (client, server) = connect();
    drop(client);
    traffic::await_end(&server);
    drop(server);
    watch.wait_for(remote.port(), PORT, "LAST_ACK->CLOSE");
    let second = connect();
    watch.wait_for(PORT, remote.port(), "TIME_WAIT->CLOSE");
    watch.wait_for_times(2, (PORT, remote.port()), "SYN_SENT->ESTABLISHED");
    let (_, lives) = watch.end();
    drop(second);
    let [old, new] = history::between(&lives, PORT, remote.port())[..] else {
        panic!("two connections: {lives:#?}")
    };
    old.assert_life(&CLIENT_CLOSES);
    old.assert_end(Some("reused"));
    new.assert_life(&["CLOSE->SYN_SENT", "SYN_SENT->ESTABLISHED"]);
}

/// `tcp_tw_reuse`: 2, as the kernel has it, lets a connection on the loopback device take the port of one in `TIME_WAIT`
/// where both use timestamps and the older one's last is of another second.
#[test]
fn a_new_connection_that_finds_no_other_port_takes_its_place() {
    let watch = Watch::new();
    let listener = watch.ns.run(|| {
        host::set("ip_local_port_range", &format!("{PORT} {PORT}"));
        host::set("tcp_tw_reuse", "2");
        TcpListener::bind((V4, LISTENER)).expect("listening")
    });
    let before = Instant::now();
    watch
        .ns
        .run(|| traffic::connect(&listener))
        .close_client_first();
    watch.wait_for(LISTENER, PORT, "LAST_ACK->CLOSE");
    let there = Instant::now();
    sleep(Duration::from_secs(2));
    let least = there.elapsed();
    let second = watch.ns.run(|| traffic::connect(&listener));
    let truth = least..=before.elapsed();
    watch.wait_for(PORT, LISTENER, "TIME_WAIT->CLOSE");
    watch.wait_for_times(2, (PORT, LISTENER), "SYN_SENT->ESTABLISHED");
    let (_, lives) = watch.end();
    drop(second);
    let [old, new] = history::between(&lives, PORT, LISTENER)[..] else {
        panic!("two connections: {lives:#?}")
    };
    old.assert_life(&CLIENT_CLOSES);
    old.assert_dwell("TIME_WAIT", &truth);
    old.assert_end(Some("reused"));
    new.assert_life(&["CLOSE->SYN_SENT", "SYN_SENT->ESTABLISHED"]);
    assert!(old.last().mono_ns >= new.lines[0].mono_ns, "{lives:#?}");
}
