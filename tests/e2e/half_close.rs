//! A half-closed connection that is then closed: the kernel reports `FIN_WAIT2 -> FIN_WAIT2`, which is no transition.
use std::net::Shutdown;

use tcpstate_tests::{
    History, Namespace, Sight, Tool, history,
    traffic::{self, V4},
};

/// The history of a client that shuts down, then closes while it is in `FIN_WAIT2`, up to its `last` edge, if that is sure to be seen.
fn client(options: &[&str], last: Option<&str>) -> History {
    let ns = Namespace::new();
    let tool = Tool::trace(options);
    let listener = ns.run(|| traffic::listen(V4));
    let pair = ns.run(|| traffic::connect(&listener));
    let (local, remote) = (pair.client_address(), traffic::address(&listener));
    pair.client
        .shutdown(Shutdown::Write)
        .expect("closing one way");
    tool.wait_for_edge(ns.inode(), "FIN_WAIT1->FIN_WAIT2");
    pair.close_client_first();
    // Each end may be the later one.
    tool.wait_for_edge(ns.inode(), "LAST_ACK->CLOSE");
    if let Some(last) = last {
        tool.wait_for_edge(ns.inode(), last);
    }
    let histories = tool.stop().histories_in(&ns);
    history::find(&histories, local, remote).clone()
}

#[test]
fn raw_shows_the_transition_to_the_same_state() {
    client(&["--raw"], Some("FIN_WAIT2->CLOSE")).assert_edges(&[
        "CLOSE->SYN_SENT",
        "SYN_SENT->ESTABLISHED",
        "ESTABLISHED->FIN_WAIT1",
        "FIN_WAIT1->FIN_WAIT2",
        "FIN_WAIT2->FIN_WAIT2",
        "FIN_WAIT2->CLOSE",
    ]);
}

#[test]
fn otherwise_the_dwell_clock_goes_on() {
    // Every history checks that a dwell is the whole time since the transition before.
    let all = Sight::of_tool().has_segments(); // or this may be recovered when TIME_WAIT ends
    let client = client(&[], all.then_some("FIN_WAIT2->TIME_WAIT"));
    assert!(
        client.lines.iter().all(|line| line.from != line.to),
        "{client:#?}"
    );
    let left = client.lines.iter().filter(|line| line.from == "FIN_WAIT2");
    let left = left.count();
    assert!(left == 1 || left == 0 && !all, "{client:#?}");
}
