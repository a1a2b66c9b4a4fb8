//! The contract of the metrics: names, types and labels, what is there from the start and what is not, on a snapshot
//! that the test makes itself.
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use prometheus::TextEncoder;

use super::{
    dwell::{Buckets, Dwell},
    families::{self, Surroundings},
    process::Usage,
    snapshot::Snapshot,
    *,
};
use crate::{source::kernel::ProgramRuns, tcp::ConnectionId};

/// A transition of which nothing else is known.
pub(super) fn transition(from: TcpState, to: TcpState) -> Transition {
    Transition {
        mono_ns: 0,
        id: ConnectionId {
            cookie: 0,
            serial: 1,
        },
        skaddr: 1,
        netns: 1,
        tuple: None,
        from,
        to,
        dwell_ns: None,
        estimated: false,
        reason: None,
        role: None,
        owner: None,
        cgroup: None,
        container: None,
        bytes: None,
    }
}

/// Nothing has happened yet.
fn nothing() -> Snapshot {
    Snapshot {
        sockets: [0; 12],
        oldest_ns: [None; 12],
        drift: None,
        transitions: Tally::default(),
        ended: Ended::new(),
        dwell: Dwell::new(&Buckets::default()),
        lost: Lost::default(),
        max_used: 0,
        probes: "fentry".to_owned(),
        programs: None,
        taken: Instant::now(),
        cost: Duration::ZERO,
    }
}

fn text(snapshot: &Snapshot) -> String {
    let around = Surroundings {
        kernel: "6.18".to_owned(),
        available_ports: Some(28_232),
        tw_overflows: None,
        process: Some(Usage::read().expect("this process is there")),
    };
    TextEncoder::new()
        .encode_to_string(&families::all(snapshot, &around))
        .expect("valid families")
}

/// Types by name, of families that are not about the process.
fn types(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .filter(|(name, _)| !name.starts_with("process_"))
        .collect()
}

/// Names of the labels by metric.
fn labels(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("tcpstate_")) {
        let (series, _) = line.rsplit_once(' ').expect("a sample");
        let (name, pairs) = series.split_once('{').expect("labels");
        let pairs = pairs.trim_end_matches('}').split(',');
        let names = pairs.filter_map(|pair| Some(pair.split_once('=')?.0));
        labels.entry(name).or_default().extend(names);
    }
    labels
}

fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series))?;
    line.trim().parse().ok()
}

#[test]
fn names_types_and_labels_are_the_contract() {
    let snapshot = Snapshot {
        oldest_ns: [Some(1_500_000_000); 12],
        programs: Some(vec![ProgramRuns {
            name: "walk_tcp".to_owned(),
            runs: 3,
            time: Duration::from_micros(5),
        }]),
        ..nothing()
    };
    let text = text(&snapshot);
    let expected = [
        ("tcpstate_bpf_run_seconds_total", "counter"),
        ("tcpstate_bpf_runs_total", "counter"),
        ("tcpstate_build_info", "gauge"),
        ("tcpstate_dwell_seconds", "histogram"),
        ("tcpstate_ended_total", "counter"),
        ("tcpstate_ephemeral_ports", "gauge"),
        ("tcpstate_lost_total", "counter"),
        ("tcpstate_oldest_seconds", "gauge"),
        ("tcpstate_sockets", "gauge"),
        ("tcpstate_transitions_total", "counter"),
    ];
    assert_eq!(types(&text), BTreeMap::from(expected));
    let set = |names: &[&'static str]| names.iter().copied().collect();
    let expected: [(&str, BTreeSet<&str>); 12] = [
        ("tcpstate_bpf_run_seconds_total", set(&["program"])),
        ("tcpstate_bpf_runs_total", set(&["program"])),
        ("tcpstate_build_info", set(&["version", "kernel", "probes"])),
        ("tcpstate_dwell_seconds_bucket", set(&["state", "le"])),
        ("tcpstate_dwell_seconds_count", set(&["state"])),
        ("tcpstate_dwell_seconds_sum", set(&["state"])),
        ("tcpstate_ended_total", set(&["state", "reason"])),
        ("tcpstate_ephemeral_ports", set(&["kind"])),
        ("tcpstate_lost_total", set(&["cause"])),
        ("tcpstate_oldest_seconds", set(&["state"])),
        ("tcpstate_sockets", set(&["state"])),
        ("tcpstate_transitions_total", set(&["from", "to"])),
    ];
    assert_eq!(labels(&text), BTreeMap::from(expected));
    for (series, expected) in [
        ("tcpstate_oldest_seconds{state=\"fin_wait1\"}", 1.5),
        ("tcpstate_bpf_runs_total{program=\"walk_tcp\"}", 3.0),
        (
            "tcpstate_bpf_run_seconds_total{program=\"walk_tcp\"}",
            0.000_005,
        ),
        ("tcpstate_ephemeral_ports{kind=\"range\"}", 28_232.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}");
    }
    // CLOSE is no state of a socket, only the beginning and the end of a transition.
    assert!(!text.contains("state=\"close\""), "{text}");
}

#[test]
fn counters_begin_with_zero_and_what_is_not_known_is_absent() {
    let text = text(&nothing());
    for series in [
        "tcpstate_transitions_total{from=\"close\",to=\"syn_sent\"}",
        "tcpstate_transitions_total{from=\"time_wait\",to=\"close\"}",
        "tcpstate_ended_total{state=\"fin_wait2\",reason=\"tw_overflow\"}",
        "tcpstate_ended_total{state=\"syn_recv\",reason=\"timeout\"}",
        "tcpstate_ended_total{state=\"time_wait\",reason=\"reused\"}",
        "tcpstate_lost_total{cause=\"ring_full\"}",
        "tcpstate_dwell_seconds_count{state=\"time_wait\"}",
        "tcpstate_sockets{state=\"closing\"}",
    ] {
        assert_eq!(value(&text, series), Some(0.0), "{series}");
    }
    let there = types(&text);
    for name in [
        "tcpstate_count_drift",
        "tcpstate_oldest_seconds",
        "tcpstate_bpf_runs_total",
        "tcpstate_bpf_run_seconds_total",
    ] {
        assert!(!there.contains_key(name), "{name}");
    }
    for process in [
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ] {
        assert!(
            value(&text, process).is_some_and(|value| value > 0.0),
            "{process}"
        );
    }
}

#[test]
fn an_edge_that_nobody_expects_appears_when_it_is_taken() {
    let edge = "tcpstate_transitions_total{from=\"close\",to=\"established\"}";
    let mut snapshot = nothing();
    assert_eq!(value(&text(&snapshot), edge), None);
    let repaired = transition(TcpState::Close, TcpState::Established);
    snapshot.transitions.count(&repaired);
    snapshot
        .ended
        .insert((TcpState::Listen, Reason::Aborted), 2);
    let text = text(&snapshot);
    assert_eq!(value(&text, edge), Some(1.0));
    let ended = "tcpstate_ended_total{state=\"listen\",reason=\"aborted\"}";
    assert_eq!(value(&text, ended), Some(2.0));
}
