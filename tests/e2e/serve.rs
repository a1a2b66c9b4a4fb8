//! `serve`: what `/metrics` shows is what the traffic did, in both text formats; what is not known is not there.
use std::{
    collections::BTreeMap,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    time::Instant,
};

use nix::{
    errno::Errno,
    sys::socket::{SockaddrStorage, connect},
};

use tcpstate_tests::{
    Namespace, PATIENCE, Pair, Samples, Served, endpoint, host, http, poll_until, tool,
    traffic::{self, V4},
};

const LISTENER: u16 = 26_000;
/// Nobody listens here.
const DEAF: u16 = 26_001;
const FIRST_CLIENT: u16 = 26_100;

/// Known traffic in a namespace.
struct Traffic {
    listener: TcpListener,
    next_port: u16,
}

impl Traffic {
    fn new() -> Self {
        Self {
            listener: endpoint::listener(SocketAddr::new(V4, LISTENER), 16),
            next_port: FIRST_CLIENT,
        }
    }

    fn local(&mut self) -> SocketAddr {
        self.next_port += 1;
        SocketAddr::new(V4, self.next_port)
    }

    fn pair(&mut self) -> Pair {
        let client = endpoint::connected(self.local(), traffic::address(&self.listener));
        let (server, _) = self.listener.accept().expect("accepting");
        for stream in [&client, &server] {
            stream
                .set_read_timeout(Some(PATIENCE))
                .expect("a stream takes a time limit");
        }
        Pair { client, server }
    }

    fn refused(&mut self) {
        let socket = endpoint::bound(self.local());
        let to = SockaddrStorage::from(SocketAddr::new(V4, DEAF));
        assert_eq!(connect(socket.as_raw_fd(), &to), Err(Errno::ECONNREFUSED));
    }
}

/// Closes one end, then the other; the first keeps its full socket until it has seen the second.
fn close(first: TcpStream, second: TcpStream) {
    first.shutdown(Shutdown::Write).expect("closing one way");
    traffic::await_end(&second);
    drop(second);
    traffic::await_end(&first);
}

/// The tool, following this namespace alone: neither its scrapes nor other tests get between.
fn start(ns: &Namespace, more: &[&str]) -> Served {
    Served::start(&[&["-N", &ns.inode().to_string()], more].concat())
}

fn labels<'a>(pairs: &[(&'a str, f64)]) -> BTreeMap<&'a str, f64> {
    pairs.iter().copied().collect()
}

#[test]
fn the_metrics_are_what_the_traffic_did() {
    let ns = Namespace::new();
    let served = start(&ns, &[]);
    let begun = Instant::now();
    let mut traffic = ns.run(Traffic::new);
    let mut pair = || ns.run(|| traffic.pair());
    for _ in 0..5 {
        let pair = pair();
        close(pair.client, pair.server);
    }
    for _ in 0..3 {
        let pair = pair();
        close(pair.server, pair.client);
    }
    pair().reset_by_client();
    let open = pair();
    let half = pair();
    half.client
        .shutdown(Shutdown::Write)
        .expect("closing one way");
    traffic::await_end(&half.server);
    for _ in 0..2 {
        ns.run(|| traffic.refused());
    }

    // The FIN of the half-closed one is acknowledged last, by the delayed-ACK timer.
    let samples = poll_until("the last of the traffic", || {
        let samples = served.scrape();
        let seen = samples.of("tcpstate_sockets{state=\"fin_wait2\"}");
        (seen == 1.0).then_some(samples).ok_or(format!("{seen}"))
    });
    let elapsed = begun.elapsed().as_secs_f64();
    let transitions = labels(&[
        ("from=\"close\",to=\"listen\"}", 1.0),
        ("from=\"close\",to=\"syn_sent\"}", 13.0),
        ("from=\"close_wait\",to=\"last_ack\"}", 8.0),
        ("from=\"established\",to=\"close\"}", 2.0),
        ("from=\"established\",to=\"close_wait\"}", 9.0),
        ("from=\"established\",to=\"fin_wait1\"}", 9.0),
        ("from=\"fin_wait1\",to=\"fin_wait2\"}", 9.0),
        ("from=\"fin_wait2\",to=\"time_wait\"}", 8.0),
        ("from=\"last_ack\",to=\"close\"}", 8.0),
        ("from=\"listen\",to=\"syn_recv\"}", 11.0),
        ("from=\"syn_recv\",to=\"established\"}", 11.0),
        ("from=\"syn_sent\",to=\"close\"}", 2.0),
        ("from=\"syn_sent\",to=\"established\"}", 11.0),
    ]);
    assert_eq!(samples.nonzero("tcpstate_transitions_total{"), transitions);
    let sockets = labels(&[
        ("state=\"close_wait\"}", 1.0),
        ("state=\"established\"}", 2.0),
        ("state=\"fin_wait2\"}", 1.0),
        ("state=\"listen\"}", 1.0),
        ("state=\"time_wait\"}", 8.0),
    ]);
    assert_eq!(samples.nonzero("tcpstate_sockets{"), sockets);
    let ended = labels(&[
        ("state=\"established\",reason=\"aborted\"}", 1.0),
        ("state=\"established\",reason=\"reset\"}", 1.0),
        ("state=\"syn_sent\",reason=\"refused\"}", 2.0),
    ]);
    assert_eq!(samples.nonzero("tcpstate_ended_total{"), ended);
    let stays = labels(&[
        ("state=\"close_wait\"}", 8.0),
        ("state=\"established\"}", 20.0),
        ("state=\"fin_wait1\"}", 9.0),
        ("state=\"fin_wait2\"}", 8.0),
        ("state=\"last_ack\"}", 8.0),
        ("state=\"syn_recv\"}", 11.0),
        ("state=\"syn_sent\"}", 13.0),
    ]);
    assert_eq!(samples.nonzero("tcpstate_dwell_seconds_count{"), stays);
    for (state, count) in stays {
        let sum = samples.of(&format!("tcpstate_dwell_seconds_sum{{{state}"));
        assert!(sum > 0.0 && sum < elapsed * count, "{state} {sum}");
        let state = state.trim_end_matches('}');
        let below = |bound: &str| {
            samples.of(&format!(
                "tcpstate_dwell_seconds_bucket{{{state},le=\"{bound}\"}}"
            ))
        };
        assert_eq!((below("60"), below("+Inf")), (count, count), "{state}");
    }
    for state in [
        "close_wait",
        "established",
        "fin_wait2",
        "listen",
        "time_wait",
    ] {
        let oldest = samples.of(&format!("tcpstate_oldest_seconds{{state=\"{state}\"}}"));
        assert!(oldest > 0.0 && oldest < elapsed, "{state} {oldest}");
    }
    assert_eq!(samples.nonzero("tcpstate_lost_total{"), labels(&[]));

    // Nothing goes back, and what has not happened since stands still.
    drop((open, half));
    let later = poll_until("the end of all connections", || {
        let later = served.scrape();
        let left = later.of("tcpstate_sockets{state=\"established\"}");
        (left == 0.0).then_some(later).ok_or(format!("{left}"))
    });
    for (series, value) in &samples.0 {
        if series.contains("_total") || series.starts_with("tcpstate_dwell") {
            assert!(later.of(series) >= *value, "{series}");
        }
    }
    served.stop().assert_summary();
}

#[test]
fn both_formats_show_the_same() {
    let served = Served::start(&[]);
    let plain = http::get(served.address, "/metrics", &[]);
    let media = plain.field("content-type").unwrap_or_default();
    assert!(media.starts_with("text/plain; version=0.0.4"), "{media}");
    let open = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let open = http::get(served.address, "/metrics", &[open]);
    let media = open.field("content-type").unwrap_or_default();
    let expected = "application/openmetrics-text; version=1.0.0";
    assert!(media.starts_with(expected), "{media}");
    assert!(open.body.ends_with("\n# EOF\n"), "{}", open.body);
    let series = |text: &str| -> Vec<String> {
        // Which states have an oldest socket may change between two scrapes, as each is a connection itself.
        let series = Samples::read(text).0.into_keys();
        series
            .filter(|series| !series.starts_with("tcpstate_oldest_seconds"))
            // A bound is a number in one format, and one with a point in the other.
            .map(|series| series.replace(".0\"}", "\"}"))
            .collect()
    };
    let (plain, mut open) = (series(&plain.body), series(&open.body));
    open.sort();
    let mut sorted = plain.clone();
    sorted.sort();
    assert_eq!(sorted, open);
    served.stop().assert_summary();
}

#[test]
fn what_is_not_known_is_not_there() {
    let ns = Namespace::new();
    let mut traffic = ns.run(Traffic::new);
    let before = ns.run(|| traffic.pair());
    let served = start(&ns, &["--reconcile", "2s"]);
    let first = served.scrape();
    assert!(!first.has("tcpstate_count_drift"), "{first:#?}");
    assert!(!first.has("tcpstate_bpf_runs_total"), "{first:#?}");
    assert!(!first.has("tcpstate_bpf_run_seconds_total"), "{first:#?}");
    let states = |samples: &Samples| -> Vec<String> {
        let oldest = samples.0.keys();
        let oldest = oldest.filter_map(|series| series.strip_prefix("tcpstate_oldest_seconds"));
        oldest.map(str::to_owned).collect()
    };
    assert_eq!(
        states(&first),
        ["{state=\"established\"}", "{state=\"listen\"}"]
    );

    // A stay that was not seen from its beginning is in no histogram.
    close(before.client, before.server);
    let left = "tcpstate_transitions_total{from=\"last_ack\",to=\"close\"}";
    let samples = poll_until("the end of the connection", || {
        let samples = served.scrape();
        let seen = samples.of(left);
        (seen == 1.0).then_some(samples).ok_or(format!("{seen}"))
    });
    let count = |state: &str| {
        samples.of(&format!(
            "tcpstate_dwell_seconds_count{{state=\"{state}\"}}"
        ))
    };
    assert_eq!((count("established"), count("close_wait")), (0.0, 1.0));

    let reconciled = poll_until("a reconciliation", || {
        let samples = served.scrape();
        let there = samples.has("tcpstate_count_drift");
        there.then_some(samples).ok_or("no drift".to_owned())
    });
    let drift = reconciled.0.keys();
    let drift = drift.filter(|series| series.starts_with("tcpstate_count_drift{"));
    assert_eq!(drift.count(), 10);
    assert_eq!(reconciled.nonzero("tcpstate_count_drift"), labels(&[]));
    served.stop().assert_summary();
}

#[test]
fn the_cost_of_each_program() {
    let ns = Namespace::new();
    let served = start(&ns, &["--bpf-stats"]);
    let runs = "tcpstate_bpf_runs_total{program=\"inet_sock_set_state\"}";
    let before = served.scrape().of(runs);
    let mut traffic = ns.run(Traffic::new);
    let pair = ns.run(|| traffic.pair());
    close(pair.client, pair.server);
    let after = served.scrape();
    // A listener opens; each end takes five steps that the tracepoint tells of; others of the host may run too.
    assert!(after.of(runs) >= before + 11.0, "{after:#?}");
    let seconds = "tcpstate_bpf_run_seconds_total{program=\"inet_sock_set_state\"}";
    assert!(after.of(seconds) > 0.0, "{after:#?}");
    served.stop().assert_summary();
}

#[test]
fn the_ports_that_one_destination_takes() {
    let ns = Namespace::new();
    let served = ns.run(|| {
        host::set("ip_local_port_range", "30000 30099");
        host::set("ip_local_reserved_ports", "30010-30019");
        Served::start(&[])
    });
    let address = served.address;
    let listener = ns.run(|| traffic::listen(V4));
    let to = traffic::address(&listener);
    let there: Vec<Pair> = (0..7)
        .map(|_| ns.run(|| traffic::connect_to(to, &listener)))
        .collect();
    let used = "tcpstate_ephemeral_ports{kind=\"max_used_per_destination\"}";
    let samples = poll_until("seven ports in use", || {
        let samples = ns.run(|| Samples::scrape(address));
        let seen = samples.of(used);
        // The scrapes' own connections, closed by the server, leave their TIME_WAIT on its side.
        (seen == 7.0).then_some(samples).ok_or(format!("{seen}"))
    });
    let range = samples.of("tcpstate_ephemeral_ports{kind=\"range\"}");
    assert_eq!(range, 90.0);
    drop(there);
    served.stop().assert_summary();
}

#[test]
fn other_paths_and_methods() {
    let served = Served::start(&[]);
    let get = |path: &str| http::get(served.address, path, &[]);
    let health = get("/healthz");
    assert_eq!((health.status, &*health.body), (200, "ok\n"));
    let page = get("/");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("href=\"/metrics\""), "{}", page.body);
    assert_eq!(get("/metrics/").status, 404);
    assert_eq!(get("/metrics?name[]=x").status, 200);
    let ask = |method| http::ask(served.address, method, "/metrics", &[]).expect("an answer");
    let refused = ask("POST");
    assert_eq!(
        (refused.status, refused.field("allow")),
        (405, Some("GET, HEAD"))
    );
    let head = ask("HEAD");
    assert_eq!((head.status, &*head.body), (200, ""));
    served.stop().assert_summary();
}

#[test]
fn an_address_that_is_taken_is_one_clear_line() {
    let served = Served::start(&[]);
    let address = served.address.to_string();
    let run = tool::run(tool::command(&["serve", "--listen", &address]));
    run.assert_status(1);
    let [line] = &run.stderr[..] else {
        panic!("{run:#?}")
    };
    let begin = format!("tcpstate: listening at {address}: Address already in use");
    assert!(line.starts_with(&begin), "{line}");
    assert!(
        line.contains("; choose another") && line.contains("--listen"),
        "{line}"
    );
    assert_eq!(run.stdout, [""; 0]);
    served.stop().assert_summary();
    let bad: [&[&str]; 5] = [
        &["--listen", "9817"],
        &["--listen", "localhost:9817"],
        &["--buckets", "1,1"],
        &["--raw"],
        &["--from-state", "LISTEN"],
    ];
    for options in bad {
        let run = tool::run(tool::command(&[&["serve"], options].concat()));
        run.assert_status(2);
    }
}
