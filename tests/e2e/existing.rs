//! Sockets that existed before the tool: taken up in every namespace, their first dwell unknown, later ones measured.
use tcpstate_tests::{
    Namespace, Tool, history,
    traffic::{self, V4, V6},
};

/// A connection in `ns` that is older than the tool, closed while it looks.
fn closes_before_our_eyes(ns: &Namespace, ip: std::net::IpAddr) {
    let listener = ns.run(|| traffic::listen(ip));
    let pair = ns.run(|| traffic::connect(&listener));
    let (local, remote) = (pair.client_address(), traffic::address(&listener));
    let tool = Tool::trace(&["--raw"]);
    pair.close_client_first();
    tool.wait_for_edge(ns.inode(), "LAST_ACK->CLOSE");
    drop(listener);
    let run = tool.stop();

    // A socket that was not taken up would have been counted as missed.
    run.summary().assert_nothing_lost();
    let histories = run.histories_in(ns);
    assert_eq!(histories.len(), 3, "{histories:#?}");
    let client = history::find(&histories, local, remote);
    client.assert_edges(&[
        "ESTABLISHED->FIN_WAIT1",
        "FIN_WAIT1->FIN_WAIT2",
        "FIN_WAIT2->CLOSE",
    ]);
    client.assert_ends(local, remote);
    let server = history::find(&histories, remote, local);
    server.assert_edges(&[
        "ESTABLISHED->CLOSE_WAIT",
        "CLOSE_WAIT->LAST_ACK",
        "LAST_ACK->CLOSE",
    ]);
    server.assert_ends(remote, local);
    let listener = history::find_listener(&histories, remote);
    listener.assert_edges(&["LISTEN->CLOSE"]);
    for history in [client, server, listener] {
        // Every history checks that the later ones are measured.
        assert_eq!(history.lines[0].dwell_ns, None, "{history:#?}");
    }
}

#[test]
fn in_a_namespace_with_a_task() {
    closes_before_our_eyes(&Namespace::new(), V4);
}

#[test]
fn in_a_namespace_with_a_task_over_ipv6() {
    closes_before_our_eyes(&Namespace::new(), V6);
}

#[test]
fn in_a_namespace_that_has_only_a_name() {
    let name = format!("tcpstate-e2e-{}", std::process::id());
    closes_before_our_eyes(&Namespace::named(&name), V4);
}

/// Taken up, although nothing happens to them: the tool follows them and says how many.
#[test]
fn in_two_namespaces_at_once() {
    let (one, two) = (Namespace::new(), Namespace::new());
    let listeners = [&one, &two].map(|ns| ns.run(|| traffic::listen(V4)));
    let pairs: Vec<_> = [&one, &two]
        .into_iter()
        .zip(&listeners)
        .map(|(ns, listener)| ns.run(|| traffic::connect(listener)))
        .collect();
    let ports = listeners
        .each_ref()
        .map(|listener| traffic::address(listener).port().to_string());
    let tool = Tool::trace(&["-L", &ports.join(",")]);
    let run = tool.stop();
    // A listener and an accepted end in each.
    assert!(run.summary().tracked >= 4, "{run:#?}");
    drop(pairs);
}
