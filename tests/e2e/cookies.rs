//! Connections whose half-open time is special: under SYN cookies nobody knows it, with TCP Fast Open a full socket has it.
use std::{
    io::Read as _,
    net::{SocketAddr, TcpListener, TcpStream},
    thread::sleep,
    time::{Duration, Instant},
};

use tcpstate_tests::{
    History, Namespace, Watch, endpoint, history, host,
    live::Live,
    sockets,
    traffic::{self, V4},
    tun::{ACK, KERNEL, Peer, RST, SYN, Tun},
};

const REMOTE: u16 = 5000;
const PAUSE: Duration = Duration::from_millis(500);
/// Bit of `tcp_fastopen` for clients.
const CLIENT: u32 = 0x1;
/// The same for servers.
const SERVER: u32 = 0x2;
/// The same: data needs no cookie.
const NO_COOKIE: u32 = 0x200;

const SERVED: [&str; 5] = [
    "LISTEN->SYN_RECV",
    "SYN_RECV->ESTABLISHED",
    "ESTABLISHED->CLOSE_WAIT",
    "CLOSE_WAIT->LAST_ACK",
    "LAST_ACK->CLOSE",
];

/// A child of a listener appears without a request: it is in `SYN_RECV` for as long as the kernel needs to make it.
#[test]
fn syn_cookies() {
    const CONNECTIONS: usize = 20;
    const PORT: u16 = 23_001;
    let live = Live::start("23001", "10m");
    let watch = Watch::new();
    watch.ns.run(|| host::set("tcp_syncookies", "2"));
    let listener = watch
        .ns
        .run(|| TcpListener::bind((V4, PORT)).expect("listening"));
    let pairs = watch
        .ns
        .run(|| [(); CONNECTIONS].map(|()| traffic::connect(&listener)));
    assert_live(&live, &watch.ns, PORT);
    for pair in pairs {
        pair.close_client_first();
    }
    watch.wait_for_lines(CONNECTIONS, |line| line.edge() == "LAST_ACK->CLOSE");
    assert_live(&live, &watch.ns, PORT);
    let _ = live.stop();
    let (_, lives) = watch.end();
    let served: Vec<&History> = lives
        .iter()
        .filter(|life| life.last().edge() == "LAST_ACK->CLOSE")
        .collect();
    assert_eq!(served.len(), CONNECTIONS, "{lives:#?}");
    for life in served {
        life.assert_life_but(&SERVED, &["SYN_RECV"]);
        life.assert_seen();
    }
}

/// The second connection brings its data along with its first segment, before the handshake is complete.
#[test]
fn fast_open() {
    const PORT: u16 = 23_002;
    let live = Live::start("23002", "10m");
    let watch = Watch::new();
    let to = SocketAddr::new(V4, PORT);
    let listener = watch.ns.run(|| {
        host::set("tcp_fastopen", &(CLIENT | SERVER).to_string());
        let listener = TcpListener::bind(to).expect("listening");
        endpoint::set_fast_open(&listener, 8);
        listener
    });
    for local in [REMOTE, REMOTE + 1] {
        let client = watch
            .ns
            .run(|| endpoint::connected_with_data(SocketAddr::new(V4, local), to, b"data"));
        let server = accepted_with_data(&listener);
        assert_live(&live, &watch.ns, PORT);
        drop(client);
        traffic::await_end(&server);
        drop(server);
        watch.wait_for(PORT, local, "LAST_ACK->CLOSE");
    }
    let _ = live.stop();
    let (_, lives) = watch.end();
    history::find_ports(&lives, PORT, REMOTE).assert_life(&SERVED);
    // Loopback is too fast for the tool to tell this child from one that a SYN cookie made.
    let second = history::find_ports(&lives, PORT, REMOTE + 1);
    assert_eq!(second.edges(), SERVED, "{second:#?}");
    for local in [REMOTE, REMOTE + 1] {
        let client = history::find_ports(&lives, local, PORT);
        assert_eq!(
            client.edges()[..3],
            [
                "CLOSE->SYN_SENT",
                "SYN_SENT->ESTABLISHED",
                "ESTABLISHED->FIN_WAIT1"
            ],
            "{client:#?}"
        );
    }
}

/// A listener that takes data with the first segment of a peer behind a device.
fn slow_scene(ns: &Namespace, port: u16) -> (TcpListener, Tun) {
    ns.run(|| {
        host::set("tcp_fastopen", &(SERVER | NO_COOKIE).to_string());
        let tun = Tun::new();
        let listener = endpoint::listener((KERNEL, port).into(), 8);
        endpoint::set_fast_open(&listener, 8);
        (listener, tun)
    })
}

/// The peer's handshake takes its time: the listener's half, a full socket, waits in `SYN_RECV` and can be used already.
#[test]
fn fast_open_of_a_slow_peer() {
    const PORT: u16 = 23_003;
    let watch = Watch::new();
    let (listener, tun) = slow_scene(&watch.ns, PORT);
    let mut peer = Peer::new(&tun, REMOTE, PORT);
    let before = Instant::now();
    peer.send_data(SYN, b"data");
    peer.take(SYN | ACK);
    let stream = accepted_with_data(&listener);
    let there = Instant::now();
    sleep(PAUSE);
    let least = there.elapsed();
    peer.send(ACK);
    watch.wait_for(PORT, REMOTE, "SYN_RECV->ESTABLISHED");
    let truth = least..=before.elapsed();
    peer.send(RST | ACK);
    watch.wait_for(PORT, REMOTE, "ESTABLISHED->CLOSE");
    drop(stream);
    let (_, lives) = watch.end();
    let life = history::find_ports(&lives, PORT, REMOTE);
    life.assert_life(&[
        "LISTEN->SYN_RECV",
        "SYN_RECV->ESTABLISHED",
        "ESTABLISHED->CLOSE",
    ]);
    life.assert_dwell("SYN_RECV", &truth);
    life.assert_seen();
    life.assert_end(Some("reset"));
}

#[test]
fn fast_open_of_a_slow_peer_is_counted() {
    const PORT: u16 = 23_004;
    let live = Live::start("23004", "10m");
    let ns = Namespace::new();
    let (listener, tun) = slow_scene(&ns, PORT);
    let mut peer = Peer::new(&tun, REMOTE, PORT);
    peer.send_data(SYN, b"data");
    peer.take(SYN | ACK);
    let stream = accepted_with_data(&listener);
    assert_live(&live, &ns, PORT);
    peer.send(ACK);
    assert_live(&live, &ns, PORT);
    peer.send(RST | ACK);
    assert_live(&live, &ns, PORT);
    drop(stream);
    let _ = live.stop();
}

fn accepted_with_data(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().expect("accepting");
    let mut data = [0; 4];
    stream.read_exact(&mut data).expect("reading");
    assert_eq!(&data, b"data");
    stream
}

/// The tool counts what the kernel shows, of the sockets at a local port.
fn assert_live(live: &Live, ns: &Namespace, port: u16) {
    let truth = ns.run(|| sockets::by_state_at(port..=port));
    let moment = live.now();
    assert_eq!(moment.counts, truth, "at port {port}");
}
