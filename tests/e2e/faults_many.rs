//! Ten instances at once: each sees everything, none loses anything, and nothing stays of any.
use std::fs;

use tcpstate_tests::{
    Namespace, Run, Tool,
    bpf::{self, Objects},
    load, sockets,
    traffic::{self, V4},
};

const RESETS: u64 = 300;

#[test]
fn ten_at_once() {
    let before = Objects::loaded();
    let ns = Namespace::new();
    let inode = ns.inode().to_string();
    let file = std::env::temp_dir().join(format!("tcpstate-many-{}.arrows", std::process::id()));
    let file = file.to_str().expect("a plain path");
    let tools: Vec<Tool> = [
        &["trace"][..],
        &["trace", "--json"],
        &["trace", "--csv"],
        &["life"],
        &["life", "--json"],
        &["hist"],
        &["hist", "--by", "comm"],
        &["record", file],
        &["count", "--live"],
        &["serve", "--listen", "127.0.0.1:0"],
    ]
    .iter()
    .map(|args| Tool::start(&[args, &["-N", &inode][..]].concat()))
    .collect();

    let listener = ns.run(|| traffic::listen(V4));
    ns.run(|| load::resets(&listener, RESETS));
    drop(listener);
    ns.run(sockets::await_end);
    // Opened and closed by the listener, too.
    let transitions = RESETS * load::TRANSITIONS + 2;
    let runs: Vec<Run> = tools.into_iter().map(Tool::stop).collect();
    fs::remove_file(file).expect("removing the recording");
    for run in runs {
        run.assert_summary();
        let last = run.stderr.last().expect("a summary");
        let expected = format!("tcpstate: {transitions} transitions, 0 lost, 0 tracked,");
        assert!(last.starts_with(&expected), "{expected} {run:#?}");
    }
    bpf::assert_nothing_stays(&before);
}
