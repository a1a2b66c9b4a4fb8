//! Connections of different namespaces that look alike, and those that end with their namespace.
use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use tcpstate_tests::{
    History, Namespace, Other, Pair, Sight, Tool, endpoint, history, host,
    live::Live,
    other, sockets, tool,
    traffic::{self, V4},
    tun::{KERNEL, Peer, Tun},
};

const SERVER: u16 = 24_000;
const CLIENT: u16 = 24_001;

fn pair(ns: &Namespace, listener: &TcpListener) -> Pair {
    let client =
        ns.run(|| endpoint::connected(SocketAddr::new(V4, CLIENT), SocketAddr::new(V4, SERVER)));
    let (server, _) = listener.accept().expect("accepting");
    Pair { client, server }
}

/// Step by step in turn, with the same addresses and ports, and closed by different ends.
#[test]
fn the_same_addresses_and_ports_in_two() {
    let sight = Sight::of_tool();
    let tool = Tool::trace(&[]);
    let (one, two) = (Namespace::new(), Namespace::new());
    let listeners =
        [&one, &two].map(|ns| ns.run(|| TcpListener::bind((V4, SERVER)).expect("listening")));
    let [first, second] =
        [(&one, &listeners[0]), (&two, &listeners[1])].map(|(ns, listener)| pair(ns, listener));
    // What both will see.
    drop(first.client);
    drop(second.server);
    traffic::await_end(&first.server);
    traffic::await_end(&second.client);
    drop(first.server);
    drop(second.client);
    for ns in [&one, &two] {
        tool.wait_for_edge(ns.inode(), "LAST_ACK->CLOSE");
        if sight.has_segments() {
            tool.wait_for_edge(ns.inode(), "FIN_WAIT2->TIME_WAIT");
        }
    }
    let run = tool.stop();
    run.summary().assert_nothing_lost();
    let [first, second] = [&one, &two].map(|ns| History::of(run.lines_in(ns)));
    let client = ["CLOSE->SYN_SENT", "SYN_SENT->ESTABLISHED"];
    let server = ["LISTEN->SYN_RECV", "SYN_RECV->ESTABLISHED"];
    let active = ["ESTABLISHED->FIN_WAIT1", "FIN_WAIT1->FIN_WAIT2"];
    let passive = [
        "ESTABLISHED->CLOSE_WAIT",
        "CLOSE_WAIT->LAST_ACK",
        "LAST_ACK->CLOSE",
    ];
    let assert_life = |life: &History, beginning: &[&str], end: &[&str]| {
        let mut edges = life.edges();
        let waits = edges
            .pop_if(|edge| edge == "FIN_WAIT2->TIME_WAIT")
            .is_some();
        assert_eq!(edges, [beginning, end].concat(), "{life:#?}");
        // Where segments are not seen, the timer may tell or not.
        let must_wait = end == active && sight.has_segments();
        assert!(waits == must_wait || !sight.has_segments(), "{life:#?}");
    };
    for (lives, of_client, of_server) in [
        (first, &active[..], &passive[..]),
        (second, &passive, &active),
    ] {
        let [of_the_client, of_the_server] = [(CLIENT, SERVER), (SERVER, CLIENT)]
            .map(|(local, remote)| history::find_ports(&lives, local, remote));
        assert_life(of_the_client, &client, of_client);
        assert_life(of_the_server, &server, of_server);
    }
}

/// No test: what the other processes run.
#[test]
#[ignore = "the other processes of these tests run it"]
fn other_process() {
    other::run();
}

/// By its name, a path, a process in it, or its number; the other has the same connection.
#[test]
fn one_of_two_is_selected() {
    let name = format!("tcpstate-e2e-{}-one", std::process::id());
    let (one, two) = (Namespace::named(&name), Namespace::new());
    let inside = Other::start(&one, "inside");
    let listeners =
        [&one, &two].map(|ns| ns.run(|| TcpListener::bind((V4, SERVER)).expect("listening")));
    for selector in [
        name.clone(),
        format!("/run/netns/{name}"),
        inside.pid().to_string(),
        one.inode().to_string(),
    ] {
        let counts = |words: &[&str]| {
            let run = tool::run(tool::command(
                &[&["count"], words, &["-N", &selector]].concat(),
            ));
            run.assert_status(0);
            let counts: Value = serde_json::from_str(&run.stdout[0]).expect("an object");
            ["LISTEN", "ESTABLISHED"].map(|state| counts[state].as_u64().expect("a number"))
        };
        let trace = Tool::trace(&["--raw", "-N", &selector]);
        let hist = Tool::start(&["hist", "--json", "--raw", "-N", &selector]);
        let only_two = pair(&two, &listeners[1]);
        let live = ["--live", "0.1", "1", "--json"];
        assert_eq!(counts(&live), [1, 0], "{selector}");
        let in_both = pair(&one, &listeners[0]);
        assert_eq!(counts(&live), [1, 2], "{selector}");
        assert_eq!(counts(&["--json"]), [1, 2], "{selector}");
        // Closed with a reset, so that the same ports can be used again.
        only_two.reset_by_client();
        in_both.reset_by_client();
        for ns in [&one, &two] {
            ns.run(sockets::await_end);
        }
        let (trace, hist) = (trace.stop(), hist.stop());
        let lines = trace.lines();
        assert!(lines.iter().all(|line| line.netns == one.inode()));
        let lives = History::of(lines);
        assert_eq!(lives.len(), 2, "{selector}: {lives:#?}");
        history::find_ports(&lives, CLIENT, SERVER).assert_life(&[
            "CLOSE->SYN_SENT",
            "SYN_SENT->ESTABLISHED",
            "ESTABLISHED->CLOSE",
        ]);
        hist.assert_status(0);
        let hist: Value = serde_json::from_str(&hist.stdout[0]).expect("an object");
        let established = &hist["states"]["ESTABLISHED"]["count"];
        assert_eq!(established, 2, "{selector}: {hist:#}");
    }
}

/// The kernel ends what is left in a namespace when that goes: `TIME_WAIT` and half-open connections have no user who
/// would close them.
#[test]
fn a_namespace_goes() {
    const LISTENER: u16 = 24_002;
    let live = Live::start("24000-24002", "10m");
    let tool = Tool::trace(&[]);
    let ns = Namespace::new();
    let inode = ns.inode();
    let tun = ns.run(Tun::new);
    let half_opened = ns.run(|| endpoint::listener((KERNEL, LISTENER).into(), 8));
    let listener = ns.run(|| TcpListener::bind((V4, SERVER)).expect("listening"));
    pair(&ns, &listener).close_client_first();
    tool.wait_for_edge(inode, "LAST_ACK->CLOSE");
    let _silent = Peer::half_open(&tun, 5003, LISTENER);
    let moment = live.now();
    let truth = ns.run(|| sockets::by_state_at(SERVER..=LISTENER));
    assert_eq!(moment.counts, truth);
    assert_eq!((truth["TIME_WAIT"], truth["SYN_RECV"]), (1, 1), "{truth:?}");

    let before_ns = host::now_ns();
    drop((listener, half_opened, tun, ns));
    live.wait_for("that no socket is left", |moment| {
        moment.mono_ns > before_ns && moment.counts.values().all(|count| *count == 0)
    });
    tool.wait_for_edge(inode, "TIME_WAIT->CLOSE");
    let _ = live.stop();
    let run = tool.stop();
    run.summary().assert_nothing_lost();
    let mut lines = run.lines();
    lines.retain(|line| line.netns == inode);
    let lives = History::of(lines);
    let time_wait = history::find_ports(&lives, CLIENT, SERVER);
    time_wait.assert_end(Some("netns_gone"));
    let half_open = history::find_ports(&lives, LISTENER, 5003);
    half_open.assert_life(&["LISTEN->SYN_RECV", "SYN_RECV->CLOSE"]);
    let reason = half_open.last().reason.as_deref();
    assert!(
        [Some("netns_gone"), Some("listener_closed")].contains(&reason),
        "{half_open:#?}"
    );
}
