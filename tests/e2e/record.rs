//! `record` and `--from`: what was recorded is what was measured, for a user without privileges, also after a crash.
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount},
    sys::signal::Signal,
};
use tcpstate_tests::{
    Line, Namespace, Run, Tool, mounts, poll_until, privilege, sockets,
    tool::{self, PublicCopy},
    traffic::{self, V4, V6},
};

/// A folder of a test's own that everybody may read.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tcpstate-{name}-{}", std::process::id()));
        fs::create_dir(&folder).expect("making a folder for recordings");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("opening it");
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a plain path").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Starts `record FILE` for one namespace.
fn record(ns: &Namespace, file: &str, more: &[&str]) -> Tool {
    let inode = ns.inode().to_string();
    Tool::start(&[&["record", file, "-N", &inode], more].concat())
}

/// Connections that end in several ways; returns the port of the listener.
fn make_traffic(ns: &Namespace) -> u16 {
    let mut port = 0;
    for ip in [V4, V6] {
        let listener = ns.run(|| traffic::listen(ip));
        port = traffic::address(&listener).port();
        ns.run(|| traffic::connect(&listener)).close_client_first();
        ns.run(|| traffic::connect(&listener)).close_server_first();
        ns.run(|| traffic::connect(&listener)).reset_by_client();
    }
    port
}

fn replay(args: &[&str]) -> Run {
    tool::run(tool::command(args))
}

/// What two measurements must agree on, in an order that both have: all but their own numbering and the moments at which
/// their programs ran, one after the other.
fn comparable(mut lines: Vec<Line>) -> Vec<Line> {
    for line in &mut lines {
        let (cookie, _) = line.id.split_once('.').expect("COOKIE.NUMBER");
        line.id = cookie.to_owned();
        line.seq = 0;
        line.skaddr = None;
        line.time.clear();
        line.mono_ns = 0;
        line.dwell_ns = line.dwell_ns.map(|_| 0);
    }
    lines.sort_by_key(|line| {
        (
            line.rport,
            line.lport,
            line.id.clone(),
            line.from.clone(),
            line.to.clone(),
        )
    });
    lines
}

#[test]
fn a_replay_shows_what_trace_showed() {
    let (ns, folder) = (Namespace::new(), Folder::new("same"));
    let file = folder.path("same.arrows");
    let inode = ns.inode().to_string();
    let trace = Tool::trace(&["-N", &inode]);
    let recorder = record(&ns, &file, &[]);
    let port = make_traffic(&ns);
    ns.run(sockets::await_end);
    let live = trace.stop();
    live.summary().assert_nothing_lost();
    recorder.stop().assert_summary();
    let copy = PublicCopy::new();
    let args = ["trace", "--json", "--summary", "--from", &file];
    let replayed = tool::run(copy.command_for_nobody(&args));
    replayed.summary().assert_nothing_lost();
    assert!(live.lines().len() > 40, "{live:#?}");
    assert_eq!(comparable(replayed.lines()), comparable(live.lines()));
    // The same file, the same output.
    let again = replay(&["trace", "--json", "--from", &file]);
    let once_more = replay(&["trace", "--json", "--from", &file]);
    assert_eq!(again.stdout, once_more.stdout);
    // A filter selects whole connections, the line before the kernel chose the port included.
    let local = live
        .lines()
        .iter()
        .find(|line| line.edge() == "CLOSE->SYN_SENT" && line.rport == Some(port))
        .map(|opening| opening.id.clone());
    let local = live
        .lines()
        .iter()
        .find(|line| Some(&line.id) == local.as_ref() && line.lport.is_some())
        .and_then(|line| line.lport)
        .expect("the client has a port");
    let one = replay(&["trace", "--json", "--from", &file, "-L", &local.to_string()]).lines();
    assert_eq!(one[0].edge(), "CLOSE->SYN_SENT", "{one:#?}");
    assert!(one.iter().all(|line| line.lport == Some(local)), "{one:#?}");
}

#[test]
fn a_killed_recorder_leaves_what_it_has_written() {
    let (ns, folder) = (Namespace::new(), Folder::new("killed"));
    let file = folder.path("killed.arrows");
    let recorder = record(&ns, &file, &[]);
    make_traffic(&ns);
    let args = ["trace", "--json", "--from", &file];
    poll_until("rows on the disk while it records", || {
        match replay(&args).stdout.len() {
            0..40 => Err("too few".to_owned()),
            _ => Ok(()),
        }
    });
    recorder.signal(Signal::SIGKILL);
    let _ = recorder.finish();
    let cut = replay(&args);
    cut.assert_status(1);
    assert!(cut.lines().len() >= 40);
    let message = cut.stderr.last().expect("a message");
    assert!(
        message.contains(&file) && message.contains("cut off after"),
        "{message}"
    );
}

#[test]
fn a_full_disk_ends_it_with_one_line_and_what_was_recorded_stays() {
    const ROOM: &str = "size=400k";
    let (ns, folder) = (Namespace::new(), Folder::new("full"));
    mount(
        Some("tmpfs"),
        &folder.0,
        Some("tmpfs"),
        MsFlags::empty(),
        Some(ROOM),
    )
    .expect("a small disk");
    let file = folder.path("full.arrows");
    let recorder = record(&ns, &file, &[]);
    let listener = ns.run(|| traffic::listen(V4));
    for _ in 0..6000 {
        ns.run(|| traffic::connect(&listener)).reset_by_client();
    }
    let full = recorder.finish();
    let read = replay(&["trace", "--json", "--from", &file]);
    mounts::take_away(&folder.0);
    full.assert_status(1);
    let errors: Vec<_> = full
        .stderr
        .iter()
        .filter(|line| line.contains("No space left"))
        .collect();
    assert!(
        matches!(&errors[..], [one] if one.contains(&file)),
        "{full:#?}"
    );
    let summary = &full.stderr[full.stderr.len() - 2];
    assert!(
        summary.contains("writer_slow"),
        "what did not get out is counted: {summary}"
    );
    read.assert_status(1);
    assert!(!read.lines().is_empty(), "{:?}", read.stderr);
}

#[test]
fn a_read_only_folder_is_one_line_before_anything_is_measured() {
    privilege::demand();
    let folder = Folder::new("read-only");
    let [recording, page, log] = ["r.arrows", "r.html", "r.hlog"].map(|name| folder.path(name));
    for (args, file) in [
        (&["record", &recording][..], &recording),
        (&["record", &recording, "--rotate-size", "1M"], &recording),
        (&["report", "-d", "1h", "-o", &page], &page),
        (&["hist", "--hdr", &log], &log),
    ] {
        let run = mounts::privately(|| {
            mounts::make_read_only(&folder.0);
            tool::run(tool::command(args))
        });
        run.assert_status(1);
        let [line] = &run.stderr[..] else {
            panic!("one line: {run:#?}")
        };
        for word in ["tcpstate: ", file.as_str(), "Read-only file system"] {
            assert!(line.contains(word), "no {word}: {line}");
        }
    }
}

/// The histograms of a log, by tag.
fn histograms(log: &str) -> Vec<String> {
    let log = fs::read_to_string(log).expect("a histogram log");
    let lines = log.lines().filter(|line| line.starts_with("Tag="));
    lines
        .map(|line| {
            let cells: Vec<_> = line.split(',').collect();
            format!("{} {}", cells[0], cells[4])
        })
        .collect()
}

#[test]
fn histograms_of_a_recording_are_those_of_the_run() {
    let (ns, folder) = (Namespace::new(), Folder::new("hdr"));
    let [file, live, later] =
        ["hdr.arrows", "live.hlog", "later.hlog"].map(|name| folder.path(name));
    let recorder = record(&ns, &file, &["--hdr", &live]);
    let listener = ns.run(|| traffic::listen(V4));
    for _ in 0..500 {
        ns.run(|| traffic::connect(&listener)).close_client_first();
    }
    ns.run(sockets::await_end);
    recorder.stop().assert_summary();
    replay(&["hist", "--from", &file, "--hdr", &later]).assert_status(0);
    let live = histograms(&live);
    assert!(live.len() > 6, "{live:?}");
    assert_eq!(live, histograms(&later));
}

/// The files in a folder, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
}

#[test]
fn rotated_files_stand_for_themselves() {
    const KEPT: usize = 2;
    let (ns, folder) = (Namespace::new(), Folder::new("rotate"));
    let base = folder.path("r.arrows");
    let listener = ns.run(|| traffic::listen(V4));
    let recorder = record(&ns, &base, &["--rotate-every", "1s", "--keep", "2"]);
    let first = files(&folder.0);
    poll_until("the first file to be removed", || {
        ns.run(|| traffic::connect(&listener)).reset_by_client();
        if first[0].exists() {
            Err("still there".to_owned())
        } else {
            Ok(())
        }
    });
    recorder.stop().assert_summary();
    let kept = files(&folder.0);
    assert_eq!(kept.len(), KEPT, "{kept:?}");
    for file in kept {
        let open = replay(&[
            "hist",
            "--json",
            "--from",
            file.to_str().expect("a plain path"),
        ]);
        open.assert_status(0);
        let hist: serde_json::Value = serde_json::from_str(&open.stdout[0]).expect("JSON");
        assert_eq!(hist["states"]["LISTEN"]["open"]["sockets"], 1, "{hist}");
    }
}

#[test]
fn files_rotated_by_size_have_every_transition_once() {
    let (ns, folder) = (Namespace::new(), Folder::new("size"));
    let listener = ns.run(|| traffic::listen(V4));
    let recorder = record(&ns, &folder.path("s.arrows"), &["--rotate-size", "64K"]);
    for _ in 0..3000 {
        ns.run(|| traffic::connect(&listener)).reset_by_client();
    }
    let run = recorder.stop();
    run.assert_summary();
    let transitions: u64 = run
        .stderr
        .last()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|count| count.parse().ok())
        .expect("the summary begins with their number");
    let files = files(&folder.0);
    assert!(files.len() > 1, "{files:?}");
    let recorded: u64 = files
        .iter()
        .map(|file| {
            let file = file.to_str().expect("a plain path");
            let lines = replay(&["trace", "--json", "--from", file]);
            lines.assert_status(0);
            lines.stdout.len() as u64
        })
        .sum();
    assert_eq!(recorded, transitions);
    assert!(transitions >= 3000 * 6, "{transitions}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for more in ["--raw", "--bpf-stats", "--ring-size=1M", "--reconcile=1s"] {
        replay(&["trace", "--from", "/dev/null", more]).assert_status(2);
    }
    for args in [
        &["record", "-", "--rotate-size", "1M"][..],
        &["record", "-", "--summary"],
        &["record", "/dev/null", "--keep", "2"],
        &["record", "/dev/null", "--to-state", "CLOSE_WAIT"],
        &["trace", "--speed", "2"],
        &["trace", "--from", "/dev/null", "--speed", "0"],
    ] {
        replay(args).assert_status(2);
    }
    let none = replay(&["trace", "--from", "/dev/null"]);
    none.assert_status(1);
    assert!(
        none.stderr[0].contains("/dev/null: not a recording"),
        "{none:#?}"
    );
}

/// A recording of 84 s of four servers and their clients.
const DEMO: &[u8] = include_bytes!("../../docs/demo.arrows");

#[test]
fn intervals_end_with_the_duration() {
    let folder = Folder::new("intervals");
    let file = folder.path("demo.arrows");
    fs::write(&file, DEMO).expect("writing the recording");
    let spans = |args: &[&str]| -> Vec<u64> {
        let run = replay(&[&["hist", "--json", "--from", &file], args].concat());
        run.assert_status(0);
        let span = |line: &String| {
            let object: serde_json::Value = serde_json::from_str(line).expect("JSON");
            object["span_ns"].as_u64().expect("a span") / 1_000_000_000
        };
        run.stdout.iter().map(span).collect()
    };
    // Between 15 s and 48 s of the recording rows are seconds apart.
    assert_eq!(spans(&["10", "-d", "25"]), [10, 10, 5]);
    assert_eq!(spans(&["10", "-d", "20"]), [10, 10]);
    assert_eq!(spans(&["5", "-d", "48"]), [5, 5, 5, 5, 5, 5, 5, 5, 5, 3]);
    assert_eq!(spans(&["10", "2", "-d", "48"]), [10, 10]);
}

#[test]
fn a_log_of_histograms_spares_what_is_there_until_it_begins() {
    let folder = Folder::new("hdr");
    let (file, log) = (folder.path("demo.arrows"), folder.path("old.hlog"));
    fs::write(&file, DEMO).expect("writing the recording");
    replay(&["hist", "--from", &file, "--hdr", &file]).assert_status(2);
    assert!(fs::read(&file).expect("reading it") == DEMO, "it changed");
    fs::write(&log, "an old log\n".repeat(1000)).expect("writing a file");
    replay(&["hist", "--from", "/nonexistent", "--hdr", &log]).assert_status(1);
    replay(&["hist", "--from", "/dev/null", "--hdr", &log]).assert_status(1);
    let spared = fs::read_to_string(&log).expect("reading it");
    assert!(spared.starts_with("an old log"), "{spared}");
    replay(&["hist", "--from", &file, "--hdr", &log]).assert_status(0);
    let written = fs::read_to_string(&log).expect("reading it");
    assert!(written.starts_with("#[Histogram log"), "{written}");
    assert!(!written.contains("an old log"), "{written}");
}
