//! Two thousand connections: what is printed equals what the kernel counted, and both what was done.
use std::collections::BTreeMap;

use tcpstate_tests::{
    Namespace, Tool, sockets,
    traffic::{self, V4, V6},
};

/// Connections of each of four kinds.
const EACH: u64 = 500;

#[test]
fn two_thousand_connections() {
    let ns = Namespace::new();
    let tool = Tool::trace(&["--raw"]);
    let listeners = ns.run(|| [traffic::listen(V4), traffic::listen(V6)]);
    ns.run(|| {
        for number in 0..EACH {
            // Both families take turns with both ways to close and to reset.
            let [first, second] = if number % 2 == 0 { [0, 1] } else { [1, 0] };
            traffic::connect(&listeners[first]).close_client_first();
            traffic::connect(&listeners[second]).close_server_first();
            traffic::connect(&listeners[first]).reset_by_client();
            traffic::connect(&listeners[second]).reset_by_server();
        }
    });
    drop(listeners);
    ns.run(sockets::await_end);
    let run = tool.stop();

    let summary = run.summary();
    summary.assert_nothing_lost();
    // Both are of the whole host: other people's traffic is in both.
    assert_eq!(Some(summary.by_transition), summary.kernel_transitions);
    let printed = u64::try_from(run.lines().len()).expect("some thousand lines");
    assert_eq!(summary.transitions, printed);

    let mut seen = BTreeMap::<String, u64>::new();
    for line in run.lines_in(&ns) {
        *seen.entry(line.edge()).or_default() += 1;
    }
    let expected = [
        ("CLOSE->LISTEN", 2),
        ("LISTEN->CLOSE", 2),
        ("CLOSE->SYN_SENT", 4 * EACH),
        ("SYN_SENT->ESTABLISHED", 4 * EACH),
        ("LISTEN->SYN_RECV", 4 * EACH),
        ("SYN_RECV->ESTABLISHED", 4 * EACH),
        ("ESTABLISHED->FIN_WAIT1", 2 * EACH),
        ("FIN_WAIT1->FIN_WAIT2", 2 * EACH),
        ("FIN_WAIT2->CLOSE", 2 * EACH),
        ("ESTABLISHED->CLOSE_WAIT", 2 * EACH),
        ("CLOSE_WAIT->LAST_ACK", 2 * EACH),
        ("LAST_ACK->CLOSE", 2 * EACH),
        // Both ends of a reset connection.
        ("ESTABLISHED->CLOSE", 2 * 2 * EACH),
    ];
    let expected: BTreeMap<_, _> = expected
        .map(|(edge, count)| (edge.to_owned(), count))
        .into();
    assert_eq!(seen, expected);
    // Each of the histories is complete.
    assert_eq!(
        run.histories_in(&ns).len(),
        usize::try_from(2 + 8 * EACH).expect("some thousand")
    );
}
