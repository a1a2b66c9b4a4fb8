//! Every rule, on evidence made by hand: it fires, and it does not.
use std::collections::{BTreeMap, HashSet};

use super::{
    evidence::{
        Counters, Destination, Held, Listener, Measured, Settings, Sockets, Space, Watched,
    },
    examine,
    finding::{Seen, Severity},
    rules,
};
use crate::tcp::TcpState;

/// The kernel's defaults.
const DEFAULTS: &[(&str, &str)] = &[
    ("somaxconn", "4096"),
    ("ip_local_port_range", "32768\t60999"),
    ("ip_local_reserved_ports", ""),
    ("tcp_abort_on_overflow", "0"),
    ("tcp_fin_timeout", "60"),
    ("tcp_keepalive_intvl", "75"),
    ("tcp_keepalive_probes", "9"),
    ("tcp_keepalive_time", "7200"),
    ("tcp_max_orphans", "1000"),
    ("tcp_max_syn_backlog", "512"),
    ("tcp_max_tw_buckets", "1000"),
    ("tcp_retries1", "3"),
    ("tcp_retries2", "15"),
    ("tcp_rfc1337", "0"),
    ("tcp_syn_retries", "6"),
    ("tcp_synack_retries", "5"),
    ("tcp_syncookies", "1"),
    ("tcp_timestamps", "1"),
    ("tcp_tw_reuse", "2"),
];

/// A busy host on which all is well.
fn healthy() -> Space {
    let names = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect()
    };
    let still = names(&[
        ("ListenOverflows", 0),
        ("ListenDrops", 0),
        ("TCPTimeWaitOverflow", 0),
        ("TCPReqQFullDoCookies", 0),
        ("TCPReqQFullDrop", 0),
        ("SyncookiesSent", 0),
        ("TCPAbortOnMemory", 0),
    ]);
    let settings = DEFAULTS
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut sockets = Sockets::default();
    for (state, count) in [
        (TcpState::Listen, 20),
        (TcpState::Established, 5_000),
        (TcpState::TimeWait, 800),
        (TcpState::CloseWait, 30),
        (TcpState::FinWait2, 50),
        (TcpState::SynRecv, 20),
    ] {
        sockets.states[state.index()].sockets = count;
    }
    // Always some peers that vanish, and clients that are slow.
    sockets.states[TcpState::Established.index()].unanswered = 40;
    sockets.states[TcpState::FinWait1.index()].sockets = 40;
    sockets.states[TcpState::FinWait1.index()].unanswered = 25;
    sockets.states[TcpState::FinWait2.index()].orphans = 45;
    sockets.states[TcpState::SynRecv.index()].unanswered = 5;
    sockets.listeners = vec![listener(2, 128, 20, 0)];
    sockets.destinations = vec![destination(5_000, 400)];
    Space {
        netns: 1,
        name: None,
        settings: Settings(settings.collect()),
        counters: Counters {
            total: still.clone(),
            watched: Some(Watched {
                span_ms: 5_000,
                grown: still,
            }),
            sockstat: names(&[("orphan", 100)]),
        },
        sockets: Some(sockets),
        measured: Some(Measured {
            span_ms: 5_000,
            ..Measured::default()
        }),
    }
}

fn listener(waiting: u64, limit: u64, half_open: u64, full: u64) -> Listener {
    Listener {
        laddr: [0_u8; 4].into(),
        lport: 443,
        waiting,
        limit,
        half_open,
        full,
        owner: Some("nginx[7]".to_owned()),
    }
}

fn destination(ports: u64, time_wait: u64) -> Destination {
    Destination {
        laddr: [10, 0, 0, 1].into(),
        raddr: [10, 0, 0, 2].into(),
        rport: 5432,
        ports,
        time_wait,
    }
}

fn seen(id: &str, space: &Space) -> Option<Seen> {
    let rule = rules()
        .find(|rule| rule.id == id)
        .expect("a rule of that name");
    (rule.look)(space)
}

/// What `id` says of a healthy host after `change`.
fn after(id: &str, change: impl FnOnce(&mut Space)) -> Seen {
    let mut space = healthy();
    change(&mut space);
    seen(id, &space).expect("it can judge")
}

fn set(id: &str, name: &str, value: &str) -> Severity {
    after(id, |space| {
        space.settings.0.insert(name.to_owned(), value.to_owned());
    })
    .severity
}

fn grow(space: &mut Space, name: &str, by: u64) {
    space.counters.total.insert(name.to_owned(), by);
    let watched = space.counters.watched.as_mut().unwrap();
    watched.grown.insert(name.to_owned(), by);
}

fn sockets(space: &mut Space) -> &mut Sockets {
    space.sockets.as_mut().unwrap()
}

fn held(pid: Option<u32>, sockets: u64) -> Held {
    Held {
        pid,
        comm: pid.map(|_| "leaky".to_owned()),
        command_line: pid.map(|_| "/usr/bin/leaky --now".to_owned()),
        sockets,
        oldest_ms: 65_000,
        exact: false,
        peers: vec![([10, 0, 0, 9].into(), sockets)],
        other_peers: 3,
    }
}

#[test]
fn a_healthy_host_gives_no_warning() {
    let report = examine(&[healthy()]);
    assert!(!report.has_warning(), "{report:#?}");
    assert!(report.not_judged.is_empty(), "{report:#?}");
    assert_eq!(report.findings.len(), rules().count());
    let notes = report
        .findings
        .iter()
        .filter(|finding| finding.seen.severity == Severity::Info);
    let notes: Vec<&str> = notes.map(|finding| finding.rule.id).collect();
    assert_eq!(
        notes,
        ["fin_wait1", "established"],
        "what is always so on a busy host"
    );
}

#[test]
fn rules_are_complete_and_have_names_of_their_own() {
    let names: HashSet<&str> = rules().map(|rule| rule.id).collect();
    assert_eq!(names.len(), rules().count());
    for rule in rules() {
        for text in [rule.why, rule.advice, rule.avoid, rule.reference] {
            assert!(
                !text.is_empty() && !text.contains("  "),
                "{}: {text}",
                rule.id
            );
        }
    }
}

#[test]
fn without_evidence_no_rule_judges() {
    let report = examine(&[Space::default()]);
    assert!(report.findings.is_empty(), "{report:#?}");
    assert_eq!(report.not_judged.len(), rules().count());
}

#[test]
fn settings_are_judged() {
    use Severity::{Info, Ok, Warning};
    for (id, name, value, severity) in [
        ("tcp_tw_recycle", "tcp_tw_recycle", "1", Warning),
        ("tcp_tw_recycle", "tcp_tw_recycle", "0", Ok),
        ("tcp_tw_reuse", "tcp_tw_reuse", "0", Info),
        ("tcp_tw_reuse", "tcp_tw_reuse", "1", Info),
        ("tcp_tw_reuse", "tcp_tw_reuse", "2", Ok),
        ("tcp_tw_reuse", "tcp_timestamps", "0", Ok),
        ("tcp_fin_timeout", "tcp_fin_timeout", "60", Ok),
        ("tcp_fin_timeout", "tcp_fin_timeout", "15", Info),
        ("tcp_rfc1337", "tcp_rfc1337", "1", Info),
        ("tcp_syncookies", "tcp_syncookies", "0", Warning),
        ("tcp_syncookies", "tcp_syncookies", "2", Info),
        ("backlog_limits", "somaxconn", "128", Info),
        ("backlog_limits", "somaxconn", "129", Ok),
        ("tcp_abort_on_overflow", "tcp_abort_on_overflow", "1", Info),
        ("tcp_synack_retries", "tcp_synack_retries", "2", Info),
        ("tcp_syn_retries", "tcp_syn_retries", "3", Info),
        ("tcp_retries", "tcp_retries2", "5", Info),
        ("tcp_retries", "tcp_retries1", "4", Info),
        ("tcp_keepalive", "tcp_keepalive_time", "600", Info),
        ("tcp_max_orphans", "tcp_max_orphans", "125", Warning),
        ("tcp_max_orphans", "tcp_max_orphans", "126", Ok),
    ] {
        assert_eq!(set(id, name, value), severity, "{id} with {name} = {value}");
    }
}

#[test]
fn settings_are_explained_in_numbers() {
    let headline = |id: &str, name: &str, value: &str| {
        after(id, |space| {
            space.settings.0.insert(name.to_owned(), value.to_owned());
        })
    };
    let seen = headline("tcp_fin_timeout", "tcp_fin_timeout", "90");
    assert_eq!(seen.details, ["orphaned FIN_WAIT2 are kept for about 60 s"]);
    let seen = headline("tcp_syn_retries", "tcp_syn_linear_timeouts", "4");
    assert!(seen.headline.ends_with("after 131 s"), "{seen:?}");
    let seen = headline("tcp_synack_retries", "tcp_synack_retries", "1");
    assert!(seen.headline.ends_with("for 3 s at most"), "{seen:?}");
}

#[test]
fn reuse_without_timestamps_does_nothing() {
    let seen = after("tcp_tw_reuse", |space| {
        for (name, value) in [("tcp_tw_reuse", "1"), ("tcp_timestamps", "0")] {
            space.settings.0.insert(name.to_owned(), value.to_owned());
        }
    });
    assert_eq!(seen.severity, Severity::Warning);
}

#[test]
fn counters_warn_only_while_they_grow() {
    for (id, name) in [
        ("listen_overflow", "ListenOverflows"),
        ("tcp_max_tw_buckets", "TCPTimeWaitOverflow"),
        ("tcp_max_orphans", "TCPAbortOnMemory"),
    ] {
        let now = after(id, |space| grow(space, name, 7));
        assert_eq!(now.severity, Severity::Warning, "{id}");
        assert!(
            now.details.contains(&format!(
                "{name}: 7 more in 5 s, 7 in all (/proc/net/netstat)"
            )),
            "{now:?}"
        );
        let once = after(id, |space| {
            space.counters.total.insert(name.to_owned(), 7);
        });
        assert_eq!(once.severity, Severity::Info, "{id}");
        let unwatched = after(id, |space| {
            grow(space, name, 7);
            space.counters.watched = None;
        });
        assert_eq!(unwatched.severity, Severity::Info, "{id}");
    }
    // Elsewhere than in the initial namespace, which has the limit.
    let elsewhere = |grown| {
        after("tcp_max_orphans", |space| {
            space.settings.0.remove("tcp_max_orphans");
            grow(space, "TCPAbortOnMemory", grown);
        })
    };
    let severities = [0, 1].map(|grown| elsewhere(grown).severity);
    assert_eq!(severities, [Severity::Ok, Severity::Warning]);
    for name in ["TCPReqQFullDoCookies", "TCPReqQFullDrop"] {
        let now = after("syn_recv", |space| grow(space, name, 7));
        assert_eq!(now.severity, Severity::Warning, "{name}");
        let once = after("syn_recv", |space| {
            space.counters.total.insert(name.to_owned(), 7);
        });
        assert_eq!(once.severity, Severity::Ok, "{name}");
    }
    let seen = after("tcp_abort_on_overflow", |space| {
        space
            .settings
            .0
            .insert("tcp_abort_on_overflow".to_owned(), "1".to_owned());
        grow(space, "ListenOverflows", 1);
    });
    assert_eq!(seen.severity, Severity::Warning);
}

#[test]
fn ports_are_judged_towards_the_fullest_destination() {
    // Of 28,232 usable ports.
    for (ports, severity) in [
        (14_115, Severity::Ok),
        (14_116, Severity::Info),
        (22_585, Severity::Info),
        (22_586, Severity::Warning),
        (28_232, Severity::Warning),
    ] {
        let seen = after("ip_local_port_range", |space| {
            sockets(space).destinations = vec![destination(ports, ports / 2), destination(3, 0)];
        });
        assert_eq!(seen.severity, severity, "{ports}: {seen:?}");
    }
    let seen = after("ip_local_port_range", |space| {
        space
            .settings
            .0
            .insert("ip_local_port_range".to_owned(), "1000 1009".to_owned());
        space
            .settings
            .0
            .insert("ip_local_reserved_ports".to_owned(), "1000-1001".to_owned());
        sockets(space).destinations = vec![destination(8, 8)];
    });
    assert_eq!(
        seen.headline,
        "8 of 8 local ports in use towards 10.0.0.2 port 5432"
    );
    assert_eq!(seen.severity, Severity::Warning);
}

#[test]
fn a_full_accept_queue_names_its_process() {
    let seen = after("listen_overflow", |space| {
        sockets(space).listeners = vec![listener(6, 5, 0, 1)];
    });
    assert_eq!(seen.severity, Severity::Warning);
    assert_eq!(
        seen.headline,
        "the accept queue of 0.0.0.0 port 443 (nginx[7]) is full"
    );
    assert!(
        seen.details[0].ends_with(": 6 wait, limit 5 (sock_diag)"),
        "{seen:?}"
    );
}

#[test]
fn half_open_connections_are_judged_by_their_listeners_limit() {
    for (half_open, limit, severity) in [
        (7, 1, Severity::Ok), // too few to matter
        (95, 128, Severity::Ok),
        (96, 128, Severity::Warning),
    ] {
        let seen = after("syn_recv", |space| {
            sockets(space).listeners = vec![listener(0, limit, half_open, 0)];
        });
        assert_eq!(seen.severity, severity, "{half_open} of {limit}: {seen:?}");
    }
    for (unanswered, severity) in [
        (7, Severity::Ok),
        (8, Severity::Info),
        (99, Severity::Info),
        (100, Severity::Warning),
    ] {
        let seen = after("syn_recv", |space| {
            sockets(space).states[TcpState::SynRecv.index()].unanswered = unanswered;
        });
        assert_eq!(seen.severity, severity, "{unanswered}: {seen:?}");
    }
}

#[test]
fn places_for_time_wait_run_out() {
    for (time_wait, orphans, severity) in [
        (899, 0, Severity::Ok),
        (900, 0, Severity::Warning),
        (500, 400, Severity::Warning), // an orphaned FIN_WAIT2 takes a place too
    ] {
        let seen = after("tcp_max_tw_buckets", |space| {
            let states = &mut sockets(space).states;
            states[TcpState::TimeWait.index()].sockets = time_wait;
            states[TcpState::FinWait2.index()].minis = orphans;
        });
        assert_eq!(
            seen.severity, severity,
            "{time_wait} and {orphans}: {seen:?}"
        );
    }
}

#[test]
fn many_time_waits_are_a_note_never_a_warning() {
    let seen = after("time_wait", |space| {
        sockets(space).states[TcpState::TimeWait.index()].sockets = 18_000;
        let measured = space.measured.as_mut().unwrap();
        let state = &mut measured.states[TcpState::TimeWait.index()];
        state.entered = 1_500;
        state.holders = vec![held(Some(7), 18_000)];
    });
    assert_eq!(
        (seen.severity, &*seen.headline),
        (Severity::Info, "18,000 sockets in TIME_WAIT")
    );
    assert_eq!(seen.details[0], "300.0 a second are added (measured)");
    let few = after("time_wait", |space| {
        sockets(space).states[TcpState::TimeWait.index()].sockets = 999;
    });
    assert_eq!(few.severity, Severity::Ok);
}

#[test]
fn close_wait_names_the_process_that_does_not_close() {
    let leak = |holders: &[(Option<u32>, u64)], lasting: u64| {
        after("close_wait", |space| {
            sockets(space).states[TcpState::CloseWait.index()].lasting = lasting;
            let measured = space.measured.as_mut().unwrap();
            let state = &mut measured.states[TcpState::CloseWait.index()];
            state.holders = holders
                .iter()
                .map(|(pid, sockets)| held(*pid, *sockets))
                .collect();
        })
    };
    let seen = leak(&[(Some(4711), 12)], 12);
    assert_eq!(seen.severity, Severity::Warning);
    assert_eq!(
        seen.headline,
        "12 sockets in CLOSE_WAIT, quiet for 5 s or more"
    );
    assert_eq!(
        seen.details[1],
        "leaky[4711] /usr/bin/leaky --now: 12 sockets, oldest at least 65 s; peers 10.0.0.9 (12) and 3 more"
    );
    assert_eq!(leak(&[(Some(4711), 9)], 9).severity, Severity::Info);
    let many_with_few = [(Some(1), 5), (Some(2), 4), (Some(3), 4)];
    assert_eq!(leak(&many_with_few, 13).severity, Severity::Info);
    let seen = leak(&[(None, 12)], 12);
    assert_eq!(seen.severity, Severity::Warning);
    assert!(
        seen.details[1].starts_with("no known process: 12"),
        "{seen:?}"
    );
    assert_eq!(leak(&[], 0).severity, Severity::Ok);
    let in_use = leak(&[(Some(4711), 12)], 0); // long half closed, but this end still sends
    assert_eq!(in_use.severity, Severity::Ok);
    let unmeasured = after("close_wait", |space| {
        space.measured = None;
        sockets(space).states[TcpState::CloseWait.index()].lasting = 10;
    });
    assert_eq!(unmeasured.severity, Severity::Warning);
}

#[test]
fn peers_that_do_not_answer_are_a_pile_if_they_are_many_and_a_share() {
    for (id, state, few) in [
        ("fin_wait1", TcpState::FinWait1, Severity::Ok),
        ("last_ack", TcpState::LastAck, Severity::Ok),
        ("syn_sent", TcpState::SynSent, Severity::Info),
        ("established", TcpState::Established, Severity::Ok),
    ] {
        for (unanswered, others, severity) in [
            (0, 0, Severity::Ok),
            (9, 0, few),
            (10, 0, Severity::Warning),
            (10, 190, Severity::Warning),
            (10, 191, Severity::Info), // not one in twenty
        ] {
            let seen = after(id, |space| {
                let all = sockets(space);
                all.states = Default::default();
                all.states[TcpState::Closing.index()].sockets = others;
                let state = &mut all.states[state.index()];
                state.sockets = unanswered;
                state.unanswered = unanswered;
                state.peers = vec![([10, 0, 0, 9].into(), unanswered)];
            });
            assert_eq!(
                seen.severity, severity,
                "{id} {unanswered} of {others}: {seen:?}"
            );
            let named = seen
                .details
                .iter()
                .any(|detail| detail.contains("10.0.0.9"));
            assert_eq!(named, severity > Severity::Ok, "{seen:?}");
        }
    }
}

#[test]
fn half_closed_connections_that_a_process_holds() {
    for (lasting, orphans, severity) in [
        (0, 0, Severity::Ok),
        (1, 0, Severity::Info),
        (99, 0, Severity::Info),
        (100, 0, Severity::Warning),
        (0, 5_000, Severity::Info), // the kernel ends those
    ] {
        let seen = after("fin_wait2", |space| {
            let state = &mut sockets(space).states[TcpState::FinWait2.index()];
            (state.sockets, state.lasting, state.orphans) = (lasting + orphans, lasting, orphans);
        });
        assert_eq!(seen.severity, severity, "{lasting} and {orphans}: {seen:?}");
    }
}

#[test]
fn idle_connections_without_keepalive() {
    for (idle, all, severity) in [
        (1, 5_000, Severity::Info),
        (999, 999, Severity::Info),
        (1_000, 2_000, Severity::Warning),
        (1_000, 2_001, Severity::Info),
    ] {
        let seen = after("established", |space| {
            let state = &mut sockets(space).states[TcpState::Established.index()];
            (state.sockets, state.idle, state.unanswered) = (all, idle, 0);
        });
        assert_eq!(seen.severity, severity, "{idle} of {all}: {seen:?}");
    }
}

#[test]
fn the_same_in_several_namespaces_is_one_finding_and_warnings_come_first() {
    let mut second = healthy();
    second.netns = 2;
    let mut third = healthy();
    third.netns = 3;
    third
        .settings
        .0
        .insert("tcp_syncookies".to_owned(), "0".to_owned());
    let report = examine(&[healthy(), second, third]);
    let first = &report.findings[0];
    assert_eq!(
        (first.rule.id, first.seen.severity),
        ("tcp_syncookies", Severity::Warning)
    );
    let places: Vec<u32> = first.places.iter().map(|place| place.netns).collect();
    assert_eq!(places, [3]);
    assert_eq!(report.findings.len(), rules().count() + 1);
}
