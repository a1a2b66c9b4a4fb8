//! The units of the package under a real systemd: they run with no more than they need, tell the truth, and end cleanly.
//!
//! `cargo xtask systemd` boots a machine for these, and they run one after the other in the order of their names.
mod unit;

use tcpstate_tests::{
    Namespace, Samples, bpf, poll_until, sockets,
    task::set,
    traffic::{self, V4},
};

use self::unit::Unit;

/// How many connections end in each way.
const TIMES: u8 = 5;

#[test]
fn all_namespaces() {
    let before = bpf::Objects::loaded();
    let elsewhere = Namespace::new();
    let unit = Unit::start("tcpstate-all-netns.service");
    // What tcpstate-all-netns.service documents.
    unit.assert_confined(set::MEASURE | set::LOOK, Some(set::LOOK));
    unit.assert_rated(27);
    // It takes up the other namespace's sockets after those of its own.
    let start = unit.scrape();
    elsewhere.run(resets);
    let samples = await_resets(&unit, &start);
    assert_resets(&start, &samples, f64::from(TIMES));
    unit.stop();
    bpf::assert_nothing_stays(&before);
}

#[test]
fn own_namespace() {
    let before = bpf::Objects::loaded();
    let elsewhere = Namespace::new();
    let unit = Unit::start("tcpstate.service");
    // What tcpstate.service documents.
    unit.assert_confined(set::MEASURE, None);
    unit.assert_rated(20);
    let start = unit.scrape();
    elsewhere.run(resets);
    resets();
    let samples = await_resets(&unit, &start);
    assert_resets(&start, &samples, f64::from(TIMES));

    let listener = traffic::listen(V4);
    for _ in 0..TIMES {
        traffic::connect(&listener).close_client_first();
    }
    // Each scrape leaves a TIME_WAIT itself, after it has been answered.
    poll_until("the kernel's own counts", || {
        let kernel = sockets::by_state();
        let shown = unit.scrape();
        let pairs = ["LISTEN", "TIME_WAIT"].map(|state| {
            let series = format!("tcpstate_sockets{{state=\"{}\"}}", state.to_lowercase());
            (shown.of(&series), kernel[state] as f64)
        });
        let same = pairs.iter().all(|(shown, kernel)| shown == kernel);
        let enough = pairs[1].0 >= f64::from(TIMES);
        (same && enough).then_some(()).ok_or(format!("{pairs:?}"))
    });
    unit.stop();
    bpf::assert_nothing_stays(&before);
}

/// The two use the same port, so that starting one ends the other.
#[test]
fn the_one_ends_the_other() {
    let own = Unit::start("tcpstate.service");
    let all = Unit::start("tcpstate-all-netns.service");
    own.assert_stopped();
    all.stop();
}

/// Its name is the last: nothing is left to test then.
#[test]
fn without_the_package_nothing_runs() {
    let unit = Unit::start("tcpstate.service");
    unit::run("dpkg", &["--purge", "tcpstate"]);
    assert!(!unit.process_exists(), "it runs on");
    assert_eq!(unit::property(unit.name, "LoadState"), "not-found");
}

/// Connections that the client throws away: no scrape ends like this.
fn resets() {
    let listener = traffic::listen(V4);
    for _ in 0..TIMES {
        traffic::connect(&listener).reset_by_client();
    }
}

const RESET: &str = "tcpstate_ended_total{state=\"established\",reason=\"reset\"}";
const ABORTED: &str = "tcpstate_ended_total{state=\"established\",reason=\"aborted\"}";

fn grown(start: &Samples, now: &Samples, series: &str) -> f64 {
    let of = |samples: &Samples| samples.0.get(series).copied().unwrap_or_default();
    of(now) - of(start)
}

/// Waits until at least the expected number has been seen.
fn await_resets(unit: &Unit, start: &Samples) -> Samples {
    poll_until("the resets", || {
        let now = unit.scrape();
        let seen = grown(start, &now, RESET);
        (seen >= f64::from(TIMES))
            .then_some(now)
            .ok_or(format!("{seen}"))
    })
}

/// Both ends of each connection were seen, and none of another namespace's, and nothing was lost.
fn assert_resets(start: &Samples, now: &Samples, expected: f64) {
    for series in [RESET, ABORTED] {
        assert_eq!(grown(start, now, series), expected, "{series}");
    }
    assert!(now.nonzero("tcpstate_lost_total{").is_empty(), "{now:#?}");
}
