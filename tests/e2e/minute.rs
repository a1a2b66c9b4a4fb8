//! What takes a minute: every kind of `TIME_WAIT` to its end, all at once, under `trace` and `hist`.
use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    ops::RangeInclusive,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use tcpstate_tests::{
    History, Run, Sight, Tool, Watch, endpoint, history, host,
    traffic::{self, V4, V6},
    tun::{ACK, FIN, KERNEL, Peer, Tun},
};

const SHORT: usize = 500;
const LISTENER: u16 = 25_000;
const ORPHAN: u16 = 25_001;
const CHURN: u16 = 25_002;
const BEHIND: u16 = 25_003;
const CLIENT: u16 = 25_100;
const PEER_PORT: u16 = 5000;
/// When the orphan's peer closes.
const ORPHANED: Duration = Duration::from_secs(3);
/// When the other peer sends its FIN again.
const AGAIN: Duration = Duration::from_secs(5);

const CLIENT_CLOSES: [&str; 6] = [
    "CLOSE->SYN_SENT",
    "SYN_SENT->ESTABLISHED",
    "ESTABLISHED->FIN_WAIT1",
    "FIN_WAIT1->FIN_WAIT2",
    "FIN_WAIT2->TIME_WAIT",
    "TIME_WAIT->CLOSE",
];
const SERVER_CLOSES: [&str; 6] = [
    "LISTEN->SYN_RECV",
    "SYN_RECV->ESTABLISHED",
    "ESTABLISHED->FIN_WAIT1",
    "FIN_WAIT1->FIN_WAIT2",
    "FIN_WAIT2->TIME_WAIT",
    "TIME_WAIT->CLOSE",
];

#[test]
fn time_wait_to_its_end() {
    let sight = Sight::of_tool();
    let watch = Watch::new();
    let hist = Tool::start(&["hist", "--json", "--summary", "-D", &CHURN.to_string()]);
    let tun = watch.ns.run(Tun::new);

    let orphan = Orphan::begin(&watch);
    let again = FinAgain::begin(&watch, &tun);
    for ip in [V4, V6] {
        let listener = watch
            .ns
            .run(|| TcpListener::bind((ip, LISTENER)).expect("listening"));
        let local = SocketAddr::new(ip, CLIENT + u16::from(ip.is_ipv6()));
        let client = watch
            .ns
            .run(|| endpoint::connected(local, traffic::address(&listener)));
        close(client, &listener);
    }
    let churn = watch
        .ns
        .run(|| TcpListener::bind((V4, CHURN)).expect("listening"));
    watch.ns.run(|| {
        // Otherwise a new connection on the loopback device may take the port of one that is in TIME_WAIT, if the clock
        // has passed a full second in between, and if the kernel has just changed where it looks for ports.
        host::set("tcp_tw_reuse", "0");
        // Nor may a reset end one: it comes where a FIN is sent again because its acknowledgment was late.
        host::set("tcp_rfc1337", "1");
        for _ in 0..SHORT {
            traffic::connect(&churn).close_client_first();
        }
    });
    let orphaned = orphan.close_peer(&watch);
    let again = again.resend();

    sleep(*host::time_wait().start());
    watch.wait_for_lines(SHORT, |line| {
        line.edge() == "TIME_WAIT->CLOSE" && line.rport == Some(CHURN)
    });
    for (local, remote) in [
        (CLIENT, LISTENER),
        (CLIENT + 1, LISTENER),
        (CLIENT, ORPHAN),
        (BEHIND, PEER_PORT),
    ] {
        watch.wait_for(local, remote, "TIME_WAIT->CLOSE");
    }
    let figures = hist.stop();
    let (_, lives) = watch.end();
    for local in [CLIENT, CLIENT + 1] {
        let life = history::find_ports(&lives, local, LISTENER);
        assert_whole(life, &CLIENT_CLOSES, &sight);
        life.assert_dwell("TIME_WAIT", &host::time_wait());
    }
    let life = history::find_ports(&lives, CLIENT, ORPHAN);
    assert_whole(life, &CLIENT_CLOSES, &sight);
    life.assert_dwell("FIN_WAIT2", &orphaned);
    life.assert_dwell("TIME_WAIT", &host::time_wait());
    let life = history::find_ports(&lives, BEHIND, PEER_PORT);
    assert_whole(life, &SERVER_CLOSES, &sight);
    if sight.has_segments() {
        life.assert_dwell("TIME_WAIT", &again);
    }
    let short: Vec<&History> = lives
        .iter()
        .filter(|life| life.last().rport == Some(CHURN))
        .collect();
    assert_eq!(short.len(), SHORT);
    for life in short {
        assert_whole(life, &CLIENT_CLOSES, &sight);
        life.assert_dwell("TIME_WAIT", &host::time_wait());
    }
    // Last: a life says why it was short, a histogram does not.
    assert_hist(&figures);
}

fn assert_whole(life: &History, edges: &[&str], sight: &Sight) {
    life.assert_life(edges);
    life.assert_end(Some("expired"));
    if sight.has_segments() {
        life.assert_seen();
    }
}

/// Accepts, and closes both ends, the client's first.
fn close(client: TcpStream, listener: &TcpListener) {
    let (server, _) = listener.accept().expect("accepting");
    drop(client);
    traffic::await_end(&server);
}

/// A client that is closed while its peer takes its time.
struct Orphan {
    server: TcpStream,
    closing: Instant,
    closed: Instant,
}

impl Orphan {
    fn begin(watch: &Watch) -> Self {
        let listener = watch
            .ns
            .run(|| TcpListener::bind((V4, ORPHAN)).expect("listening"));
        let local = SocketAddr::new(V4, CLIENT);
        let client = watch
            .ns
            .run(|| endpoint::connected(local, traffic::address(&listener)));
        let (server, _) = listener.accept().expect("accepting");
        let closing = Instant::now();
        drop(client);
        watch.wait_for(CLIENT, ORPHAN, "FIN_WAIT1->FIN_WAIT2");
        Self {
            server,
            closing,
            closed: Instant::now(),
        }
    }

    /// Closes the peer; returns how long the client was in `FIN_WAIT2`.
    fn close_peer(self, watch: &Watch) -> RangeInclusive<Duration> {
        sleep(ORPHANED.saturating_sub(self.closed.elapsed()));
        let least = self.closed.elapsed();
        drop(self.server);
        watch.wait_for(ORPHAN, CLIENT, "LAST_ACK->CLOSE");
        least..=self.closing.elapsed()
    }
}

/// A server that is closed first, and whose peer did not get the last acknowledgment.
struct FinAgain<'a> {
    peer: Peer<'a>,
    closing: Instant,
    closed: Instant,
}

impl<'a> FinAgain<'a> {
    fn begin(watch: &Watch, tun: &'a Tun) -> Self {
        let listener = watch
            .ns
            .run(|| endpoint::listener((KERNEL, BEHIND).into(), 8));
        let mut peer = Peer::connected(tun, PEER_PORT, BEHIND);
        drop(listener.accept().expect("accepting"));
        let closing = Instant::now();
        peer.close_second();
        Self {
            peer,
            closing,
            closed: Instant::now(),
        }
    }

    /// Sends the FIN again, which starts the minute anew; returns how long `TIME_WAIT` will be.
    fn resend(self) -> RangeInclusive<Duration> {
        sleep(AGAIN.saturating_sub(self.closed.elapsed()));
        let least = self.closed.elapsed();
        self.peer.resend(FIN | ACK);
        self.peer.see(ACK);
        let most = self.closing.elapsed();
        least + *host::time_wait().start()..=most + *host::time_wait().end()
    }
}

fn assert_hist(run: &Run) {
    run.summary().assert_nothing_lost();
    let object: Value = serde_json::from_str(&run.stdout[0]).expect("JSON");
    let figures = &object["states"]["TIME_WAIT"];
    assert_eq!(figures["count"], SHORT, "{figures}");
    assert_eq!(figures["outliers"], 0, "{figures}");
    assert_eq!(figures["open"]["sockets"], 0, "{figures}");
    for quantile in ["min", "p50", "max"] {
        let us = figures[quantile].as_u64().expect("a number");
        // Three significant digits.
        let (least, most) = (
            host::time_wait().start().as_micros(),
            host::time_wait().end().as_micros(),
        );
        let range = least - least / 1000..=most + most / 1000;
        assert!(
            range.contains(&u128::from(us)),
            "{quantile} {us}: {figures}"
        );
    }
}
