//! `life`: whole lives of real connections: who opened, who closed first, how long each state took, how it ended.
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    ops::RangeInclusive,
    thread::{self, sleep},
    time::{Duration, Instant},
};

use tcpstate_tests::{
    Namespace, Pair, Sight, Tool, Whole, endpoint, host,
    traffic::{self, V4},
    tun::{ACK, FIN, KERNEL, PEER, Peer, RST, SYN, Tun},
};

/// Long enough that a state's time can be told from nothing.
const PAUSE: Duration = Duration::from_millis(150);
const LOCAL: u16 = 4000;
const REMOTE: u16 = 5000;

/// What the client sends, and the server, bytes.
const SENT: (usize, usize) = (1000, 70_000);

/// Both ends send what they have to say.
fn exchange(pair: &Pair) {
    for (mut from, mut to, length) in [
        (&pair.client, &pair.server, SENT.0),
        (&pair.server, &pair.client, SENT.1),
    ] {
        thread::scope(|scope| {
            scope.spawn(move || from.write_all(&vec![1; length]).expect("sending"));
            to.read_exact(&mut vec![0; length]).expect("receiving");
        });
    }
}

/// Checks that it carried [`SENT`], neither SYN nor FIN counted.
fn assert_payload(life: &Whole) {
    let (mine, other) = match life.role.as_deref() {
        Some("client") => SENT,
        _ => (SENT.1, SENT.0),
    };
    let expected = (Some(mine as u64), Some(other as u64));
    assert_eq!(
        (life.bytes_sent, life.bytes_received),
        expected,
        "{life:#?}"
    );
}

/// A namespace under `life`, which sees nothing else.
struct Scene {
    ns: Namespace,
    tool: Tool,
}

impl Scene {
    fn new(more: &[&str]) -> Self {
        Self::of(Namespace::new(), more)
    }

    fn of(ns: Namespace, more: &[&str]) -> Self {
        let inode = ns.inode().to_string();
        let tool = Tool::start(&[&["life", "--json", "-N", &inode], more].concat());
        Self { ns, tool }
    }

    /// Waits for the life that ends with these ports.
    fn wait_for(&self, local: u16, remote: u16) -> Whole {
        let text = self.tool.wait_for("the life waited for", |text| {
            let life = Whole::read(text);
            life.ports() == (Some(local), Some(remote))
        });
        Whole::read(&text)
    }

    /// A connection that carries [`SENT`], and for how long it has been established when `close` has closed it: at least, and at most.
    fn close_after_pause(
        &self,
        listener: &TcpListener,
        close: impl FnOnce(Pair),
    ) -> (u16, RangeInclusive<Duration>) {
        let before = Instant::now();
        let pair = self.ns.run(|| traffic::connect(listener));
        let there = Instant::now();
        let port = pair.client_address().port();
        exchange(&pair);
        sleep(PAUSE);
        let least = there.elapsed();
        close(pair);
        (port, least..=before.elapsed() + host::LATENESS)
    }

    /// Stops the tool; returns the lives in the namespace and what it says about them on standard error.
    fn end(self) -> (Vec<Whole>, String) {
        let run = self.tool.stop();
        run.assert_summary();
        let lives = run.stdout.iter().map(|text| Whole::read(text));
        let lives: Vec<Whole> = lives
            .enumerate()
            .map(|(number, life)| {
                assert_eq!(
                    life.seq, number as u64,
                    "the order of the output: {life:#?}"
                );
                assert_eq!(life.netns, self.ns.inode(), "{life:#?}");
                life
            })
            .collect();
        let [.., said, _summary] = &run.stderr[..] else {
            panic!("it says nothing about lives: {run:#?}")
        };
        (lives, said.clone())
    }
}

#[test]
fn the_other_end_closes_first() {
    let scene = Scene::new(&[]);
    let listener = scene.ns.run(|| traffic::listen(V4));
    let port = traffic::address(&listener).port();

    let (client, truth) = scene.close_after_pause(&listener, Pair::close_server_first);
    let life = scene.wait_for(client, port);
    life.assert_ended("client", "passive", "LAST_ACK", None);
    life.assert_whole(&["SYN_SENT", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"]);
    life.assert_stay("ESTABLISHED", &truth);
    assert_payload(&life);

    let (client, truth) = scene.close_after_pause(&listener, Pair::close_client_first);
    let life = scene.wait_for(port, client);
    life.assert_ended("server", "passive", "LAST_ACK", None);
    life.assert_whole(&["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"]);
    life.assert_stay("ESTABLISHED", &truth);
    assert_payload(&life);

    // The listener is no connection; the other ends are in TIME_WAIT.
    drop(listener);
    let (lives, said) = scene.end();
    assert_eq!(lives.len(), 2, "{lives:#?}");
    let expected = "tcpstate: 2 connections finished, 2 still open (--open shows them)";
    assert_eq!(said, expected);
}

#[test]
fn reset() {
    let scene = Scene::new(&[]);
    let listener = scene.ns.run(|| traffic::listen(V4));
    let port = traffic::address(&listener).port();
    for (close, client_ends, server_ends) in [
        (Pair::reset_by_client as fn(Pair), "aborted", "reset"),
        (Pair::reset_by_server, "reset", "aborted"),
    ] {
        let (local, truth) = scene.close_after_pause(&listener, close);
        let client = scene.wait_for(local, port);
        client.assert_ended("client", "reset", "ESTABLISHED", Some(client_ends));
        client.assert_whole(&["SYN_SENT", "ESTABLISHED"]);
        let server = scene.wait_for(port, local);
        server.assert_ended("server", "reset", "ESTABLISHED", Some(server_ends));
        server.assert_whole(&["SYN_RECV", "ESTABLISHED"]);
        for life in [client, server] {
            life.assert_stay("ESTABLISHED", &truth);
            assert_payload(&life);
        }
    }
}

#[test]
fn refused() {
    let scene = Scene::new(&[]);
    // A port that was free a moment ago, in a namespace that nobody else uses.
    let remote = scene.ns.run(|| traffic::address(&traffic::listen(V4)));
    let error = scene.ns.run(|| TcpStream::connect(remote));
    error.expect_err("refused");
    let text = scene.tool.wait_for("the refused connection", |text| {
        let life = Whole::read(text);
        life.rport == Some(remote.port())
    });
    let life = Whole::read(&text);
    life.assert_ended("client", "unopened", "SYN_SENT", Some("refused"));
    life.assert_whole(&["SYN_SENT"]);
    assert_eq!(life.pid, Some(std::process::id()), "{life:#?}");
    assert_eq!(life.owner_source.as_deref(), Some("connect"), "{life:#?}");
}

/// The SYN-ACK is sent again after a second, and given up two seconds later.
#[test]
fn half_open() {
    let scene = Scene::new(&[]);
    let (tun, _listener) = scene.ns.run(|| {
        host::set("tcp_synack_retries", "1");
        let tun = Tun::new();
        (tun, endpoint::listener((KERNEL, LOCAL).into(), 8))
    });
    let peer = Peer::half_open(&tun, REMOTE, LOCAL);
    peer.see(SYN | ACK);
    let life = scene.wait_for(LOCAL, REMOTE);
    life.assert_ended("server", "unopened", "SYN_RECV", Some("timeout"));
    life.assert_whole(&["SYN_RECV"]);
    life.assert_stay("SYN_RECV", &host::timer(Duration::from_secs(3)));
}

#[test]
fn both_ends_close_at_once() {
    let sight = Sight::of_tool();
    let scene = Scene::new(&[]);
    let tun = scene.ns.run(Tun::new);
    let (local, remote): (SocketAddr, SocketAddr) = ((KERNEL, LOCAL).into(), (PEER, REMOTE).into());
    let stream = scene.ns.run(|| endpoint::connecting(local, remote));
    let mut peer = Peer::called(&tun, REMOTE);
    peer.send(SYN | ACK);
    peer.see(ACK);
    drop(stream);
    peer.see(FIN | ACK); // not acknowledged: the peer's own crosses it
    let before = Instant::now();
    peer.send(FIN | ACK);
    peer.see(ACK);
    let there = Instant::now();
    sleep(PAUSE);
    let least = there.elapsed();
    peer.expect_more(1);
    peer.send(ACK);
    peer.send(RST);
    let life = scene.wait_for(LOCAL, REMOTE);
    let truth = least..=before.elapsed();
    sight.assert_reason(life.reason.as_deref(), "reset");
    life.assert_ended(
        "client",
        "simultaneous",
        "TIME_WAIT",
        life.reason.as_deref(),
    );
    life.assert_whole(&[
        "SYN_SENT",
        "ESTABLISHED",
        "FIN_WAIT1",
        "CLOSING",
        "TIME_WAIT",
    ]);
    life.assert_stay("CLOSING", &truth);
}

/// Beginning and total are unknown, what comes after is measured.
#[test]
fn existed_before() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let port = traffic::address(&listener).port();
    let pair = ns.run(|| traffic::connect(&listener));
    let client = pair.client_address().port();
    let scene = Scene::of(ns, &[]);
    drop(pair.server);
    traffic::await_end(&pair.client);
    let there = Instant::now();
    sleep(PAUSE);
    let least = there.elapsed();
    drop(pair.client);
    let life = scene.wait_for(client, port);
    let truth = least..=there.elapsed() + host::LATENESS;
    assert_eq!(life.closer.as_deref(), Some("passive"), "{life:#?}");
    assert_eq!(
        (life.opened.as_deref(), life.total_ns),
        (None, None),
        "{life:#?}"
    );
    assert_eq!(life.durations["ESTABLISHED"], None, "{life:#?}");
    assert!(!life.durations.contains_key("SYN_SENT"), "{life:#?}");
    life.assert_stay("CLOSE_WAIT", &truth);
}

/// The payload is final when the full socket has closed, though the connection has a minute left.
#[test]
fn open_in_time_wait_with_all_that_it_carried() {
    let scene = Scene::new(&["--open"]);
    let listener = scene.ns.run(|| traffic::listen(V4));
    let port = traffic::address(&listener).port();
    let (client, _) = scene.close_after_pause(&listener, Pair::close_client_first);
    scene.wait_for(port, client);
    let (lives, _) = scene.end();
    let mut open = lives.iter().filter(|life| !life.finished);
    let life = open.next().expect("the client's end");
    assert_eq!(life.ports(), (Some(client), Some(port)), "{life:#?}");
    assert_eq!(life.last, "TIME_WAIT", "{life:#?}");
    assert_payload(life);
    assert_eq!(open.count(), 0, "{lives:#?}");
}

/// Those that still live are shown at the end on request, with their age so far.
#[test]
fn still_open() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let port = traffic::address(&listener).port();
    let old = ns.run(|| traffic::connect(&listener));
    let old_port = old.client_address().port();
    let scene = Scene::of(ns, &["--open", "--state", "CLOSE_WAIT,ESTABLISHED"]);
    let young = scene.ns.run(|| traffic::connect(&listener));
    let young_port = young.client_address().port();
    sleep(PAUSE);
    drop(young.server);
    traffic::await_end(&young.client);
    let (lives, said) = scene.end();
    assert_eq!(said, "tcpstate: 0 connections finished, 4 still open");
    let find = |local: u16, remote: u16| {
        let found = lives
            .iter()
            .find(|life| life.ports() == (Some(local), Some(remote)));
        let life = found.unwrap_or_else(|| panic!("no {local} - {remote}: {lives:#?}"));
        assert!(!life.finished && life.reason.is_none(), "{life:#?}");
        life
    };
    for life in [find(old_port, port), find(port, old_port)] {
        assert_eq!(
            (&*life.last, life.total_ns),
            ("ESTABLISHED", None),
            "{life:#?}"
        );
        assert_eq!(life.durations["ESTABLISHED"], None, "{life:#?}");
    }
    let client = find(young_port, port);
    client.assert_whole(&["SYN_SENT", "ESTABLISHED", "CLOSE_WAIT"]);
    assert_eq!(
        (&*client.last, client.closer.as_deref()),
        ("CLOSE_WAIT", Some("passive"))
    );
    assert!(client.total_ns >= Some(u64::try_from(PAUSE.as_nanos()).expect("short")));
    // The other end is closing now, but was ESTABLISHED.
    let server = find(port, young_port);
    assert!(server.last.starts_with("FIN_WAIT"), "{server:#?}");
    assert_eq!(server.closer.as_deref(), Some("active"), "{server:#?}");
    assert_eq!(lives.len(), 4, "no listener is among them: {lives:#?}");
}

/// A filter on transitions picks the connections that ever made such a one; their lives are whole all the same.
#[test]
fn only_those_that_ever_did_so() {
    for (options, resets, closes) in [
        (&["--state", "close-wait"][..], false, true),
        (
            &["--from-state", "ESTAB", "--to-state", "CLOSE"],
            true,
            false,
        ),
        (&["--min-dwell", "ESTABLISHED=100ms"], true, true),
        (&["--min-dwell", "CLOSE_WAIT=1ns"], false, true),
    ] {
        let scene = Scene::new(options);
        let listener = scene.ns.run(|| traffic::listen(V4));
        let port = traffic::address(&listener).port();
        let (closed, _) = scene.close_after_pause(&listener, Pair::close_client_first);
        let (reset, _) = scene.close_after_pause(&listener, Pair::reset_by_client);
        let mut expected = Vec::new();
        if closes {
            expected.push((port, closed));
        }
        if resets {
            expected.extend([(reset, port), (port, reset)]);
        }
        for (local, remote) in &expected {
            let _ = scene.wait_for(*local, *remote);
        }
        let (lives, _) = scene.end();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(local, remote)| (Some(local), Some(remote)))
            .collect();
        let ports: Vec<_> = lives.iter().map(Whole::ports).collect();
        assert_eq!(ports, expected, "{options:?}: {lives:#?}");
        for life in lives {
            assert!(life.total_ns.is_some(), "{life:#?}");
        }
    }
}

/// Every kind of life that takes a minute, side by side.
#[test]
fn time_wait_to_its_end() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let port = traffic::address(&listener).port();
    let old = ns.run(|| traffic::connect(&listener));
    let old_port = old.client_address().port();
    let scene = Scene::of(ns, &[]);
    let sight = Sight::of_tool();
    let (client, of_client) = scene.close_after_pause(&listener, Pair::close_client_first);
    let (server, of_server) = scene.close_after_pause(&listener, Pair::close_server_first);
    old.close_client_first();

    sleep(*host::time_wait().start());
    let lives = [
        (
            scene.wait_for(client, port),
            "client",
            "SYN_SENT",
            of_client,
        ),
        (
            scene.wait_for(port, server),
            "server",
            "SYN_RECV",
            of_server,
        ),
    ];
    for (life, role, opening, truth) in lives {
        life.assert_ended(role, "active", "TIME_WAIT", Some("expired"));
        life.assert_whole(&[
            opening,
            "ESTABLISHED",
            "FIN_WAIT1",
            "FIN_WAIT2",
            "TIME_WAIT",
        ]);
        life.assert_stay("ESTABLISHED", &truth);
        life.assert_stay("TIME_WAIT", &host::time_wait());
        assert_payload(&life);
        assert_eq!(life.estimated, !sight.has_segments(), "{life:#?}");
    }
    let life = scene.wait_for(old_port, port);
    assert_eq!(life.closer.as_deref(), Some("active"), "{life:#?}");
    assert_eq!(
        (life.total_ns, life.durations["ESTABLISHED"]),
        (None, None),
        "{life:#?}"
    );
    life.assert_stay("TIME_WAIT", &host::time_wait());
}

/// A connection under `life` with `options`, and what is printed of it.
fn printed(options: &[&str]) -> (Vec<String>, u16, u16) {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let port = traffic::address(&listener).port();
    let inode = ns.inode().to_string();
    let tool = Tool::start(&[&["life", "-N", &inode], options].concat());
    let pair = ns.run(|| traffic::connect(&listener));
    let client = pair.client_address().port();
    pair.close_server_first();
    tool.wait_for("the client", |line| line.contains(&format!("{client}")));
    let run = tool.stop();
    run.assert_summary();
    (run.stdout, client, port)
}

#[test]
fn text_has_the_columns_of_tcplife_first() {
    let (lines, client, port) = printed(&[]);
    let words =
        |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    let header = "PID COMM LADDR LPORT RADDR RPORT TX_KB RX_KB MS ROLE CLOSER ENDED";
    assert_eq!(words(&lines[0]).join(" "), header);
    let ports = format!("127.0.0.1 {client} 127.0.0.1 {port}");
    let row = lines[1..]
        .iter()
        .find(|line| words(line).join(" ").contains(&ports));
    let row = row.expect("the client's line");
    assert!(row.len() <= 120 && lines[0].len() <= 120, "{row}");
    let row = words(row);
    assert_eq!(row[9..], ["client", "passive", "-"], "{row:?}");
    let (whole, fraction) = row[8].split_once('.').expect("a decimal point");
    assert!(
        whole.parse::<u64>().is_ok() && fraction.len() == 3,
        "{row:?}"
    );

    let (lines, client, _) = printed(&["-w", "-T"]);
    assert!(lines[0].starts_with("OPENED "), "{lines:#?}");
    let row = lines.iter().find(|line| line.contains(&client.to_string()));
    let row = words(row.expect("the client's line"));
    let states: Vec<&str> = row[row.len() - 1]
        .split(',')
        .filter_map(|stay| stay.split_once('='))
        .map(|(state, _)| state)
        .collect();
    assert_eq!(
        states,
        ["SYN_SENT", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"]
    );
}

#[test]
fn csv_has_the_json_fields_and_a_column_for_each_state() {
    let (lines, client, _) = printed(&["--csv"]);
    // Strict: every row must have as many fields as the header.
    let text = lines.join("\n");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let expected = "time,mono_ns,id,finished,opened,opened_mono_ns,family,netns,laddr,lport,raddr,rport,role,closer,reason,last,pid,uid,comm,owner_source,cgroup,container,bytes_sent,bytes_received,total_ns,estimated,SYN_SENT_ns,SYN_RECV_ns,ESTABLISHED_ns,FIN_WAIT1_ns,FIN_WAIT2_ns,CLOSING_ns,TIME_WAIT_ns,CLOSE_WAIT_ns,LAST_ACK_ns,seq";
    assert_eq!(header.iter().collect::<Vec<_>>().join(","), expected);
    let column = |name: &str| header.iter().position(|word| word == name).expect(name);
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    let row = rows
        .iter()
        .find(|row| row[column("lport")] == client.to_string())
        .expect("the client's row");
    assert_eq!(&row[column("closer")], "passive");
    // A state that it never was in took no time; that is known.
    assert_eq!(&row[column("TIME_WAIT_ns")], "0");
    let stays: u64 = header
        .iter()
        .zip(row)
        .filter(|(name, _)| name.starts_with(char::is_uppercase))
        .map(|(_, stay)| stay.parse::<u64>().expect("a time"))
        .sum();
    assert_eq!(row[column("total_ns")], stays.to_string(), "{row:?}");
}
