//! Where the kernel has no room: for another `TIME_WAIT`, and for another connection that nobody accepts.
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use tcpstate_tests::{
    History, Namespace, Served, Sight, Watch, endpoint, history, host,
    live::Live,
    poll_until, sockets,
    traffic::{self, V4},
    tun::{ACK, KERNEL, Peer, RST, SYN, Tun},
};

#[test]
fn too_many_time_waits() {
    const ROOM: usize = 3;
    const CLOSED: usize = 10;
    let sight = Sight::of_tool();
    let watch = Watch::new();
    watch
        .ns
        .run(|| host::set("tcp_max_tw_buckets", &ROOM.to_string()));
    let listener = watch.ns.run(|| traffic::listen(V4));
    let port = traffic::address(&listener).port();
    for _ in 0..CLOSED {
        watch
            .ns
            .run(|| traffic::connect(&listener))
            .close_client_first();
    }
    watch.wait_for_lines(CLOSED, |line| line.edge() == "LAST_ACK->CLOSE");
    if sight.has_segments() {
        watch.wait_for_lines(ROOM, |line| line.edge() == "FIN_WAIT2->TIME_WAIT");
    }
    let (ns, lives) = watch.end();
    let there = ns.run(sockets::by_state);
    assert_eq!(there["TIME_WAIT"], ROOM as u64, "{there:?}");
    let clients: Vec<&History> = lives
        .iter()
        .filter(|life| life.last().rport == Some(port))
        .collect();
    assert_eq!(clients.len(), CLOSED, "{lives:#?}");
    let (gone, kept): (Vec<&History>, Vec<&History>) = clients
        .into_iter()
        .partition(|life| life.last().to == "CLOSE");
    assert_eq!(kept.len(), ROOM, "{kept:#?}");
    for life in gone {
        life.assert_life(&[
            "CLOSE->SYN_SENT",
            "SYN_SENT->ESTABLISHED",
            "ESTABLISHED->FIN_WAIT1",
            "FIN_WAIT1->FIN_WAIT2",
            "FIN_WAIT2->CLOSE",
        ]);
        sight.assert_reason(life.last().reason.as_deref(), "tw_overflow");
    }
}

/// The alert `TcpTimeWaitOverflow` looks at this, in every tier.
#[test]
fn too_many_time_waits_for_prometheus() {
    const ROOM: usize = 3;
    const CLOSED: usize = 10;
    let overflows = "tcpstate_ended_total{state=\"fin_wait2\",reason=\"tw_overflow\"}";
    let ns = Namespace::new();
    let everywhere = Served::start(&[]);
    let there = Served::start(&["-N", &ns.inode().to_string()]);
    let later = Namespace::new();
    for ns in [&ns, &later] {
        ns.run(|| host::set("tcp_max_tw_buckets", &ROOM.to_string()));
        let listener = ns.run(|| traffic::listen(V4));
        for _ in 0..CLOSED {
            ns.run(|| traffic::connect(&listener)).close_client_first();
        }
    }
    for (served, expected) in [(there, CLOSED - ROOM), (everywhere, 2 * (CLOSED - ROOM))] {
        poll_until("the overflows", || {
            let seen = served.scrape().of(overflows);
            (seen == expected as f64)
                .then_some(())
                .ok_or(format!("{seen}"))
        });
        served.stop().assert_summary();
    }
}

/// The queue holds one more than its backlog. The connection that does not fit stays half open, although its peer takes
/// it for complete, until there is room.
#[test]
fn too_many_to_accept() {
    const PORT: u16 = 23_010;
    const BACKLOG: i32 = 2;
    let live = Live::start("23010", "10m");
    let watch = Watch::new();
    let (listener, tun) = watch.ns.run(|| {
        let tun = Tun::new();
        (endpoint::listener((KERNEL, PORT).into(), BACKLOG), tun)
    });
    let assert_live = |expected: [u64; 3]| {
        let truth = watch.ns.run(|| sockets::by_state_at(PORT..=PORT));
        let moment = live.now();
        assert_eq!(moment.counts, truth);
        let seen = ["LISTEN", "SYN_RECV", "ESTABLISHED"].map(|state| truth[state]);
        assert_eq!(seen, expected, "{truth:?}");
    };
    let mut one = Peer::connected(&tun, 5001, PORT);
    let _two = Peer::connected(&tun, 5002, PORT);
    assert_live([1, 0, 2]);
    let mut three = Peer::half_open(&tun, 5003, PORT);
    let before = Instant::now();
    let mut four = Peer::half_open(&tun, 5004, PORT);
    let there = Instant::now();
    assert_live([1, 2, 2]);
    three.send(ACK);
    four.send(ACK);
    assert_live([1, 1, 3]);
    let accepted = listener.accept().expect("accepting");
    sleep(Duration::from_millis(200));
    let least = there.elapsed();
    four.see(SYN | ACK); // again, as if the acknowledgment had not come
    four.send(ACK);
    watch.wait_for(PORT, 5004, "SYN_RECV->ESTABLISHED");
    let truth = least..=before.elapsed();
    assert_live([1, 0, 4]);
    one.send(RST | ACK); // or the kernel would wait for it after the test
    drop(accepted);
    let _ = live.stop();
    let (_, lives) = watch.end();
    for port in 5002..=5004 {
        let life = history::find_ports(&lives, PORT, port);
        life.assert_life(&["LISTEN->SYN_RECV", "SYN_RECV->ESTABLISHED"]);
        life.assert_seen();
    }
    history::find_ports(&lives, PORT, 5004).assert_dwell("SYN_RECV", &truth);
}
