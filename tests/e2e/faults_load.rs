//! Faults while the traffic is heavy: a signal that asks for the end, a reader who stands still, rings that are too small.
//! What was seen and what was lost add up to what has happened.
use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead as _, pipe},
    thread,
    time::Instant,
};

use nix::sys::signal::Signal;
use tcpstate_tests::{
    Line, Namespace, Pair, Served, Summary, Tool,
    bpf::{self, Objects},
    endpoint, host,
    live::Live,
    load, poll_until, sockets, tool,
    traffic::{self, V4},
};

/// A signal is obeyed this soon, on a busy machine.
const PROMPT: std::time::Duration = std::time::Duration::from_secs(10);
/// Transitions before the signal, so that it comes in the middle.
const MIDDLE: usize = 5_000;

/// Ends it with SIGTERM, which it must obey at once, with its summary.
fn terminated(tool: Tool) -> tcpstate_tests::Run {
    let asked = Instant::now();
    tool.signal(Signal::SIGTERM);
    let run = tool.finish();
    let took = asked.elapsed();
    run.assert_summary();
    assert!(took < PROMPT, "{} took {took:?} to end", run.what);
    run
}

#[test]
fn sigterm_under_load() {
    let before = Objects::loaded();
    let ns = Namespace::new();
    let inode = ns.inode().to_string();
    let tool = Tool::trace(&["-N", &inode]);
    let (run, made) = load::during(&ns, || {
        let mut seen = 0;
        tool.wait_for("what is in the middle", |_| {
            seen += 1;
            seen == MIDDLE
        });
        terminated(tool)
    });
    let summary = run.summary();
    summary.assert_nothing_lost();
    assert_eq!(run.lines().len() as u64, summary.transitions);
    assert!(summary.transitions <= made * load::TRANSITIONS + 2);
    bpf::assert_nothing_stays(&before);
}

#[test]
fn sigterm_under_load_leaves_a_whole_recording() {
    let folder = std::env::temp_dir().join(format!("tcpstate-sigterm-{}", std::process::id()));
    fs::create_dir(&folder).expect("making a folder");
    let file = folder.join("whole.arrows");
    let file = file.to_str().expect("a plain path");
    let ns = Namespace::new();
    let inode = ns.inode().to_string();
    let tool = Tool::start(&["record", file, "-N", &inode]);
    let (run, _) = load::during(&ns, || {
        poll_until("a recording that is under way", || {
            let length = fs::metadata(file).map_or(0, |found| found.len());
            (length > 200_000).then_some(()).ok_or(length.to_string())
        });
        terminated(tool)
    });
    let replay = tool::run(tool::command(&[
        "trace",
        "--json",
        "--summary",
        "--from",
        file,
    ]));
    fs::remove_dir_all(&folder).expect("removing the folder");
    let recorded = run.stderr.last().expect("a summary");
    let replayed = replay.summary().transitions;
    assert!(replayed > 0);
    assert!(
        recorded.contains(&format!(" {replayed} transitions")),
        "{replayed} in the recording: {recorded}"
    );
}

#[test]
fn sigterm_under_load_ends_serve() {
    let ns = Namespace::new();
    let served = Served::start(&["-N", &ns.inode().to_string()]);
    let (run, _) = load::during(&ns, || {
        poll_until("transitions in the metrics", || {
            let samples = served.scrape();
            let seen: f64 = samples
                .nonzero("tcpstate_transitions_total{")
                .values()
                .sum();
            (seen > MIDDLE as f64)
                .then_some(())
                .ok_or(format!("{seen}"))
        });
        let asked = Instant::now();
        let run = served.stop();
        assert!(asked.elapsed() < PROMPT, "it took {:?}", asked.elapsed());
        run
    });
    run.assert_summary();
}

/// More lines than the queue and the pipe hold while nobody reads: the measurement goes on, what did not get out is counted
/// to the line, and every count is exact.
#[test]
fn a_reader_who_stands_still_costs_lines_and_nothing_else() {
    const PORT: u16 = 24_201;
    const RESETS: u64 = 12_000;
    const OPEN: usize = 20;
    let ns = Namespace::new();
    let inode = ns.inode().to_string();
    let (reader, writer) = pipe().expect("a pipe");
    let args = ["trace", "--json", "--summary", "-N", &inode];
    let tool = Tool::launch_into(writer, tool::command(&args));
    tool.await_ready();
    // Beside it, so that it can be seen that all has passed through.
    let live = Live::start(&PORT.to_string(), "10m");

    let listener = ns.run(|| endpoint::listener((V4, PORT).into(), endpoint::LONGEST));
    ns.run(|| load::resets(&listener, RESETS));
    let open: Vec<Pair> = (0..OPEN)
        .map(|_| ns.run(|| traffic::connect(&listener)))
        .collect();
    ns.run(|| traffic::connect(&listener)).close_server_first();
    let here = || ns.run(|| sockets::by_state_at(PORT..=PORT));
    let truth = poll_until("the counts of the kernel", || {
        let (shown, truth) = (live.now().counts, here());
        (shown == truth)
            .then_some(truth.clone())
            .ok_or(format!("{shown:?} instead of {truth:?}"))
    });
    assert_eq!((truth["ESTABLISHED"], truth["TIME_WAIT"]), (OPEN as u64, 1));
    let all_there: u64 = ns.run(sockets::by_state).values().sum();

    let drained = thread::spawn(move || {
        let lines = io::BufReader::new(reader).lines();
        lines.collect::<io::Result<Vec<String>>>().expect("text")
    });
    let run = tool.stop();
    run.assert_summary();
    let mut lines = drained.join().expect("reading");
    let summary = Summary::read(&lines.pop().expect("a summary record"));
    live.stop().summary().assert_nothing_lost();

    let lines: Vec<Line> = lines.iter().map(|line| Line::read(line)).collect();
    let lost = summary.lost["writer_slow"];
    assert!(lost > 0, "everything found room: {summary:#?}");
    assert_eq!(lines.len() as u64 + lost, summary.transitions);
    let gaps: u64 = lines
        .iter()
        .scan(0, |next, line| {
            let gap = line.seq - *next;
            *next = line.seq + 1;
            Some(gap)
        })
        .sum();
    let behind = summary.transitions - lines.last().map_or(0, |line| line.seq + 1);
    assert_eq!(gaps + behind, lost, "each missing line is missing in `seq`");

    // The totals are those of the traffic, and what is tracked is what there is.
    let edge = |edge: &str| summary.by_transition.get(edge).copied().unwrap_or(0);
    let all = RESETS + OPEN as u64 + 1;
    assert_eq!(edge("CLOSE->SYN_SENT"), all, "{summary:#?}");
    assert_eq!(edge("SYN_RECV->ESTABLISHED"), all, "{summary:#?}");
    assert_eq!(edge("ESTABLISHED->CLOSE"), 2 * RESETS, "{summary:#?}");
    assert_eq!(summary.tracked, all_there, "{summary:#?}");
    let mut others = summary.lost.clone();
    others.remove("writer_slow");
    assert!(others.values().all(|lost| *lost == 0), "{summary:#?}");
    drop(open);
}

/// Rings as small as they get while the tool is stopped: what they have no room for is counted, the kernel's own matrix of
/// transitions stays exact, and the next reconciliations make the live counts true.
#[test]
fn rings_that_are_too_small() {
    const PORT: u16 = 24_200;
    const RESETS: u64 = 12_000; // on each CPU
    const OPEN: usize = 50;
    let ns = Namespace::new();
    // Counts the same transitions, from before to after.
    let witness = Tool::start(&["hist", "--json", "--summary"]);
    let ports = PORT.to_string();
    let live = Live::start_with(&["--ring-size", "1", "--reconcile", "1s", "-L", &ports]);
    let listener = ns.run(|| endpoint::listener((V4, PORT).into(), endpoint::LONGEST));
    live.wait_for("the listener", |moment| moment.counts["LISTEN"] == 1);

    live.tool().signal(Signal::SIGSTOP);
    let cpus = host::cpus();
    for cpu in &cpus {
        ns.run(|| {
            host::stay_on(*cpu);
            load::resets(&listener, RESETS);
        });
    }
    // Each CPU has a ring of its own, and all are full: none of these is seen to open, wherever it is made.
    let open: Vec<Pair> = (0..OPEN)
        .map(|_| ns.run(|| traffic::connect(&listener)))
        .collect();
    live.tool().signal(Signal::SIGCONT);

    let truth = ns.run(|| sockets::by_state_at(PORT..=PORT));
    assert_eq!(truth["ESTABLISHED"], OPEN as u64, "{truth:?}");
    let drift = |moment: &tcpstate_tests::live::Moment| -> BTreeMap<String, i64> {
        let mut drift = moment.drift.clone().unwrap_or_default();
        drift.retain(|_, drift| *drift != 0);
        drift
    };
    live.wait_for("the drift that came of it", |moment| {
        !drift(moment).is_empty()
    });
    let repaired = live.wait_for("true counts, found to be", |moment| {
        moment.counts == truth && moment.drift.is_some() && drift(moment).is_empty()
    });
    drop(open);
    live.wait_for("their end", |moment| {
        moment.mono_ns > repaired.mono_ns && moment.counts["ESTABLISHED"] == 0
    });

    let made = RESETS * cpus.len() as u64;
    let summary = live.stop().summary();
    let witness = witness.stop();
    witness.assert_status(0);
    let witness = Summary::read(witness.stdout.last().expect("a summary record"));
    assert!(summary.lost["ring_full"] > 0, "{summary:#?}");
    let counted = |summary: &Summary, edge: &str| {
        let matrix = summary
            .kernel_transitions
            .as_ref()
            .expect("counted in the kernel");
        matrix.get(edge).copied().unwrap_or(0)
    };
    // At least those of this test; and no more than were counted from before to after, others' included.
    for (edge, least) in [
        ("CLOSE->SYN_SENT", made + OPEN as u64),
        ("SYN_SENT->ESTABLISHED", made + OPEN as u64),
        ("ESTABLISHED->CLOSE", 2 * made),
    ] {
        let here = counted(&summary, edge);
        assert!(here >= least, "{edge}: {here} of {least}");
        assert!(
            here <= counted(&witness, edge),
            "{edge}: {here}, {witness:#?}"
        );
    }
}
