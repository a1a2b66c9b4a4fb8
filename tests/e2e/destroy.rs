//! Sockets that the administrator destroys, as `ss -K` does: in `TIME_WAIT`, half open, and complete.
use std::{
    net::{SocketAddr, SocketAddrV4, TcpListener},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::errno::Errno;
use tcpstate_tests::{
    History, Sight, Watch, endpoint, history, host,
    traffic::{self, V4},
    tun::{KERNEL, PEER, Peer, Tun},
};

const LISTENER: u16 = 4000;
const PORT: u16 = 5000;
/// How long the socket lives before that.
const PAUSE: Duration = Duration::from_millis(300);

fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(_) => panic!("{address} is not of IPv4"),
    }
}

#[test]
fn in_time_wait() {
    let sight = Sight::of_tool();
    let watch = Watch::new();
    let listener = watch.ns.run(|| traffic::listen(V4));
    let pair = watch.ns.run(|| traffic::connect(&listener));
    let (local, remote) = (pair.client_address(), traffic::address(&listener));
    let before = Instant::now();
    pair.close_client_first();
    watch.wait_for(remote.port(), local.port(), "LAST_ACK->CLOSE");
    let there = Instant::now();
    sleep(PAUSE);
    let least = there.elapsed();
    let result = watch.ns.run(|| endpoint::destroy(v4(local), v4(remote)));
    let truth = least..=before.elapsed();
    let mut edges = vec![
        "CLOSE->SYN_SENT",
        "SYN_SENT->ESTABLISHED",
        "ESTABLISHED->FIN_WAIT1",
        "FIN_WAIT1->FIN_WAIT2",
    ];
    let life = |watch: Watch| -> History {
        let (_, lives) = watch.end();
        history::find_ports(&lives, local.port(), remote.port()).clone()
    };
    if !host::is_5() {
        assert_eq!(result, Ok(()));
        watch.wait_for(local.port(), remote.port(), "TIME_WAIT->CLOSE");
        let life = life(watch);
        edges.extend(["FIN_WAIT2->TIME_WAIT", "TIME_WAIT->CLOSE"]);
        life.assert_life(&edges);
        life.assert_dwell("TIME_WAIT", &truth);
        sight.assert_reason(life.last().reason.as_deref(), "aborted");
    } else {
        // `tcp_abort` of 5.10 refuses, and it stays.
        assert_eq!(result, Err(Errno::EOPNOTSUPP));
        edges.extend(sight.has_segments().then_some("FIN_WAIT2->TIME_WAIT"));
        life(watch).assert_life(&edges);
    }
}

#[test]
fn half_open() {
    let sight = Sight::of_tool();
    let watch = Watch::new();
    let (_listener, tun) = watch.ns.run(|| {
        let tun = Tun::new();
        (endpoint::listener((KERNEL, LISTENER).into(), 8), tun)
    });
    let before = Instant::now();
    let _peer = Peer::half_open(&tun, PORT, LISTENER);
    let there = Instant::now();
    sleep(PAUSE);
    let least = there.elapsed();
    let local = SocketAddrV4::new(KERNEL, LISTENER);
    let remote = SocketAddrV4::new(PEER, PORT);
    watch
        .ns
        .run(|| endpoint::destroy(local, remote))
        .expect("destroying a request");
    let truth = least..=before.elapsed();
    watch.wait_for(LISTENER, PORT, "SYN_RECV->CLOSE");
    let (_, lives) = watch.end();
    let life = history::find_ports(&lives, LISTENER, PORT);
    life.assert_life(&["LISTEN->SYN_RECV", "SYN_RECV->CLOSE"]);
    life.assert_dwell("SYN_RECV", &truth);
    life.assert_seen();
    sight.assert_reason(life.last().reason.as_deref(), "aborted");
    // The listener, which the kernel would have taken instead had there been no request, lives.
    history::find_ports(&lives, LISTENER, 0).assert_life(&["CLOSE->LISTEN"]);
}

#[test]
fn complete() {
    let watch = Watch::new();
    let listener: TcpListener = watch.ns.run(|| traffic::listen(V4));
    let pair = watch.ns.run(|| traffic::connect(&listener));
    let (local, remote) = (pair.client_address(), traffic::address(&listener));
    watch
        .ns
        .run(|| endpoint::destroy(v4(local), v4(remote)))
        .expect("destroying a connection");
    traffic::await_reset(&pair.server);
    watch.wait_for(local.port(), remote.port(), "ESTABLISHED->CLOSE");
    watch.wait_for(remote.port(), local.port(), "ESTABLISHED->CLOSE");
    let (_, lives) = watch.end();
    history::find_ports(&lives, local.port(), remote.port()).assert_end(Some("aborted"));
    history::find_ports(&lives, remote.port(), local.port()).assert_end(Some("reset"));
}
