//! Half-open connections: `SYN_RECV` for its real time, and each way out of it.
use std::{
    net::TcpListener,
    thread::sleep,
    time::{Duration, Instant},
};

use tcpstate_tests::{
    History, Sight, Watch, endpoint, history, host,
    tun::{ACK, KERNEL, Peer, RST, SYN, Tun},
};

const LISTENER: u16 = 4000;
const PORT: u16 = 5000;
/// Time until the first SYN-ACK is sent again (RFC 6298, section 2).
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);

/// A namespace with a listener, under watch, and a device to reach it by.
struct Scene {
    watch: Watch,
    listener: TcpListener,
    tun: Tun,
}

impl Scene {
    fn new() -> Self {
        let watch = Watch::new();
        let (listener, tun) = watch.ns.run(|| {
            let tun = Tun::new();
            (endpoint::listener((KERNEL, LISTENER).into(), 8), tun)
        });
        Self {
            watch,
            listener,
            tun,
        }
    }

    /// Waits for the transition, and returns the connection's whole life.
    fn end(self, edge: &str) -> History {
        self.watch.wait_for(LISTENER, PORT, edge);
        let (_, lives) = self.watch.end();
        history::find_ports(&lives, LISTENER, PORT).clone()
    }
}

#[test]
fn the_last_acknowledgment_comes_after_two_seconds() {
    let scene = Scene::new();
    let before = Instant::now();
    let mut peer = Peer::half_open(&scene.tun, PORT, LISTENER);
    let half_open = Instant::now();
    sleep(Duration::from_secs(2));
    let least = half_open.elapsed();
    peer.send(ACK);
    let (stream, _) = scene.listener.accept().expect("accepting");
    let truth = least..=before.elapsed();
    peer.send(RST | ACK);
    let life = scene.end("ESTABLISHED->CLOSE");
    drop(stream);
    life.assert_life(&[
        "LISTEN->SYN_RECV",
        "SYN_RECV->ESTABLISHED",
        "ESTABLISHED->CLOSE",
    ]);
    life.assert_dwell("SYN_RECV", &truth);
    life.assert_seen();
    life.assert_end(Some("reset"));
    assert_eq!(life.last().role.as_deref(), Some("server"), "{life:#?}");
}

/// The SYN-ACK is sent again after a second, and given up two seconds later.
#[test]
fn nobody_answers() {
    let scene = Scene::new();
    scene.watch.ns.run(|| host::set("tcp_synack_retries", "1"));
    let peer = Peer::half_open(&scene.tun, PORT, LISTENER);
    peer.see(SYN | ACK);
    let life = scene.end("SYN_RECV->CLOSE");
    life.assert_life(&["LISTEN->SYN_RECV", "SYN_RECV->CLOSE"]);
    life.assert_dwell("SYN_RECV", &host::timer(3 * FIRST_TIMEOUT));
    life.assert_seen();
    life.assert_end(Some("timeout"));
}

#[test]
fn the_peer_resets() {
    let sight = Sight::of_tool();
    let scene = Scene::new();
    let before = Instant::now();
    let mut peer = Peer::half_open(&scene.tun, PORT, LISTENER);
    let half_open = Instant::now();
    sleep(Duration::from_millis(100));
    let least = half_open.elapsed();
    peer.send(RST);
    let truth = least..=before.elapsed() + host::LATENESS;
    let life = scene.end("SYN_RECV->CLOSE");
    life.assert_life(&["LISTEN->SYN_RECV", "SYN_RECV->CLOSE"]);
    life.assert_dwell("SYN_RECV", &truth);
    life.assert_seen();
    sight.assert_reason(life.last().reason.as_deref(), "reset");
}

/// The kernel keeps it until it would have sent the SYN-ACK again.
#[test]
fn the_listener_closes() {
    let Scene {
        watch,
        listener,
        tun,
    } = Scene::new();
    let _peer = Peer::half_open(&tun, PORT, LISTENER);
    drop(listener);
    watch.wait_for(LISTENER, PORT, "SYN_RECV->CLOSE");
    let (_, lives) = watch.end();
    let life = history::find_ports(&lives, LISTENER, PORT);
    life.assert_life(&["LISTEN->SYN_RECV", "SYN_RECV->CLOSE"]);
    life.assert_dwell("SYN_RECV", &host::timer(FIRST_TIMEOUT));
    life.assert_end(Some("listener_closed"));
    let listener = history::find_ports(&lives, LISTENER, 0);
    listener.assert_life(&["CLOSE->LISTEN", "LISTEN->CLOSE"]);
}
