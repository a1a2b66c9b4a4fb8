//! `doctor` and what is worth a note: as much of a symptom as any host may have, really there, and no warning.
use std::{
    io::Write as _,
    net::{Shutdown, TcpStream},
};

use tcpstate_tests::{
    Namespace, Pair, diagnosis,
    diagnosis::Diagnosis,
    endpoint, host, poll_until,
    scene::{self, Scene},
    sockets,
    traffic::{self, V4},
    tun::{ACK, FIN, KERNEL, PEER, Peer},
};

fn assert_no_warning(found: &Diagnosis) {
    assert_eq!(found.warnings, 0, "{found:#?}");
}

#[test]
fn a_few_half_closed_connections() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let pairs = [0; 3].map(|_| {
        let pair = ns.run(|| traffic::connect(&listener));
        pair.client
            .shutdown(Shutdown::Write)
            .expect("closing one way");
        traffic::await_end(&pair.server);
        pair
    });
    let found = diagnosis::of(&ns, "5");
    let headline = "3 sockets in CLOSE_WAIT, quiet for 5 s or more";
    found.assert("close_wait", "info", headline);
    let headline = "3 sockets half closed for 5 s or more, held by a process";
    found.assert("fin_wait2", "info", headline);
    assert_no_warning(&found);
    drop(pairs);
}

#[test]
fn half_closed_connections_that_the_kernel_ends() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let servers: Vec<TcpStream> = (0..100)
        .map(|_| {
            let Pair { client, server } = ns.run(|| traffic::connect(&listener));
            drop(client);
            server
        })
        .collect();
    // Their FINs are acknowledged by the delayed-ACK timer.
    poll_until("the half-closed connections", || {
        let there = ns.run(sockets::by_state)["FIN_WAIT2"];
        (there == 100).then_some(()).ok_or(format!("{there}"))
    });
    let found = diagnosis::at_once(&ns);
    let orphans = found.assert("fin_wait2", "info", "100 sockets in FIN_WAIT2 without a");
    orphans.assert_seen("100 sockets in FIN_WAIT2 now: 0 held by a process, 100 without one");
    drop(servers);
}

/// On a host with many connections some peers are always vanishing.
#[test]
fn a_few_peers_of_many_do_not_answer() {
    const FEW: u16 = 10;
    let scene = Scene::new(64);
    let listener = scene.ns.run(|| traffic::listen(V4));
    let connect = || scene.ns.run(|| traffic::connect(&listener));
    let well: Vec<Pair> = std::iter::repeat_with(connect).take(120).collect();
    let calling = || endpoint::connecting((KERNEL, 6000).into(), (PEER, 80).into());
    let calling = scene.ns.run(calling);
    let mut silent = Vec::new();
    let mut open = Vec::new();
    for number in 0..FEW {
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
    for (id, headline) in [
        ("syn_sent", "1 socket in SYN_SENT without an answer"),
        ("fin_wait1", "10 sockets in FIN_WAIT1 without an answer"),
        ("last_ack", "10 sockets in LAST_ACK without an answer"),
        (
            "established",
            "10 sockets ESTABLISHED whose peer does not answer",
        ),
    ] {
        let finding = found.assert(id, "info", headline);
        finding.assert_seen("without an answer from peers 10.77.0.2 (");
    }
    assert_no_warning(&found);
    scene::reset(silent);
    drop((calling, open, well));
}

/// Eight are noise, far below their listener's limit; a hundred are not.
#[test]
fn half_open_connections_of_peers_that_do_not_answer() {
    let scene = Scene::new(endpoint::LONGEST);
    let mut silent: Vec<Peer<'_>> = (0..8).map(|number| scene.half_open(number)).collect();
    let found = diagnosis::of(&scene.ns, "2");
    let headline = "8 half-open connections do not get on";
    let noise = found.assert("syn_recv", "info", headline);
    noise.assert_seen("without an answer from peers 10.77.0.2 (8)");
    assert_no_warning(&found);

    silent.extend((8..100).map(|number| scene.half_open(number)));
    let found = diagnosis::of(&scene.ns, "2");
    let headline = "100 half-open connections do not get on";
    found.assert("syn_recv", "warning", headline);
    scene::reset(silent);
}

#[test]
fn half_of_the_local_ports_towards_one_destination() {
    let ns = Namespace::new();
    let listener = ns.run(|| {
        host::set("ip_local_port_range", "40000 40009");
        endpoint::listener((V4, scene::PORT).into(), 64)
    });
    let kept = [0; 2].map(|_| ns.run(|| traffic::connect(&listener)));
    for _ in 0..3 {
        ns.run(|| traffic::connect(&listener)).close_client_first();
    }
    let found = diagnosis::at_once(&ns);
    let headline = "5 of 10 local ports in use towards 127.0.0.1 port 4000";
    let ports = found.assert("ip_local_port_range", "info", headline);
    ports.assert_seen("port 4000: 5 ports, 3 of them held by TIME_WAIT");
    assert_no_warning(&found);
    drop(kept);
}
