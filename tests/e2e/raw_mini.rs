//! `--raw`: the tracepoint's own view, which knows no mini-sockets and reports transitions to the same state.
use std::{net::Shutdown, time::Duration};

use tcpstate_tests::{
    History, Namespace, Tool, endpoint, history,
    traffic::{self, V4},
    tun::{ACK, FIN, KERNEL, PEER, Peer, SYN, Tun},
};

/// To the tracepoint, the connection is gone as soon as the timewait socket has taken over.
#[test]
fn an_orphan_is_gone_at_once() {
    let ns = Namespace::new();
    let tool = Tool::trace(&["--raw"]);
    let listener = ns.run(|| traffic::listen(V4));
    let pair = ns.run(|| traffic::connect(&listener));
    let (local, remote) = (pair.client_address(), traffic::address(&listener));
    drop(pair.client); // the server stays: FIN_WAIT2 for a minute
    tool.wait_for_edge(ns.inode(), "FIN_WAIT2->CLOSE");
    let histories = tool.stop().histories_in(&ns);
    drop(pair.server);
    let client = history::find(&histories, local, remote);
    client.assert_edges(&[
        "CLOSE->SYN_SENT",
        "SYN_SENT->ESTABLISHED",
        "ESTABLISHED->FIN_WAIT1",
        "FIN_WAIT1->FIN_WAIT2",
        "FIN_WAIT2->CLOSE",
    ]);
    assert_at_once(client, "FIN_WAIT2");
}

/// Closed after a shutdown that the peer has not acknowledged.
#[test]
fn fin_wait1_to_fin_wait1() {
    let ns = Namespace::new();
    let tool = Tool::trace(&["--raw"]);
    let tun = ns.run(Tun::new);
    let (local, remote) = ((KERNEL, 4000).into(), (PEER, 5000).into());
    let stream = ns.run(|| endpoint::connecting(local, remote));
    let mut peer = Peer::called(&tun, 5000);
    peer.send(SYN | ACK);
    peer.see(ACK);
    tool.wait_for_edge(ns.inode(), "SYN_SENT->ESTABLISHED");
    stream.shutdown(Shutdown::Write).expect("closing one way");
    peer.take(FIN | ACK);
    drop(stream);
    tool.wait_for_edge(ns.inode(), "FIN_WAIT1->FIN_WAIT1");
    peer.send(ACK);
    tool.wait_for_edge(ns.inode(), "FIN_WAIT2->CLOSE");
    let histories = tool.stop().histories_in(&ns);
    let client = history::find(&histories, local, remote);
    client.assert_edges(&[
        "CLOSE->SYN_SENT",
        "SYN_SENT->ESTABLISHED",
        "ESTABLISHED->FIN_WAIT1",
        "FIN_WAIT1->FIN_WAIT1",
        "FIN_WAIT1->FIN_WAIT2",
        "FIN_WAIT2->CLOSE",
    ]);
    assert_at_once(client, "FIN_WAIT2");
}

fn assert_at_once(history: &History, state: &str) {
    let left = history.lines.iter().rfind(|line| line.from == state);
    let dwell = left.and_then(|line| line.dwell_ns);
    let dwell = Duration::from_nanos(dwell.expect("its start was seen"));
    assert!(dwell < Duration::from_millis(50), "{history:#?}");
}
