//! `doctor`: what operators look up, provoked for real in a namespace, and found; and what it says of a healthy one.
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{setsockopt, sockopt},
};
use tcpstate_tests::{
    Namespace, Pair, diagnosis,
    diagnosis::Diagnosis,
    endpoint, host,
    scene::{self, PORT, Scene},
    sockets,
    traffic::{self, V4},
    tun::{ACK, FIN, KERNEL, PEER, Peer, SYN},
};

/// So many sockets are a pile: more than the ten of the rules.
const PILE: u16 = 12;

#[test]
fn a_healthy_namespace_gives_no_warning() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let tool = diagnosis::begin(&ns, "5");
    let pairs: Vec<Pair> = (0..20)
        .map(|_| ns.run(|| traffic::connect(&listener)))
        .collect();
    for _ in 0..20 {
        ns.run(|| traffic::connect(&listener)).close_client_first();
        ns.run(|| traffic::connect(&listener)).close_server_first();
    }
    let found = Diagnosis::read(&tool.finish());
    drop(pairs);
    assert_eq!(found.warnings, 0, "{found:#?}");
    assert!(found.missing.is_empty(), "{found:#?}");
    let notes: Vec<_> = found
        .findings
        .iter()
        .filter(|one| one.severity != "ok")
        .collect();
    assert!(notes.is_empty(), "{notes:#?}");
    found.assert("established", "ok", "40 ESTABLISHED");
    found.assert("time_wait", "ok", "40 in TIME_WAIT");
    let time_wait = &found.evidence[0]["measured"]["states"]["TIME_WAIT"];
    assert_eq!(time_wait["entered"], 40, "{time_wait}");
}

#[test]
fn local_ports_run_out_towards_one_destination() {
    let ns = Namespace::new();
    let (listener, other) = ns.run(|| {
        host::set("ip_local_port_range", "40000 40009");
        (
            endpoint::listener((V4, PORT).into(), 64),
            endpoint::listener((V4, PORT + 1).into(), 64),
        )
    });
    let connect = |to| ns.run(|| TcpStream::connect(traffic::address(to)));
    let kept: Vec<_> = (0..10)
        .map(|_| connect(&listener).expect("connecting"))
        .collect();
    let error = connect(&listener).expect_err("no port is left");
    assert_eq!(error.raw_os_error(), Some(Errno::EADDRNOTAVAIL as i32));
    // Towards another destination the same ports are free.
    let elsewhere: Vec<_> = (0..7)
        .map(|_| connect(&other).expect("connecting"))
        .collect();
    let found = diagnosis::at_once(&ns);
    let headline = "10 of 10 local ports in use towards 127.0.0.1 port 4000";
    let ports = found.assert("ip_local_port_range", "warning", headline);
    ports.assert_seen("port 4000: 10 ports, 0 of them held by TIME_WAIT");
    ports.assert_seen("port 4001: 7 ports");
    ports.assert_seen("10 usable ports: 40000-40009");
    drop((kept, elsewhere));
}

#[test]
fn nobody_accepts() {
    let scene = Scene::new(1);
    // The queue takes one more than its backlog.
    let waiting: Vec<_> = (0..2).map(|number| scene.waiting(number)).collect();
    let tool = diagnosis::begin(&scene.ns, "1");
    for number in 2..5 {
        scene.peer(number).send(SYN);
    }
    let found = Diagnosis::read(&tool.finish());
    let headline = format!("the accept queue of {KERNEL} port {PORT} (");
    let overflow = found.assert("listen_overflow", "warning", &headline);
    assert!(
        overflow
            .headline
            .contains(&format!("[{}]) is full", std::process::id())),
        "{overflow:#?}"
    );
    overflow.assert_seen("2 wait, limit 1");
    overflow.assert_seen("ListenOverflows: 3 more in");
    scene::reset(waiting);
}

#[test]
fn no_room_for_time_wait() {
    let ns = Namespace::new();
    ns.run(|| host::set("tcp_max_tw_buckets", "10"));
    let listener = ns.run(|| traffic::listen(V4));
    let tool = diagnosis::begin(&ns, "1");
    for _ in 0..25 {
        ns.run(|| traffic::connect(&listener)).close_client_first();
    }
    let found = Diagnosis::read(&tool.finish());
    let overflow = found.assert(
        "tcp_max_tw_buckets",
        "warning",
        "15 TIME_WAIT were not made",
    );
    overflow.assert_seen("TCPTimeWaitOverflow: 15 more in");
    overflow.assert_seen("10 mini-sockets now (sock_diag), tcp_max_tw_buckets 10");
    // Later it is a thing of the past; but the places are still taken.
    let later = diagnosis::at_once(&ns);
    later.assert("tcp_max_tw_buckets", "warning", "10 of 10 places");
}

#[test]
fn a_process_does_not_close() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let leaked: Vec<TcpStream> = (0..PILE)
        .map(|_| {
            let Pair { client, server } = ns.run(|| traffic::connect(&listener));
            drop(client);
            traffic::await_end(&server);
            server
        })
        .collect();
    let found = diagnosis::of(&ns, "5");
    let leak = found.assert(
        "close_wait",
        "warning",
        "12 sockets in CLOSE_WAIT, quiet for 5 s or more",
    );
    let process = leak.assert_seen(&format!("[{}]", std::process::id()));
    assert!(
        process.contains(": 12 sockets, oldest at least"),
        "{process}"
    );
    assert!(process.ends_with("peers 127.0.0.1 (12)"), "{process}");
    // Without a measurement: the sockets, but not the process.
    let at_once = diagnosis::at_once(&ns);
    let leak = at_once.assert("close_wait", "warning", "12 sockets");
    assert_eq!(leak.seen.len(), 1, "{leak:#?}");
    drop(leaked);
}

/// What nobody has accepted is nobody's leak, although its listener's owner is known.
#[test]
fn a_listener_is_not_blamed_for_what_it_has_not_accepted() {
    let ns = Namespace::new();
    let listener = ns.run(|| endpoint::listener((V4, PORT).into(), 64));
    for _ in 0..PILE {
        drop(ns.run(|| TcpStream::connect(traffic::address(&listener)).expect("connecting")));
    }
    let found = diagnosis::of(&ns, "5");
    let leak = found.assert("close_wait", "warning", "12 sockets");
    leak.assert_seen("no known process: 12 sockets");
    let blamed = leak.seen.iter().any(|detail| detail.contains('['));
    assert!(!blamed, "{leak:#?}");
}

/// The client has no more to say, but goes on listening: a download is no leak, however long it takes.
#[test]
fn a_half_closed_connection_in_use_is_no_leak() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let mut pairs: Vec<Pair> = (0..PILE)
        .map(|_| {
            let pair = ns.run(|| traffic::connect(&listener));
            pair.client
                .shutdown(Shutdown::Write)
                .expect("closing one way");
            traffic::await_end(&pair.server);
            pair
        })
        .collect();
    let tool = diagnosis::begin(&ns, "6");
    let run = thread::scope(|scope| {
        let run = scope.spawn(|| tool.finish());
        while !run.is_finished() {
            for pair in &mut pairs {
                pair.server.write_all(b"more").expect("sending");
                pair.client.read_exact(&mut [0; 4]).expect("reading");
            }
            thread::sleep(Duration::from_millis(200));
        }
        run.join().expect("the tool ends")
    });
    let found = Diagnosis::read(&run);
    found.assert("close_wait", "ok", "12 in CLOSE_WAIT, none for long");
    assert_eq!(found.warnings, 0, "{found:#?}");
}

#[test]
fn half_open_connections_that_nobody_completes() {
    let scene = Scene::new(16);
    let tool = diagnosis::begin(&scene.ns, "2");
    let first: Vec<Peer<'_>> = (0..PILE + 1)
        .map(|number| scene.half_open(number))
        .collect();
    let found = Diagnosis::read(&tool.finish());
    let crowd = found.assert(
        "syn_recv",
        "warning",
        "13 half-open connections at 10.77.0.1 port 4000",
    );
    crowd.assert_seen("13 sockets in SYN_RECV now, of which 13 have sent their SYN-ACK again");
    crowd.assert_seen("13 half open, limit 16");

    scene::reset(first);
}

/// Beyond the listener's limit the kernel answers with cookies, and remembers nothing.
#[test]
fn a_flood_of_half_open_connections() {
    const FLOOD: u16 = 30;
    let scene = Scene::new(16);
    let tool = diagnosis::begin(&scene.ns, "1");
    let peers: Vec<Peer<'_>> = (0..FLOOD).map(|number| scene.half_open(number)).collect();
    let found = Diagnosis::read(&tool.finish());
    let remembered = scene.ns.run(sockets::by_state)["SYN_RECV"];
    let cookies = u64::from(FLOOD) - remembered;
    let headline = format!("{cookies} SYNs met a full queue and were answered with cookies");
    let flood = found.assert("syn_recv", "warning", &headline);
    flood.assert_seen(&format!("SyncookiesSent: {cookies} more in"));
    scene::reset(peers);
}

#[test]
fn peers_that_do_not_answer() {
    let scene = Scene::new(64);
    let connecting: Vec<TcpStream> = (0..PILE)
        .map(|number| {
            scene
                .ns
                .run(|| endpoint::connecting((KERNEL, 6000 + number).into(), (PEER, 80).into()))
        })
        .collect();
    let mut silent = Vec::new();
    let mut open = Vec::new();
    for number in 0..PILE {
        let (mut peer, stream) = scene.accepted(number); // FIN_WAIT1
        drop(stream);
        peer.take(FIN | ACK);
        silent.push(peer);

        let (mut peer, stream) = scene.accepted(100 + number); // LAST_ACK
        peer.send(FIN | ACK);
        traffic::await_end(&stream);
        drop(stream);
        peer.take(FIN | ACK);
        silent.push(peer);

        let (peer, mut stream) = scene.accepted(200 + number); // ESTABLISHED
        stream.write_all(b"hello").expect("writing");
        silent.push(peer);
        open.push(stream);
    }
    let found = diagnosis::of(&scene.ns, "3");
    for (id, state) in [
        ("syn_sent", "SYN_SENT"),
        ("fin_wait1", "FIN_WAIT1"),
        ("last_ack", "LAST_ACK"),
        ("established", "ESTABLISHED"),
    ] {
        let finding = found.assert(id, "warning", "12 sockets ");
        assert!(finding.headline.contains(state), "{finding:#?}");
        finding.assert_seen(&format!("12 sockets in {state} now, of which 12 have sent"));
        finding.assert_seen("without an answer from peers 10.77.0.2 (12)");
    }
    let caller = found
        .of("syn_sent")
        .assert_seen(&format!("[{}]", std::process::id()));
    assert!(caller.contains("12 sockets"), "{caller}");
    scene::reset(silent);
    drop((connecting, open));
}

/// They acknowledge, but they do not read: what is left to send waits for room, and the FIN behind it.
#[test]
fn peers_that_do_not_read() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    setsockopt(&listener, sockopt::RcvBuf, &4096).expect("setting SO_RCVBUF");
    let deaf: Vec<TcpStream> = (0..PILE)
        .map(|_| {
            let Pair { mut client, server } = ns.run(|| traffic::connect(&listener));
            client.set_nonblocking(true).expect("a stream can do that");
            let full = loop {
                if let Err(error) = client.write(&[0; 4096]) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::WouldBlock, "{full}");
            server
        })
        .collect();
    let found = diagnosis::of(&ns, "1");
    let waiting = found.assert("fin_wait1", "warning", "12 sockets in FIN_WAIT1");
    waiting.assert_seen("and 12 wait for room at the peer");
    drop(deaf);
}

#[test]
fn half_closed_for_long() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let pairs: Vec<Pair> = (0..100)
        .map(|_| {
            let pair = ns.run(|| traffic::connect(&listener));
            pair.client
                .shutdown(Shutdown::Write)
                .expect("closing one way");
            traffic::await_end(&pair.server);
            pair
        })
        .collect();
    let found = diagnosis::of(&ns, "5");
    let held = found.assert(
        "fin_wait2",
        "warning",
        "100 sockets half closed for 5 s or more",
    );
    held.assert_seen("100 sockets in FIN_WAIT2 now: 100 held by a process, 0 without one");
    held.assert_seen(&format!("[{}]", std::process::id()));
    drop(pairs);
}

#[test]
fn a_thousand_time_waits_are_worth_a_note() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let churn = |connections: u32| {
        for _ in 0..connections {
            ns.run(|| traffic::connect(&listener)).close_client_first();
        }
    };
    churn(980);
    let tool = diagnosis::begin(&ns, "3");
    churn(20);
    let found = Diagnosis::read(&tool.finish());
    assert_eq!(ns.run(sockets::by_state)["TIME_WAIT"], 1000);
    let churn = found.assert("time_wait", "info", "1,000 sockets in TIME_WAIT");
    churn.assert_seen("a second are added");
    assert_eq!(found.warnings, 0, "{found:#?}");
}
