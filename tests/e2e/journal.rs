//! `trace -Y`: each transition as an entry of the systemd journal, under the names of bcc's tcpstates, and nothing that
//! a journal does or does not do stalls the trace.
use std::{collections::BTreeSet, ffi::CStr, process::Command};

use tcpstate_tests::{
    Line, Namespace, Tool,
    journal::{self, Entry, Journal},
    tool,
    traffic::{self, V4, V6},
};

/// A name that would forge fields in entries of one line a field.
const EVIL: &CStr = c"a\nPRIORITY=0\xff";
const SHOWN: &str = r"a\x0aPRIORITY=0\xff";

fn text<'a>(entry: &'a Entry, field: &str) -> Option<&'a str> {
    let value = entry.get(field)?;
    Some(str::from_utf8(value).expect("UTF-8"))
}

/// Checks that the entry says what the line says.
fn assert_same(entry: &Entry, line: &Line) {
    let says = |field: &str, value: Option<String>| {
        assert_eq!(
            text(entry, field).map(str::to_owned),
            value,
            "{field}: {line:#?}"
        );
    };
    let family = match line.family.as_deref() {
        Some("ipv6") => "IPV6",
        _ => "IPV4",
    };
    says("PRIORITY", Some("5".to_owned()));
    says("SYSLOG_IDENTIFIER", Some("tcpstate".to_owned()));
    says("OBJECT_PID", line.pid.map(|pid| pid.to_string()));
    says("OBJECT_UID", line.uid.map(|uid| uid.to_string()));
    says(
        &format!("OBJECT_{family}_SOURCE_ADDRESS"),
        line.laddr.map(|ip| ip.to_string()),
    );
    says(
        "OBJECT_TCP_SOURCE_PORT",
        line.lport.map(|port| port.to_string()),
    );
    says(
        &format!("OBJECT_{family}_DESTINATION_ADDRESS"),
        line.raddr.map(|ip| ip.to_string()),
    );
    says(
        "OBJECT_TCP_DESTINATION_PORT",
        line.rport.map(|port| port.to_string()),
    );
    says("OBJECT_TCP_OLD_STATE", Some(line.from.clone()));
    says("OBJECT_TCP_NEW_STATE", Some(line.to.clone()));
    says(
        "OBJECT_TCP_SPAN_TIME",
        line.dwell_ns.map(|dwell| (dwell / 1000).to_string()),
    );
    says("CONTAINER_ID_FULL", line.container.clone());
    says("TCPSTATE_ID", Some(line.id.clone()));
    says("TCPSTATE_SEQ", Some(line.seq.to_string()));
    says("TCPSTATE_TIME", Some(line.time.clone()));
    says("TCPSTATE_MONO_NS", Some(line.mono_ns.to_string()));
    says("TCPSTATE_SKADDR", line.skaddr.clone());
    says("TCPSTATE_NETNS", Some(line.netns.to_string()));
    says(
        "TCPSTATE_DWELL_NS",
        line.dwell_ns.map(|dwell| dwell.to_string()),
    );
    says("TCPSTATE_ESTIMATED", Some(line.estimated.to_string()));
    says("TCPSTATE_REASON", line.reason.clone());
    says("TCPSTATE_ROLE", line.role.clone());
    says("TCPSTATE_OWNER_SOURCE", line.owner_source.clone());
    says(
        "TCPSTATE_CGROUP",
        line.cgroup.map(|cgroup| cgroup.to_string()),
    );
    let message = text(entry, "MESSAGE").expect("a message");
    let states = format!(" {} → {}", line.from, line.to);
    assert!(message.ends_with(&states), "{message}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

/// `trace` of one namespace, so that every entry is the test's own.
fn trace(ns: &Namespace, more: &[&str]) -> Command {
    let inode = ns.inode().to_string();
    let args = ["trace", "--json", "--summary", "-N", &inode];
    tool::command(&[&args, more].concat())
}

#[test]
fn entries_say_what_the_lines_say() {
    let ns = Namespace::new();
    let (journal, tool) = Journal::launch(trace(&ns, &["-Y"]));
    tool.await_ready();
    for ip in [V4, V6] {
        ns.run(|| {
            nix::sys::prctl::set_name(EVIL).expect("taking a name");
            let listener = traffic::listen(ip);
            traffic::connect(&listener).close_server_first();
        });
    }
    // The listeners are the last to close.
    let mut entries = Vec::new();
    let mut closed = 0;
    while closed < 2 {
        let entry = journal.next();
        closed += usize::from(
            text(&entry, "OBJECT_TCP_OLD_STATE") == Some("LISTEN")
                && text(&entry, "OBJECT_TCP_NEW_STATE") == Some("CLOSE"),
        );
        entries.push(entry);
    }
    let run = tool.stop();
    run.assert_summary();
    let lines = run.lines();
    assert_eq!(entries.len(), lines.len(), "an entry for each line");
    let mut names = BTreeSet::new();
    for (entry, line) in entries.iter().zip(&lines) {
        assert_same(entry, line);
        names.extend(text(entry, "OBJECT_COMM").map(str::to_owned));
    }
    assert_eq!(names, BTreeSet::from([SHOWN.to_owned()]));
    assert_eq!(journal.waiting(), 0, "an entry for each line");
}

/// The journal takes nothing: the lines come all the same, and every entry is accounted for.
#[test]
fn a_stalled_journal_stalls_nothing() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let (journal, tool) = Journal::launch(trace(&ns, &["--journal"]));
    tool.await_ready();
    for _ in 0..100 {
        ns.run(|| traffic::connect(&listener)).close_server_first();
    }
    let mut ended = 0;
    tool.wait_for("the end of every client", |text| {
        ended += usize::from(Line::read(text).edge() == "LAST_ACK->CLOSE");
        ended == 100
    });
    let run = tool.stop();
    let summary = run.summary();
    assert_eq!(run.lines().len() as u64, summary.transitions, "every line");
    // The record is written before the tool gives up; the line on standard error comes after.
    let last = run.stderr.last().expect("a summary");
    let got = journal.waiting() as u64;
    let given_up = format!("writer_slow {}", summary.transitions - got);
    assert!(got < summary.transitions, "the socket has taken it all");
    assert!(last.contains(&given_up), "{got} of {last}");
}

#[test]
fn no_journal() {
    let run = journal::launch_without(tool::command(&["trace", "-Y"])).finish();
    run.assert_status(1);
    assert!(run.stdout.is_empty(), "{run:#?}");
    let [line] = &run.stderr[..] else {
        panic!("one line: {run:#?}")
    };
    assert!(line.starts_with("tcpstate: the systemd journal "), "{line}");
    assert!(line.contains("/run/systemd/journal/socket"), "{line}");
}

/// The journal goes away while the tool runs: lines go on, entries count as lost.
#[test]
fn the_journal_goes_away() {
    let ns = Namespace::new();
    let (journal, tool) = Journal::launch(trace(&ns, &["-Y"]));
    tool.await_ready();
    drop(journal);
    ns.run(|| traffic::connect(&traffic::listen(V4)).close_server_first());
    tool.wait_for_edge(ns.inode(), "LAST_ACK->CLOSE");
    let run = tool.stop();
    assert!(
        run.stderr
            .iter()
            .any(|line| line.contains("journal refuses")),
        "{run:#?}"
    );
    let last = run.stderr.last().expect("a summary");
    let transitions = run.summary().transitions;
    assert!(
        last.contains(&format!("writer_slow {transitions}")),
        "{last}"
    );
}

#[test]
fn extended_text_has_more_columns() {
    let ns = Namespace::new();
    let inode = ns.inode().to_string();
    let tool = Tool::start(&["trace", "-x", "-N", &inode]);
    let listener = ns.run(|| traffic::listen(V4));
    let port = traffic::address(&listener).port().to_string();
    ns.run(|| traffic::connect(&listener)).reset_by_client();
    let line = tool.wait_for("the server's end", |line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.contains(&"reset")
    });
    let run = tool.stop();
    run.assert_summary();
    let header: Vec<&str> = run.stdout[0].split_whitespace().collect();
    let columns = ["MS", "NETNS", "CONTAINER", "ROLE", "REASON"];
    assert_eq!(header[10..], columns);
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words.len(), header.len(), "{line}");
    assert_eq!(words[4], port, "{line}");
    assert_eq!(words[11..], [&*inode, "-", "server", "reset"], "{line}");
    // Each value stands under its heading.
    for (column, value) in columns[1..].iter().zip(&words[11..]) {
        let at = run.stdout[0].find(column).expect("a column");
        assert!(line[at..].starts_with(value), "{column}: {line}");
    }
}
