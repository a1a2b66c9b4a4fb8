//! Thousands of network namespaces that come and go, each with sockets in it, while live counts are kept and compared with
//! the kernel's all the time.
use tcpstate_tests::{
    Namespace, endpoint,
    live::Live,
    traffic::{self, V4},
};

const WAVES: usize = 40;
const EACH: usize = 50;
const PORT: u16 = 24_300;
/// What the tool's memory may grow by.
const GROWTH: u64 = 32 << 20;

#[test]
fn thousands_that_come_and_go() {
    let live = Live::start_with(&["--reconcile", "200ms", "-L", &PORT.to_string()]);
    let before = live.tool().resident_bytes();
    let mut seen = 0;
    for _ in 0..WAVES {
        let wave: Vec<Namespace> = (0..EACH).map(|_| Namespace::new()).collect();
        for ns in &wave {
            let listener = ns.run(|| endpoint::listener((V4, PORT).into(), 8));
            // The server's end stays in TIME_WAIT for as long as its namespace lives.
            ns.run(|| traffic::connect(&listener)).close_server_first();
        }
        seen += wave.len();
    }
    let end = live.now().mono_ns;
    live.wait_for("that no socket is left", |moment| {
        moment.mono_ns > end && moment.counts.values().all(|count| *count == 0)
    });
    let moment = live.wait_for("a reconciliation that agrees", |moment| {
        moment.mono_ns > end + 1_000_000_000 && moment.drift.is_some()
    });
    moment.assert_no_drift();
    let grown = live.tool().resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes more than before");

    let summary = live.stop().summary();
    summary.assert_nothing_lost();
    assert_eq!(summary.tracked, 0, "{summary:#?}");
    let gone = summary.by_transition["TIME_WAIT->CLOSE"];
    assert_eq!(gone, seen as u64, "{summary:#?}");
}
