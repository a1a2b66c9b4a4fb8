//! Half-open connections whose listener closes while another shares its address: with `tcp_migrate_req` the kernel moves
//! them there, as new request sockets and without a word.
use std::{
    net::TcpListener,
    ops::RangeInclusive,
    thread::sleep,
    time::{Duration, Instant},
};

use tcpstate_tests::{
    History, Sight, Watch, endpoint, history, host,
    tun::{ACK, KERNEL, Peer, SYN, Tun},
};

const LISTENER: u16 = 4000;
const PORT: u16 = 5000;
/// From the listener's end to the last acknowledgment, where the kernel does not move it earlier.
const PAUSE: Duration = Duration::from_millis(300);

/// Two listeners at one address, and a connection to the first, which then closes.
struct Scene {
    watch: Watch,
    tun: Tun,
}

impl Scene {
    fn new() -> Self {
        let watch = Watch::new();
        let tun = watch.ns.run(|| {
            if !host::is_5() {
                host::set("tcp_migrate_req", "1"); // 5.14 and later
            }
            Tun::new()
        });
        Self { watch, tun }
    }

    fn listen(&self) -> TcpListener {
        self.watch
            .ns
            .run(|| endpoint::sharing_listener((KERNEL, LISTENER).into()))
    }

    /// The half-open connection, which is now the second listener's to take care of.
    fn left_behind(&self) -> (Peer<'_>, TcpListener) {
        let first = self.listen();
        let peer = Peer::half_open(&self.tun, PORT, LISTENER);
        let second = self.listen();
        drop(first);
        (peer, second)
    }

    fn accept(&self, peer: &mut Peer<'_>, second: &TcpListener) {
        peer.send(ACK);
        second.accept().expect("accepting");
        self.watch.wait_for(LISTENER, PORT, "SYN_RECV->ESTABLISHED");
    }

    fn lives(self) -> Vec<History> {
        let (_, lives) = self.watch.end();
        history::between(&lives, LISTENER, PORT)
            .into_iter()
            .cloned()
            .collect()
    }
}

/// What is told of a request that its listener leaves behind.
fn assert_left(life: &History, truth: &RangeInclusive<Duration>) {
    life.assert_life(&["LISTEN->SYN_RECV", "SYN_RECV->CLOSE"]);
    life.assert_dwell("SYN_RECV", truth);
    life.assert_end(Some("listener_closed"));
}

/// What is told of a connection that was complete at the second listener.
fn assert_complete(life: &History) {
    let edges = &life.edges()[..2];
    assert_eq!(edges, ["LISTEN->SYN_RECV", "SYN_RECV->ESTABLISHED"]);
}

/// It moves when its SYN-ACK is sent again: told as one that ends, and another.
#[test]
fn at_its_timer() {
    let sight = Sight::of_tool();
    let scene = Scene::new();
    let timeout = host::timer(Duration::from_secs(1));
    let (mut peer, second) = scene.left_behind();
    if host::is_5() {
        scene.watch.wait_for(LISTENER, PORT, "SYN_RECV->CLOSE");
        let [life] = &scene.lives()[..] else {
            panic!("one life")
        };
        return assert_left(life, &timeout);
    }
    peer.see(SYN | ACK);
    // The old request goes a moment after that; a peer that is faster completes it, for all that can be seen.
    scene.watch.wait_for(LISTENER, PORT, "SYN_RECV->CLOSE");
    scene.accept(&mut peer, &second);
    let lives = scene.lives();
    let [old, new] = &lives[..] else {
        panic!("two lives: {lives:#?}")
    };
    assert_left(old, &timeout);
    assert_complete(new);
    // Where functions are traced, nothing shows the new request; its timer does.
    let known = new.lines[1].dwell_ns.is_some();
    assert_eq!(known, !sight.has_fentry(), "{new:#?}");
}

/// It moves when it is complete.
#[test]
fn at_the_last_acknowledgment() {
    let scene = Scene::new();
    let before = Instant::now();
    let (mut peer, second) = scene.left_behind();
    let there = Instant::now();
    sleep(PAUSE);
    let least = there.elapsed();
    if host::is_5() {
        peer.send(ACK);
        scene.watch.wait_for(LISTENER, PORT, "SYN_RECV->CLOSE");
        let [life] = &scene.lives()[..] else {
            panic!("one life")
        };
        return assert_left(life, &(least..=before.elapsed()));
    }
    scene.accept(&mut peer, &second);
    let truth = least..=before.elapsed();
    let lives = scene.lives();
    let [life] = &lives[..] else {
        panic!("one life: {lives:#?}")
    };
    assert_complete(life);
    life.assert_dwell("SYN_RECV", &truth);
}
