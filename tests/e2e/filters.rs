//! Filters: what they let through, what they keep out, and that they never cut a connection's beginning off.
use std::{fs, net::TcpListener};

use tcpstate_tests::{
    History, Line, Namespace, Pair, Tool, history, sockets,
    traffic::{self, V4, V6},
};

/// Where the kernel chooses ports in [`with_low_ports`].
const LOW_PORTS: (u16, u16) = (10_000, 10_099);

const CLIENT: [&str; 5] = [
    "CLOSE->SYN_SENT",
    "SYN_SENT->ESTABLISHED",
    "ESTABLISHED->FIN_WAIT1",
    "FIN_WAIT1->FIN_WAIT2",
    "FIN_WAIT2->CLOSE",
];
const SERVER: [&str; 5] = [
    "LISTEN->SYN_RECV",
    "SYN_RECV->ESTABLISHED",
    "ESTABLISHED->CLOSE_WAIT",
    "CLOSE_WAIT->LAST_ACK",
    "LAST_ACK->CLOSE",
];

/// A listener, in a namespace whose next ports are [`LOW_PORTS`].
fn with_low_ports(ns: &Namespace) -> TcpListener {
    ns.run(|| {
        let listener = traffic::listen(V4);
        assert!(traffic::address(&listener).port() > LOW_PORTS.1);
        let (first, last) = LOW_PORTS;
        fs::write(
            "/proc/sys/net/ipv4/ip_local_port_range",
            format!("{first} {last}"),
        )
        .expect("setting the range of local ports");
        listener
    })
}

/// A connection while the tool runs with `options`, and the connections that it shows.
fn shown(ns: &Namespace, listener: &TcpListener, options: &[&str]) -> (Pair, Vec<History>) {
    let tool = Tool::trace(&[&["--raw"], options].concat());
    let pair = ns.run(|| traffic::connect(listener));
    // The ends for the caller to compare; the connection itself is closed.
    let ends = Pair {
        client: pair.client.try_clone().expect("a second handle"),
        server: pair.server.try_clone().expect("a second handle"),
    };
    for (closing, waiting) in [(&pair.client, &pair.server), (&pair.server, &pair.client)] {
        closing
            .shutdown(std::net::Shutdown::Write)
            .expect("closing one way");
        traffic::await_end(waiting);
    }
    ns.run(sockets::await_end);
    let run = tool.stop();
    run.assert_summary();
    (ends, run.histories_in(ns))
}

#[test]
fn a_local_port_filter_sees_the_syn_that_has_no_port_yet() {
    let ns = Namespace::new();
    let listener = with_low_ports(&ns);
    let (first, last) = LOW_PORTS;
    let (ends, histories) = shown(&ns, &listener, &["-L", &format!("{first}-{last}")]);
    let [client] = &histories[..] else {
        panic!("only the client has such a port: {histories:#?}")
    };
    client.assert_edges(&CLIENT);
    let (local, remote) = (ends.client_address(), traffic::address(&listener));
    for line in &client.lines {
        // The line of the SYN was held back until the port was known, and carries it.
        assert_eq!(line.lport, Some(local.port()), "{line:#?}");
        assert_eq!(line.rport, Some(remote.port()), "{line:#?}");
    }
}

#[test]
fn a_local_port_filter_takes_the_server_and_its_listener() {
    let ns = Namespace::new();
    let listener = with_low_ports(&ns);
    let remote = traffic::address(&listener);
    let port = remote.port().to_string();
    let (ends, histories) = shown(&ns, &listener, &["--localport", &format!("1,{port}")]);
    assert_eq!(histories.len(), 1, "{histories:#?}");
    let server = history::find(&histories, remote, ends.client_address());
    server.assert_edges(&SERVER);
    server.assert_ends(remote, ends.client_address());
}

#[test]
fn a_local_port_filter_excludes_everything_else() {
    let ns = Namespace::new();
    let listener = with_low_ports(&ns);
    let (_, histories) = shown(&ns, &listener, &["-L", "1"]);
    assert!(histories.is_empty(), "{histories:#?}");
}

#[test]
fn a_remote_port_filter() {
    let ns = Namespace::new();
    let listener = with_low_ports(&ns);
    let port = traffic::address(&listener).port().to_string();
    let (ends, histories) = shown(&ns, &listener, &["-D", &port]);
    assert_eq!(histories.len(), 1, "{histories:#?}");
    let (local, remote) = (ends.client_address(), traffic::address(&listener));
    let client = history::find(&histories, local, remote);
    client.assert_edges(&CLIENT);
    // Nothing had to be held back.
    client.assert_ends(local, remote);

    let (first, last) = LOW_PORTS;
    let (ends, histories) = shown(&ns, &listener, &["-D", &format!("{first}-{last}")]);
    assert_eq!(histories.len(), 1, "{histories:#?}");
    history::find(&histories, remote, ends.client_address()).assert_edges(&SERVER);
}

#[test]
fn different_filters_must_all_agree() {
    let ns = Namespace::new();
    let listener = with_low_ports(&ns);
    let port = traffic::address(&listener).port().to_string();
    let (first, last) = LOW_PORTS;
    let low = format!("{first}-{last}");
    let (_, histories) = shown(&ns, &listener, &["-D", &port, "-L", &low]);
    assert_eq!(histories.len(), 1, "{histories:#?}");
    histories[0].assert_edges(&CLIENT);
    let (_, histories) = shown(&ns, &listener, &["-D", &port, "-L", &port]);
    assert!(histories.is_empty(), "{histories:#?}");
    let (_, histories) = shown(&ns, &listener, &["-6", "-D", &port]);
    assert!(histories.is_empty(), "{histories:#?}");
}

#[test]
fn address_families() {
    let ns = Namespace::new();
    let listeners = ns.run(|| [traffic::listen(V4), traffic::listen(V6)]);
    for (options, families) in [
        (&["-4"][..], &["ipv4"][..]),
        (&["-6"], &["ipv6"]),
        (&["-4", "-6"], &["ipv4", "ipv6"]),
        (&[], &["ipv4", "ipv6"]),
    ] {
        let tool = Tool::trace(&[&["--raw"], options].concat());
        for listener in &listeners {
            ns.run(|| traffic::connect(listener)).close_client_first();
        }
        ns.run(sockets::await_end);
        let run = tool.stop();
        let histories = run.histories_in(&ns);
        assert_eq!(histories.len(), 2 * families.len(), "{options:?}: {run:#?}");
        for history in histories {
            let family = history.lines[0].family.as_deref().expect("a family");
            assert!(families.contains(&family), "{options:?}: {history:#?}");
        }
    }
}

#[test]
fn states() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let tool = Tool::trace(&["--raw", "--state", "close-wait,SYN_SENT"]);
    ns.run(|| traffic::connect(&listener)).close_client_first();
    ns.run(sockets::await_end);
    let run = tool.stop();
    let mut edges: Vec<_> = run.lines_in(&ns).iter().map(Line::edge).collect();
    edges.sort();
    assert_eq!(
        edges,
        [
            "CLOSE->SYN_SENT",
            "CLOSE_WAIT->LAST_ACK",
            "ESTABLISHED->CLOSE_WAIT",
            "SYN_SENT->ESTABLISHED"
        ]
    );
    // A filter of lines, not of what is followed: dwell times stay known.
    let lines = run.lines_in(&ns);
    let left = lines.iter().filter(|line| line.from != "CLOSE");
    for line in left {
        assert!(line.dwell_ns.is_some(), "{line:#?}");
    }
    // The summary counts what was printed.
    let printed = u64::try_from(run.lines().len()).expect("a few lines");
    assert_eq!(run.summary().transitions, printed);
}
