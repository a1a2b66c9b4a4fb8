//! The ways a run can end: each with its summary, exit status 0, and nothing left in the kernel.
use std::{
    io::{self, pipe},
    process::Stdio,
};

use nix::sys::signal::Signal;
use tcpstate_tests::{
    Namespace, Run, Tool,
    bpf::{self, Objects},
    tool,
    traffic::{self, V4},
};

/// Ends `tcpstate ARGS` with a signal.
fn signalled(signal: Signal, args: &[&str]) -> Run {
    let tool = Tool::start(args);
    tool.signal(signal);
    let run = tool.finish();
    run.assert_summary();
    run
}

#[test]
fn ctrl_c() {
    for args in [
        &["trace"][..],
        &["trace", "--csv"],
        &["hist"],
        &["hist", "60"],
    ] {
        let run = signalled(Signal::SIGINT, args);
        assert!(!run.stdout.is_empty(), "a header, or figures: {run:#?}");
    }
    let run = signalled(Signal::SIGINT, &["trace", "--json", "--summary"]);
    assert!(run.summary().cpu_seconds > 0.0);
}

#[test]
fn other_signals() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let _ = signalled(signal, &["trace", "--json", "--summary"]).summary();
    }
}

#[test]
fn its_time_is_over() {
    for args in [
        &["trace", "-d", "0.2"][..],
        &["trace", "--json", "-d", "200ms"],
        &["hist", "-d", "0.2"],
    ] {
        Tool::start(args).finish().assert_summary();
    }
}

#[test]
fn hist_prints_as_often_as_asked() {
    let run = Tool::start(&["hist", "0.2", "3", "--json"]).finish();
    run.assert_summary();
    assert_eq!(run.stdout.len(), 3, "{run:#?}");
}

#[test]
fn quiet_says_only_how_it_ended() {
    let run = tool::run(tool::command(&["trace", "--quiet", "-d", "0.2"]));
    run.assert_summary();
    assert_eq!(run.stderr.len(), 1, "{run:#?}");
}

/// The reader goes away while nothing happens: the tool notices by itself.
#[test]
fn closed_stdout_without_traffic() {
    for args in [&["trace"][..], &["trace", "--json"], &["hist", "60"]] {
        let (reader, writer) = pipe().expect("a pipe");
        let tool = Tool::launch_into(writer, tool::command(args));
        tool.await_ready();
        drop(reader);
        tool.finish().assert_summary();
    }
}

/// The reader goes away while lines are written, as `head` does.
#[test]
fn closed_stdout_with_traffic() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let (reader, writer) = pipe().expect("a pipe");
    let tool = Tool::launch_into(writer, tool::command(&["trace", "--json"]));
    tool.await_ready();
    for _ in 0..50 {
        ns.run(|| traffic::connect(&listener)).close_client_first();
    }
    let mut line = String::new();
    let mut reader = std::io::BufReader::new(reader);
    std::io::BufRead::read_line(&mut reader, &mut line).expect("a line");
    drop(reader);
    for _ in 0..50 {
        ns.run(|| traffic::connect(&listener)).close_client_first();
    }
    tool.finish().assert_summary();
}

/// The reader neither reads nor goes away: the tool ends all the same, and what did not get out counts as lost.
#[test]
fn stalled_stdout() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let (mut reader, writer) = pipe().expect("a pipe");
    let tool = Tool::launch_into(writer, tool::command(&["trace"]));
    tool.await_ready();
    // More lines than a pipe takes.
    for _ in 0..100 {
        ns.run(|| traffic::connect(&listener)).close_client_first();
    }
    let run = tool.stop();
    run.assert_summary();
    let last = run.stderr.last().expect("a summary");
    let number_before = |word: &str| -> usize {
        let (before, _) = last.split_once(word).expect("a number of them");
        let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).expect(last)
    };
    let mut got = String::new();
    io::Read::read_to_string(&mut reader, &mut got).expect("text");
    // The header is a line too; one that was cut in the middle is none.
    let (got, lost) = (got.matches('\n').count(), number_before(" lost"));
    assert!(lost > 0, "the pipe has taken it all: {last}");
    assert_eq!(got + lost, 1 + number_before(" transitions"), "{last}");
}

#[test]
fn closed_stdout_of_count() {
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let run = Tool::launch_into(writer, tool::command(&["count"])).finish();
    run.assert_status(0);
    assert!(run.stderr.is_empty(), "{run:#?}");
}

/// A disk that is full is an error, unlike a reader that went away.
#[test]
fn full_disk() {
    let full = || {
        let file = std::fs::File::create("/dev/full").expect("/dev/full");
        Stdio::from(file)
    };
    for args in [&["trace", "-d", "0.2"][..], &["count"]] {
        let run = Tool::launch_into(full(), tool::command(args)).finish();
        run.assert_status(1);
        let last = run.stderr.last().map_or("", String::as_str);
        assert!(last.starts_with("tcpstate: "), "{run:#?}");
    }
}

#[test]
fn nothing_stays_in_the_kernel() {
    let before = Objects::loaded();
    for signal in [
        Some(Signal::SIGINT),
        Some(Signal::SIGTERM),
        Some(Signal::SIGKILL),
        None,
    ] {
        let (reader, writer) = pipe().expect("a pipe");
        let tool = Tool::launch_into(writer, tool::command(&["trace", "--json"]));
        tool.await_ready();
        let own = Objects::of_process(tool.pid());
        // Otherwise this test would look for the wrong things.
        assert!(!own.programs.is_empty() && !own.maps.is_empty(), "{own:?}");
        assert!(own.without(&Objects::loaded()).is_empty(), "{own:?}");
        match signal {
            Some(signal) => tool.signal(signal),
            None => drop(reader),
        }
        let run = tool.finish();
        if signal != Some(Signal::SIGKILL) {
            run.assert_summary();
        }
        bpf::assert_nothing_stays(&before);
    }
}
