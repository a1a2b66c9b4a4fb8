//! Connections of different namespaces that look alike, and those that end with their namespace.
use std::net::{SocketAddr, TcpListener};

use tcpstate_tests::{
    History, Namespace, Pair, Sight, Tool, endpoint, history, host,
    live::Live,
    sockets,
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
    let mut active = vec!["ESTABLISHED->FIN_WAIT1", "FIN_WAIT1->FIN_WAIT2"];
    if sight.has_segments() {
        active.push("FIN_WAIT2->TIME_WAIT");
    }
    let passive = vec![
        "ESTABLISHED->CLOSE_WAIT",
        "CLOSE_WAIT->LAST_ACK",
        "LAST_ACK->CLOSE",
    ];
    for (lives, of_client, of_server) in [(first, &active, &passive), (second, &passive, &active)] {
        history::find_ports(&lives, CLIENT, SERVER).assert_life(&[&client[..], of_client].concat());
        history::find_ports(&lives, SERVER, CLIENT).assert_life(&[&server[..], of_server].concat());
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
