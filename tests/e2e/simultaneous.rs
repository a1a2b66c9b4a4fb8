//! Both ends at once: open and close.
use std::{
    net::SocketAddr,
    thread::sleep,
    time::{Duration, Instant},
};

use tcpstate_tests::{
    Sight, Watch, endpoint, history,
    tun::{ACK, FIN, KERNEL, PEER, Peer, RST, SYN, Tun},
};

const LOCAL: u16 = 4000;
const REMOTE: u16 = 5000;
const PAUSE: Duration = Duration::from_millis(300);

fn addresses() -> (SocketAddr, SocketAddr) {
    ((KERNEL, LOCAL).into(), (PEER, REMOTE).into())
}

#[test]
fn open() {
    let watch = Watch::new();
    let tun = watch.ns.run(Tun::new);
    let (local, remote) = addresses();
    let stream = watch.ns.run(|| endpoint::connecting(local, remote));
    let mut peer = Peer::called(&tun, REMOTE);
    let before = Instant::now();
    peer.send(SYN); // no acknowledgment: it crosses the kernel's own
    peer.see(SYN | ACK);
    let there = Instant::now();
    sleep(PAUSE);
    let least = there.elapsed();
    peer.send(ACK);
    watch.wait_for(LOCAL, REMOTE, "SYN_RECV->ESTABLISHED");
    let truth = least..=before.elapsed();
    peer.send(RST | ACK);
    watch.wait_for(LOCAL, REMOTE, "ESTABLISHED->CLOSE");
    let (_, lives) = watch.end();
    drop(stream);
    let life = history::find_ports(&lives, LOCAL, REMOTE);
    life.assert_life(&[
        "CLOSE->SYN_SENT",
        "SYN_SENT->SYN_RECV",
        "SYN_RECV->ESTABLISHED",
        "ESTABLISHED->CLOSE",
    ]);
    life.assert_dwell("SYN_RECV", &truth);
    life.assert_seen();
    life.assert_end(Some("reset"));
    assert_eq!(life.last().role.as_deref(), Some("client"), "{life:#?}");
}

#[test]
fn close() {
    let watch = Watch::new();
    let tun = watch.ns.run(Tun::new);
    let (local, remote) = addresses();
    let stream = watch.ns.run(|| endpoint::connecting(local, remote));
    let mut peer = Peer::called(&tun, REMOTE);
    peer.send(SYN | ACK);
    peer.see(ACK);
    watch.wait_for(LOCAL, REMOTE, "SYN_SENT->ESTABLISHED");
    drop(stream);
    peer.see(FIN | ACK); // not acknowledged: the peer's own crosses it
    let before = Instant::now();
    peer.send(FIN | ACK);
    watch.wait_for(LOCAL, REMOTE, "FIN_WAIT1->CLOSING");
    let there = Instant::now();
    sleep(PAUSE);
    let least = there.elapsed();
    peer.expect_more(1);
    peer.send(ACK);
    watch.wait_for(LOCAL, REMOTE, "CLOSING->TIME_WAIT");
    let truth = least..=before.elapsed();
    peer.send(RST);
    watch.wait_for(LOCAL, REMOTE, "TIME_WAIT->CLOSE");
    let (_, lives) = watch.end();
    let life = history::find_ports(&lives, LOCAL, REMOTE);
    life.assert_life(&[
        "CLOSE->SYN_SENT",
        "SYN_SENT->ESTABLISHED",
        "ESTABLISHED->FIN_WAIT1",
        "FIN_WAIT1->CLOSING",
        "CLOSING->TIME_WAIT",
        "TIME_WAIT->CLOSE",
    ]);
    life.assert_dwell("CLOSING", &truth);
    life.assert_seen();
    life.assert_end(Sight::of_tool().reset_of_timewait());
}
