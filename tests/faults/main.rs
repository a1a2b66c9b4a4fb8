//! Faults of a whole machine, which only a virtual one may have: its clock is set, a CPU goes and comes back.
//! `cargo xtask vm --faults` runs these tests; `lockdown`, after which nothing else can run, comes last.
use std::{
    fs,
    net::TcpListener,
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use nix::{
    sys::time::TimeSpec,
    time::{ClockId, clock_settime},
};
use tcpstate_tests::{
    History, Line, Namespace, Run, Sight, Tool, host, load,
    traffic::{self, V4},
};

/// 2030-01-01 12:00:00 UTC: an hour before and after it is the same day.
const NOON: Duration = Duration::from_secs(1_893_499_200);
const HOUR: Duration = Duration::from_secs(3600);

/// Sets the clock of the machine.
fn set_clock(since_1970: Duration) {
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from(since_1970)).expect("setting the clock");
}

/// The second of the day that a line shows.
fn second_of_day(line: &Line) -> i64 {
    let number = |at: usize| -> i64 { line.time[at..at + 2].parse().expect("RFC 3339") };
    number(11) * 3600 + number(14) * 60 + number(17)
}

/// A connection that is open while the clock is set by `work`; returns the least and the most that it was.
fn open_while(ns: &Namespace, listener: &TcpListener, work: impl FnOnce()) -> [Duration; 2] {
    let before = Instant::now();
    let pair = ns.run(|| traffic::connect(listener));
    let opened = Instant::now();
    work();
    let least = opened.elapsed();
    pair.reset_by_client();
    [least, before.elapsed()]
}

/// The client's life in a run.
fn client(run: &Run, ns: &Namespace) -> History {
    run.summary().assert_nothing_lost();
    let mut lives = run.histories_in(ns);
    lives.retain(|life| life.lines[0].edge() == "CLOSE->SYN_SENT");
    let [client] = &lives[..] else {
        panic!("one client: {lives:#?}")
    };
    client.clone()
}

/// Stays are those of a clock that nobody sets. Times of day are those of the clock as it was when the run began, so
/// that they never step within a run; the next run has the new one.
#[test]
fn the_clock_is_set() {
    let ns = Namespace::new();
    let inode = ns.inode().to_string();
    let listener = ns.run(|| traffic::listen(V4));
    let hold = || sleep(Duration::from_millis(300));
    for to in [NOON + HOUR, NOON - HOUR] {
        set_clock(NOON);
        let noon = Instant::now();
        let tool = Tool::trace(&["-N", &inode]);
        let truth = open_while(&ns, &listener, || {
            hold();
            set_clock(to);
            hold();
        });
        let took = i64::try_from(noon.elapsed().as_secs()).expect("seconds");
        let life = client(&tool.stop(), &ns);
        life.assert_dwell("ESTABLISHED", &(truth[0]..=truth[1]));
        for line in &life.lines {
            let since_noon = second_of_day(line) - 12 * 3600;
            assert!((0..=took + 1).contains(&since_noon), "{life:#?}");
        }

        let set = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("after 1970");
        let next = Tool::trace(&["-N", &inode]);
        open_while(&ns, &listener, || ());
        let life = client(&next.stop(), &ns);
        let ahead =
            second_of_day(life.last()) - i64::try_from(set.as_secs() % 86_400).expect("a day");
        assert!((0..=30).contains(&ahead), "{ahead} s: {life:#?}");
    }
}

/// What ends after a time ends after that time, however the clock is set.
#[test]
fn durations_do_not_follow_the_clock() {
    set_clock(NOON);
    let before = Instant::now();
    let runs = [&["trace", "-d", "4"][..], &["hist", "2", "2"]].map(Tool::start);
    set_clock(NOON - HOUR);
    for tool in runs {
        tool.finish().assert_summary();
    }
    assert!(before.elapsed() >= Duration::from_secs(4));
}

/// The second CPU, off for as long as this value lives.
struct Off;

impl Off {
    fn new() -> Self {
        set_online("0");
        Self
    }
}

impl Drop for Off {
    fn drop(&mut self) {
        set_online("1");
    }
}

fn set_online(value: &str) {
    let path = "/sys/devices/system/cpu/cpu1/online";
    fs::write(path, value).unwrap_or_else(|error| panic!("writing {value} to {path}: {error}"));
}

/// Neither who started before it went nor who started while it was away loses anything.
#[test]
fn a_cpu_goes_and_comes_back() {
    const RESETS: u64 = 200;
    const CLOSED: usize = 5;
    let sight = Sight::of_tool();
    let ns = Namespace::new();
    let inode = ns.inode().to_string();
    let listener = ns.run(|| traffic::listen(V4));
    let before = Tool::trace(&["-N", &inode]);
    let closing = Instant::now();
    ns.run(|| {
        host::stay_on(1);
        load::resets(&listener, RESETS);
        // Their timers wait on the CPU that goes.
        for _ in 0..CLOSED {
            traffic::connect(&listener).close_client_first();
        }
    });
    let meanwhile = {
        let _off = Off::new();
        let meanwhile = Tool::trace(&["-N", &inode]);
        ns.run(|| load::resets(&listener, RESETS));
        meanwhile
    };
    ns.run(|| {
        host::stay_on(1);
        load::resets(&listener, RESETS);
    });
    // A minute is more than anything is waited for.
    sleep(host::time_wait().start().saturating_sub(closing.elapsed()));
    for tool in [&before, &meanwhile] {
        let mut ends = 0;
        tool.wait_for("the end of every TIME_WAIT", |text| {
            ends += usize::from(Line::read(text).edge() == "TIME_WAIT->CLOSE");
            ends == CLOSED
        });
    }

    for (tool, resets) in [(&before, 3 * RESETS), (&meanwhile, 2 * RESETS)] {
        let mut aborted = 0;
        tool.wait_for("every reset", |text| {
            aborted += u64::from(Line::read(text).edge() == "ESTABLISHED->CLOSE");
            aborted == 2 * resets
        });
    }
    let run = before.stop();
    let summary = run.summary();
    summary.assert_nothing_lost();
    assert_eq!(
        summary.by_transition["SYN_SENT->ESTABLISHED"],
        3 * RESETS + CLOSED as u64
    );
    if sight.has_segments() {
        let lives = run.histories_in(&ns);
        let ended = lives.iter().filter(|life| life.last().from == "TIME_WAIT");
        for life in ended {
            life.assert_dwell("TIME_WAIT", &host::time_wait());
        }
    }
    meanwhile.stop().summary().assert_nothing_lost();
}
