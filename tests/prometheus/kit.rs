//! What promtool says of the metrics and of the rules.
use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use tcpstate_tests::{Served, http};

use crate::contrib;

/// Runs promtool, with `input` as its standard input.
fn promtool(args: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool: {error}; run `cargo xtask prometheus`"));
    let mut stdin = child.stdin.take().expect("it was asked for");
    stdin
        .write_all(input.as_bytes())
        .expect("promtool reads all of its input");
    drop(stdin);
    child.wait_with_output().expect("waiting for promtool")
}

#[test]
fn promtool_has_nothing_to_say_about_the_metrics() {
    let served = Served::start(&["--bpf-stats", "--reconcile", "1s"]);
    let text = tcpstate_tests::poll_until("a reconciliation", || {
        let text = http::get(served.address, "/metrics", &[]).body;
        let there = text.contains("\ntcpstate_count_drift{");
        there.then_some(text).ok_or("no drift".to_owned())
    });
    let said = promtool(&["check", "metrics"], &text);
    assert!(said.status.success(), "{said:?}");
    assert!(said.stdout.is_empty() && said.stderr.is_empty(), "{said:?}");
    served.stop().assert_summary();
}

#[test]
fn the_rules_pass_their_tests() {
    let path = |name| contrib(name).to_str().expect("a plain path").to_owned();
    for args in [
        ["check", "config", &path("prometheus.yml")],
        ["check", "rules", &path("tcpstate.rules.yml")],
        ["test", "rules", &path("tcpstate.rules.test.yml")],
    ] {
        let said = promtool(&args, "");
        assert!(said.status.success(), "{args:?}: {said:?}");
    }
}
