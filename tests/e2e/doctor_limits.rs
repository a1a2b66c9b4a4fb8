//! `doctor` and the limits of the kernel: each is really reached, and found; and later it is a thing of the past.
use std::{fs, net::TcpStream};

use tcpstate_tests::{
    Namespace, diagnosis,
    diagnosis::Diagnosis,
    endpoint,
    host::{self, Borrowed},
    poll_until,
    scene::{self, Scene},
    sockets, tool,
    traffic::{self, V4},
    tun::{ACK, Peer, RST, SYN},
};

/// A counter of the namespace, from the line pair `TcpExt:`.
fn counter(ns: &Namespace, name: &str) -> u64 {
    let text = ns.run(|| fs::read_to_string("/proc/thread-self/net/netstat"));
    let text = text.expect("reading the counters");
    let mut lines = text
        .lines()
        .filter(|line| line.starts_with("TcpExt:"))
        .map(str::split_whitespace);
    let (names, values) = (lines.next(), lines.next());
    let mut pairs = names
        .into_iter()
        .flatten()
        .zip(values.into_iter().flatten());
    let (_, value) = pairs.find(|pair| pair.0 == name).expect("a counter");
    value.parse().expect("a number")
}

/// The limit is the whole host's, and shown in its initial namespace; what is thrown away counts in the socket's own.
#[test]
fn too_many_orphans() {
    const ORPHANS: u16 = 340;
    const ENOUGH: &str = "400"; // of which they are 85 %
    const TOO_FEW: &str = "300";
    let scene = Scene::new(64);
    let mut silent = Vec::new();
    let mut open = Vec::new();
    for number in 0..ORPHANS {
        let (peer, stream) = scene.accepted(number);
        drop(stream); // FIN_WAIT1, for a minute and more
        silent.push(peer);
    }
    for number in ORPHANS..ORPHANS + 40 {
        let (peer, stream) = scene.accepted(number);
        silent.push(peer);
        open.push(stream);
    }
    let limit = Borrowed::set("tcp_max_orphans", ENOUGH);
    let here = tool::run(tool::command(&["doctor", "--json", "--no-measure"]));
    drop(limit);
    let found = Diagnosis::read(&here);
    let near = found.assert("tcp_max_orphans", "warning", "of at most 400");
    near.assert_seen("orphans now (/proc/net/sockstat), tcp_max_orphans 400");

    diagnosis::at_once(&scene.ns).assert("tcp_max_orphans", "ok", "none thrown away");
    let tool = diagnosis::begin(&scene.ns, "1");
    // For as short as can be: whatever closes on this host meanwhile is thrown away, too. The first of ours is, unless the
    // kernel's sum of orphans, which is a tenth of a second old, lags behind.
    let limit = Borrowed::set("tcp_max_orphans", TOO_FEW);
    let thrown_away = poll_until("a socket to be thrown away", || {
        drop(open.pop());
        match counter(&scene.ns, "TCPAbortOnMemory") {
            0 => Err("none".to_owned()),
            count => Ok(count),
        }
    });
    drop(limit);
    let found = Diagnosis::read(&tool.finish());
    let overflow = found.assert("tcp_max_orphans", "warning", " thrown away: too many");
    overflow.assert_seen(&format!("TCPAbortOnMemory: {thrown_away} more in"));
    diagnosis::at_once(&scene.ns).assert("tcp_max_orphans", "info", "at some time");
    scene::reset(silent);
}

#[test]
fn a_queue_that_was_full_for_a_moment() {
    let scene = Scene::new(1);
    let waiting = [0, 1].map(|number| scene.waiting(number));
    let tool = diagnosis::begin(&scene.ns, "1");
    for number in 2..5 {
        scene.peer(number).send(SYN);
    }
    let accepted = [0, 1].map(|_| scene.listener.accept().expect("accepting"));
    let found = Diagnosis::read(&tool.finish());
    let headline = "3 times a listener's queue was full while measured";
    let overflow = found.assert("listen_overflow", "warning", headline);
    overflow.assert_seen("ListenOverflows: 3 more in");
    overflow.assert_seen("ListenDrops: 3 more in");
    let headline = "3 times a listener's queue was full at some time";
    let later = diagnosis::at_once(&scene.ns);
    later.assert("listen_overflow", "info", headline);
    assert_eq!(later.warnings, 0, "{later:#?}");
    scene::reset(waiting);
    drop(accepted);
}

#[test]
fn clients_of_a_full_queue_are_reset() {
    let scene = Scene::new(2);
    scene.ns.run(|| host::set("tcp_abort_on_overflow", "1"));
    let mut late = scene.half_open(9);
    let waiting = [0, 1, 2].map(|number| scene.waiting(number));
    let tool = diagnosis::begin(&scene.ns, "1");
    late.send(ACK);
    late.see(RST);
    let found = Diagnosis::read(&tool.finish());
    let headline = "queues overflow, and their clients are reset";
    let aborts = found.assert("tcp_abort_on_overflow", "warning", headline);
    aborts.assert_seen("ListenOverflows: 1 more in");
    scene::reset(waiting);
}

#[test]
fn a_flood_without_cookies() {
    const ROOM: u16 = 16; // and on newer kernels one more
    const SENT: u16 = 21;
    let scene = Scene::new(ROOM.into());
    scene.ns.run(|| host::set("tcp_syncookies", "0"));
    let tool = diagnosis::begin(&scene.ns, "1");
    let half_open: Vec<Peer<'_>> = (0..ROOM).map(|number| scene.half_open(number)).collect();
    for number in ROOM..SENT {
        scene.peer(number).send(SYN);
    }
    let found = Diagnosis::read(&tool.finish());
    let dropped = u64::from(SENT) - scene.ns.run(sockets::by_state)["SYN_RECV"];
    let headline = format!("{dropped} SYNs were dropped: too many half-open connections");
    let drops = found.assert("syn_recv", "warning", &headline);
    drops.assert_seen(&format!("TCPReqQFullDrop: {dropped} more in"));
    found.assert("tcp_syncookies", "warning", "SYN cookies are off");
    scene::reset(half_open);
}

#[test]
fn a_backlog_is_cut() {
    let ns = Namespace::new();
    diagnosis::at_once(&ns).assert("backlog_limits", "ok", "somaxconn 4096");
    let listener = ns.run(|| {
        host::set_core("somaxconn", "128");
        endpoint::listener((V4, scene::PORT).into(), endpoint::LONGEST)
    });
    let waiting = ns.run(|| TcpStream::connect(traffic::address(&listener)));
    let found = diagnosis::at_once(&ns);
    let headline = "somaxconn is 128: it cuts the backlog of every listener to that";
    found.assert("backlog_limits", "info", headline);
    let listeners = &found.evidence[0]["sockets"]["listeners"];
    assert_eq!(listeners[0]["limit"], 128, "{listeners}");
    drop(waiting.expect("connecting"));
}

#[test]
fn time_waits_that_were_not_made_some_time_ago() {
    let ns = Namespace::new();
    ns.run(|| host::set("tcp_max_tw_buckets", "10"));
    let listener = ns.run(|| traffic::listen(V4));
    for _ in 0..25 {
        ns.run(|| traffic::connect(&listener)).close_client_first();
    }
    ns.run(|| host::set("tcp_max_tw_buckets", "1000"));
    let found = diagnosis::at_once(&ns);
    let headline = "15 TIME_WAIT were not made at some time";
    found.assert("tcp_max_tw_buckets", "info", headline);
    assert_eq!(found.warnings, 0, "{found:#?}");
}
