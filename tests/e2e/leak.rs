//! A leak: a server that never closes what its peers have closed. One command names it, its command line, the peers and
//! how long the oldest has been waiting.
use std::{thread, time::Duration};

use serde_json::Value;
use tcpstate_tests::{Namespace, Other, Run, Tool, host, other, traffic::V4};

const LEAKED: u64 = 50;

/// No test: what the other processes run.
#[test]
#[ignore = "the other processes of these tests run it"]
fn other_process() {
    other::run();
}

/// The server and what it has left open; the client is gone. Returns when the first was left, monotonic.
fn leak(ns: &Namespace) -> (Other, u64) {
    let mut server = Other::start(ns, "leaking");
    let mut client = Other::start(ns, "client");
    let (listener, address) = server.listen(V4);
    let ends: Vec<_> = (0..LEAKED)
        .map(|_| {
            let (client_end, _) = client.connect(address);
            let server_end = server.accept(listener);
            client.write(client_end);
            server.read(server_end);
            (client_end, server_end)
        })
        .collect();
    let mut first_ns = None;
    for (client_end, server_end) in ends {
        first_ns.get_or_insert_with(host::now_ns);
        client.close(client_end);
        server.read(server_end); // it sees the end, and does nothing
    }
    (server, first_ns.expect("some were left"))
}

fn start(ns: &Namespace, more: &[&str]) -> Tool {
    let inode = ns.inode().to_string();
    Tool::start(&[&["hist", "--state", "CLOSE_WAIT", "-N", &inode], more].concat())
}

/// Lets the leak grow old: a hundredth of its age is then more than a busy machine needs to look at a clock.
fn wait_with(tool: Tool) -> Run {
    thread::sleep(Duration::from_secs(10));
    tool.stop()
}

/// What the JSON says, with the time at which it says that.
fn open(run: &Run) -> (Value, u64) {
    run.assert_status(0);
    let object: Value = serde_json::from_str(&run.stdout[0]).expect("an object");
    let now_ns = object["mono_ns"].as_u64().expect("a time");
    (object["states"]["CLOSE_WAIT"]["open"].clone(), now_ns)
}

/// Checks what is said about the process, and returns that.
fn holder<'a>(open: &'a Value, server: &Other) -> &'a Value {
    assert_eq!(open["sockets"], LEAKED, "{open:#}");
    let holders = open["holders"].as_array().expect("a list");
    let [holder] = &holders[..] else {
        panic!("one process holds all: {open:#}")
    };
    assert_eq!(holder["sockets"], LEAKED, "{open:#}");
    assert_eq!(holder["pid"], server.pid(), "{open:#}");
    assert_eq!(holder["uid"], 0, "{open:#}");
    assert_eq!(holder["comm"], server.name(), "{open:#}");
    let command = holder["command_line"].as_str().expect("a command line");
    assert!(command.contains("--exact other_process"), "{open:#}");
    assert_eq!(holder["peers"][0]["raddr"], "127.0.0.1", "{open:#}");
    assert_eq!(holder["peers"][0]["sockets"], LEAKED, "{open:#}");
    assert_eq!(holder["peers_in_all"], 1, "{open:#}");
    holder
}

/// Checks that `shown_ns` is the truth, but for a hundredth.
fn assert_age(shown_ns: &Value, true_ns: u64) {
    let shown_ns = shown_ns.as_u64().expect("an age");
    let wrong_by = shown_ns.abs_diff(true_ns);
    println!("{shown_ns} ns instead of {true_ns}");
    assert!(wrong_by * 100 <= true_ns, "{shown_ns} ns, not {true_ns}");
}

#[test]
fn before_our_eyes() {
    let ns = Namespace::new();
    let tool = start(&ns, &["--json"]);
    let (server, first_ns) = leak(&ns);
    let (open, now_ns) = open(&wait_with(tool));
    let holder = holder(&open, &server);
    assert_eq!(open["unknown_age"], 0, "{open:#}");
    assert_age(&open["oldest_ns"], now_ns - first_ns);
    assert_age(&holder["oldest_ns"], now_ns - first_ns);
}

/// Its age is unknown then, but not that it is at least as old as our knowledge of it.
#[test]
fn before_the_tool_was_started() {
    let ns = Namespace::new();
    let (server, _) = leak(&ns);
    let before_ns = host::now_ns();
    let tool = start(&ns, &["--json"]);
    let ready_ns = host::now_ns();
    let (open, now_ns) = open(&wait_with(tool));
    let holder = holder(&open, &server);
    assert_eq!(holder["owner_source"], "snapshot", "{open:#}");
    assert_eq!(open["unknown_age"], LEAKED, "{open:#}");
    for open in [&open, holder] {
        assert!(open["oldest_ns"].is_null(), "{open:#}");
        let at_least_ns = open["oldest_at_least_ns"].as_u64().expect("a lower bound");
        let known_ns = now_ns - ready_ns..=now_ns - before_ns;
        assert!(known_ns.contains(&at_least_ns), "{known_ns:?}: {open:#}");
    }
}

#[test]
fn in_text() {
    let ns = Namespace::new();
    let tool = start(&ns, &[]);
    let (server, _) = leak(&ns);
    let run = tool.stop();
    run.assert_status(0);
    let line = run.stdout.iter().find(|line| line.contains(" by "));
    let line = line.unwrap_or_else(|| panic!("nobody is named: {run:#?}"));
    let process = format!("{LEAKED} by {}[{}] ", server.name(), server.pid());
    assert!(line.trim_start().starts_with(&process), "{line}");
    assert!(line.contains("; peers 127.0.0.1 (50)"), "{line}");
    assert!(!line.contains("their listener's"), "{line}");
}
