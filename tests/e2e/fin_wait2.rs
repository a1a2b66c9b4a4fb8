//! `FIN_WAIT2` as an orphan, which the kernel keeps as a mini-socket, and with its user, where it is a full socket.
use std::{
    net::{IpAddr, Shutdown},
    thread::sleep,
    time::{Duration, Instant},
};

use tcpstate_tests::{
    History, Pair, Sight, Watch, endpoint, history, host,
    traffic::{self, V4, V6},
};

const OPENING: [&str; 4] = [
    "CLOSE->SYN_SENT",
    "SYN_SENT->ESTABLISHED",
    "ESTABLISHED->FIN_WAIT1",
    "FIN_WAIT1->FIN_WAIT2",
];

fn after_opening(edges: &[&'static str]) -> Vec<&'static str> {
    [&OPENING, edges].concat()
}

/// Lets `close` end the client's half of a connection while the server keeps its own, waits until the client's end is
/// gone, and returns its life.
fn life_of_orphan(ip: IpAddr, prepare: impl FnOnce() + Send, close: impl FnOnce(&Pair)) -> History {
    let watch = Watch::new();
    watch.ns.run(prepare);
    let listener = watch.ns.run(|| traffic::listen(ip));
    let pair = watch.ns.run(|| traffic::connect(&listener));
    let ports = (
        pair.client_address().port(),
        traffic::address(&listener).port(),
    );
    close(&pair);
    let Pair { client, server } = pair;
    drop(client);
    watch.wait_for(ports.0, ports.1, "FIN_WAIT2->CLOSE");
    let (_, lives) = watch.end();
    drop(server);
    history::find_ports(&lives, ports.0, ports.1).clone()
}

fn expires_after_fin_timeout(ip: IpAddr) {
    let life = life_of_orphan(ip, || host::set("tcp_fin_timeout", "5"), |_| {});
    life.assert_life(&after_opening(&["FIN_WAIT2->CLOSE"]));
    life.assert_dwell("FIN_WAIT2", &host::timer(Duration::from_secs(5)));
    life.assert_seen();
    life.assert_end(Some("expired"));
}

#[test]
fn an_orphan_whose_peer_never_closes() {
    expires_after_fin_timeout(V4);
}

#[test]
fn linger2_shortens_it() {
    let life = life_of_orphan(V6, || {}, |pair| endpoint::set_linger2(&pair.client, 2));
    life.assert_life(&after_opening(&["FIN_WAIT2->CLOSE"]));
    life.assert_dwell("FIN_WAIT2", &host::timer(Duration::from_secs(2)));
    life.assert_seen();
    life.assert_end(Some("expired"));
}

/// What is above a minute counts twice: once as a full socket, and once more as a mini-socket. One stay.
#[test]
fn linger2_above_a_minute_is_twice_what_is_above() {
    let life = life_of_orphan(V4, || {}, |pair| endpoint::set_linger2(&pair.client, 61));
    life.assert_life(&after_opening(&["FIN_WAIT2->CLOSE"]));
    let once = host::timer(Duration::from_secs(1));
    life.assert_dwell("FIN_WAIT2", &(2 * *once.start()..=2 * *once.end()));
    life.assert_seen();
    life.assert_end(Some("expired"));
}

#[test]
fn linger2_below_zero_leaves_it_out() {
    let life = life_of_orphan(V4, || {}, |pair| endpoint::set_linger2(&pair.client, -1));
    life.assert_life(&after_opening(&["FIN_WAIT2->CLOSE"]));
    life.assert_dwell("FIN_WAIT2", &(Duration::ZERO..=host::LATENESS));
    life.assert_seen();
}

/// A half-closed connection stays as long as its user likes; then the peer closes.
#[test]
fn half_closed_for_a_second() {
    let watch = Watch::new();
    let listener = watch.ns.run(|| traffic::listen(V4));
    let pair = watch.ns.run(|| traffic::connect(&listener));
    let (local, remote) = (
        pair.client_address().port(),
        traffic::address(&listener).port(),
    );
    let before = Instant::now();
    pair.client
        .shutdown(Shutdown::Write)
        .expect("closing one way");
    watch.wait_for(local, remote, "FIN_WAIT1->FIN_WAIT2");
    let there = Instant::now();
    sleep(Duration::from_secs(1));
    let least = there.elapsed();
    drop(pair.server);
    traffic::await_end(&pair.client);
    let truth = least..=before.elapsed();
    watch.wait_for(local, remote, "FIN_WAIT2->TIME_WAIT");
    drop(pair.client);
    let (_, lives) = watch.end();
    let life = history::find_ports(&lives, local, remote);
    life.assert_life(&after_opening(&["FIN_WAIT2->TIME_WAIT"]));
    life.assert_dwell("FIN_WAIT2", &truth);
    life.assert_seen();
}

/// The kernel reports `FIN_WAIT2 -> FIN_WAIT2` when it is closed, and goes on with a mini-socket: one stay.
#[test]
fn half_closed_then_orphaned() {
    let sight = Sight::of_tool();
    let watch = Watch::new();
    let listener = watch.ns.run(|| traffic::listen(V4));
    let pair = watch.ns.run(|| traffic::connect(&listener));
    let (local, remote) = (
        pair.client_address().port(),
        traffic::address(&listener).port(),
    );
    let before = Instant::now();
    pair.client
        .shutdown(Shutdown::Write)
        .expect("closing one way");
    watch.wait_for(local, remote, "FIN_WAIT1->FIN_WAIT2");
    let there = Instant::now();
    sleep(Duration::from_millis(300));
    drop(pair.client);
    sleep(Duration::from_millis(300));
    let least = there.elapsed();
    drop(pair.server);
    watch.wait_for(remote, local, "LAST_ACK->CLOSE");
    let truth = least..=before.elapsed();
    if sight.has_segments() {
        watch.wait_for(local, remote, "FIN_WAIT2->TIME_WAIT");
    }
    let (_, lives) = watch.end();
    let life = history::find_ports(&lives, local, remote);
    // Without the segments, where the timer happens to be started anew; else it is recovered when TIME_WAIT ends.
    let seen = life
        .edges()
        .iter()
        .any(|edge| edge == "FIN_WAIT2->TIME_WAIT");
    assert!(seen || !sight.has_segments(), "{life:#?}");
    if seen {
        life.assert_life(&after_opening(&["FIN_WAIT2->TIME_WAIT"]));
        life.assert_dwell("FIN_WAIT2", &truth);
    } else {
        life.assert_life(&OPENING);
    }
    life.assert_seen();
}
