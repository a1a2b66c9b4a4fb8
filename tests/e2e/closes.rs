//! A connection from its first transition to its last, as the kernel's tracepoint sees both ends (`--raw`).
use std::net::IpAddr;

use tcpstate_tests::{
    Namespace, Pair, Run, Tool, history,
    traffic::{self, V4, V6},
};

/// Opens a connection, closes it with `close`, and checks both ends.
fn watch(ip: IpAddr, close: impl FnOnce(Pair), client: &[&str], server: &[&str]) {
    let ns = Namespace::new();
    let tool = Tool::trace(&["--raw"]);
    let listener = ns.run(|| traffic::listen(ip));
    let pair = ns.run(|| traffic::connect(&listener));
    let (local, remote) = (pair.client_address(), traffic::address(&listener));
    close(pair);
    tool.wait_for_edge(ns.inode(), "LAST_ACK->CLOSE");
    drop(listener);
    let run = tool.stop();
    run.summary().assert_nothing_lost();
    check(&run, &ns, (local, client), (remote, server));
}

fn check(
    run: &Run,
    ns: &Namespace,
    (local, client): (std::net::SocketAddr, &[&str]),
    (remote, server): (std::net::SocketAddr, &[&str]),
) {
    let histories = run.histories_in(ns);
    // One identity a socket: two ends and the listener.
    assert_eq!(histories.len(), 3, "{histories:#?}");

    let history = history::find(&histories, local, remote);
    history.assert_edges(client);
    history.assert_ends(local, remote);
    history.assert_owner("client", Some("connect"));

    let history = history::find(&histories, remote, local);
    history.assert_edges(server);
    history.assert_ends(remote, local);
    history.assert_owner("server", None);

    let history = history::find_listener(&histories, remote);
    history.assert_edges(&["CLOSE->LISTEN", "LISTEN->CLOSE"]);
    history.assert_owner("listener", Some("listen"));
}

fn client_closes_first(ip: IpAddr) {
    watch(
        ip,
        Pair::close_client_first,
        &[
            "CLOSE->SYN_SENT",
            "SYN_SENT->ESTABLISHED",
            "ESTABLISHED->FIN_WAIT1",
            "FIN_WAIT1->FIN_WAIT2",
            "FIN_WAIT2->CLOSE",
        ],
        &[
            "LISTEN->SYN_RECV",
            "SYN_RECV->ESTABLISHED",
            "ESTABLISHED->CLOSE_WAIT",
            "CLOSE_WAIT->LAST_ACK",
            "LAST_ACK->CLOSE",
        ],
    );
}

fn server_closes_first(ip: IpAddr) {
    watch(
        ip,
        Pair::close_server_first,
        &[
            "CLOSE->SYN_SENT",
            "SYN_SENT->ESTABLISHED",
            "ESTABLISHED->CLOSE_WAIT",
            "CLOSE_WAIT->LAST_ACK",
            "LAST_ACK->CLOSE",
        ],
        &[
            "LISTEN->SYN_RECV",
            "SYN_RECV->ESTABLISHED",
            "ESTABLISHED->FIN_WAIT1",
            "FIN_WAIT1->FIN_WAIT2",
            "FIN_WAIT2->CLOSE",
        ],
    );
}

#[test]
fn client_closes_first_over_ipv4() {
    client_closes_first(V4);
}

#[test]
fn client_closes_first_over_ipv6() {
    client_closes_first(V6);
}

#[test]
fn server_closes_first_over_ipv4() {
    server_closes_first(V4);
}

#[test]
fn server_closes_first_over_ipv6() {
    server_closes_first(V6);
}
