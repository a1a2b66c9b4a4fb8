//! Connections that end by a reset: refused ones, and those that one end throws away.
use std::net::{IpAddr, TcpStream};

use tcpstate_tests::{
    Namespace, Tool, history, sockets,
    traffic::{self, V4, V6},
};

/// Nobody listens at the port.
fn refused(ip: IpAddr) {
    let ns = Namespace::new();
    let tool = Tool::trace(&["--raw"]);
    // A port that was free a moment ago, in a namespace that nobody else uses.
    let remote = ns.run(|| traffic::address(&traffic::listen(ip)));
    let error = ns.run(|| TcpStream::connect(remote)).expect_err("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    tool.wait_for_edge(ns.inode(), "SYN_SENT->CLOSE");

    let mut histories = tool.stop().histories_in(&ns);
    histories.retain(|history| history.lines[0].role.as_deref() != Some("listener"));
    let [client] = &histories[..] else {
        panic!("{} connections: {histories:#?}", histories.len())
    };
    client.assert_edges(&["CLOSE->SYN_SENT", "SYN_SENT->CLOSE"]);
    client.assert_owner("client", Some("connect"));
    let [opened, ended] = &client.lines[..] else {
        unreachable!("two transitions")
    };
    for line in [opened, ended] {
        let shown = (line.laddr, line.raddr, line.rport);
        assert_eq!(
            shown,
            (Some(ip), Some(ip), Some(remote.port())),
            "{line:#?}"
        );
    }
    assert_eq!(opened.lport, None, "no port yet: {opened:#?}");
    assert!(
        ended.lport.is_some_and(|port| port != 0),
        "the kernel gives the port back before it says CLOSE: {ended:#?}"
    );
    assert_eq!(opened.reason, None);
    assert_eq!(ended.reason.as_deref(), Some("refused"), "{ended:#?}");
}

#[test]
fn refused_over_ipv4() {
    refused(V4);
}

#[test]
fn refused_over_ipv6() {
    refused(V6);
}

#[test]
fn reset_by_the_client() {
    let ns = Namespace::new();
    let tool = Tool::trace(&["--raw"]);
    let listener = ns.run(|| traffic::listen(V4));
    let pair = ns.run(|| traffic::connect(&listener));
    let (local, remote) = (pair.client_address(), traffic::address(&listener));
    pair.reset_by_client();
    ns.run(sockets::await_end);
    let run = tool.stop();

    let histories = run.histories_in(&ns);
    for (history, opening, reason) in [
        (
            history::find(&histories, local, remote),
            ["CLOSE->SYN_SENT", "SYN_SENT->ESTABLISHED"],
            "aborted",
        ),
        (
            history::find(&histories, remote, local),
            ["LISTEN->SYN_RECV", "SYN_RECV->ESTABLISHED"],
            "reset",
        ),
    ] {
        history.assert_edges(&[opening[0], opening[1], "ESTABLISHED->CLOSE"]);
        let reasons = history.lines.iter().map(|line| line.reason.as_deref());
        assert_eq!(
            reasons.collect::<Vec<_>>(),
            [None, None, Some(reason)],
            "{history:#?}"
        );
    }
}
