//! A minute of steady traffic: what Prometheus makes of the metrics agrees with the tool's own numbers, and every rule and
//! every expression of the dashboard has data.
use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicBool, Ordering},
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use serde_json::Value;
use tcpstate_tests::{
    Namespace, Pair, Samples, Served, Tool, endpoint,
    traffic::{self, V4},
};

use crate::{
    contrib,
    server::{Sample, Server},
};

/// Ports of the traffic.
const PORTS: &str = "26000-29999";
const LISTENER: u16 = 26_000;
const FIRST_CLIENT: u16 = 26_100;
const LAST_CLIENT: u16 = 29_999;
/// A connection begins this often; none takes the port of one that is still in `TIME_WAIT`.
const BEAT: Duration = Duration::from_millis(40);
/// Each lasts so many beats more than the one before it, up to [`LONGEST`].
const LONGEST: usize = 16;
const WINDOW: Duration = Duration::from_secs(60);
/// Two clocks of a second, Prometheus's scrapes and ours, on a window of a minute.
const TOLERANCE: f64 = 0.05;

/// Stops the traffic, also when an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Connections at a steady beat that live for up to 600 ms and end in turn: closed by the client first, by the server
/// first, thrown away.
fn beat(listener: &TcpListener, stop: &AtomicBool) {
    let to = traffic::address(listener);
    let mut open: Vec<(usize, Pair)> = Vec::new();
    let begun = Instant::now();
    for (number, port) in (FIRST_CLIENT..LAST_CLIENT).enumerate() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let client = endpoint::connected(SocketAddr::new(V4, port), to);
        let (server, _) = listener.accept().expect("accepting");
        open.push((number + number % LONGEST, Pair { client, server }));
        for (_, pair) in open.extract_if(.., |(end, _)| *end <= number) {
            match number % 8 {
                0 => pair.reset_by_client(),
                1..=4 => pair.close_client_first(),
                _ => pair.close_server_first(),
            }
        }
        let next = begun + BEAT * u32::try_from(number + 1).expect("a small number");
        sleep(next.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn prometheus_agrees_with_the_tool_for_a_minute() {
    let ns = Namespace::new();
    let inode = ns.inode().to_string();
    let only = ["-N", &inode, "-L", PORTS]; // neither other tests nor Prometheus's own connection
    let more = ["--bpf-stats", "--reconcile", "5s"];
    let served = ns.run(|| Served::start(&[&only[..], &more].concat()));
    let address = served.address;
    let hist = Tool::start(&[&["hist", "--json", "--summary"], &only[..]].concat());
    let server = Server::start(&ns, address);
    let listener = ns.run(|| endpoint::listener((V4, LISTENER).into(), 64));
    let stop = AtomicBool::new(false);
    let (before, after) = scope(|scope| {
        scope.spawn(|| ns.run(|| beat(&listener, &stop)));
        let _stop = Stop(&stop);
        // The first TIME_WAIT ends after a minute: the window takes in what follows it.
        sleep(WINDOW + Duration::from_secs(10));
        let scrape = || ns.run(|| Samples::scrape(address));
        let before = scrape();
        sleep(WINDOW);
        let after = scrape();
        assert_rates(&server, &before, &after);
        assert_quantiles(&server, &before, &after);
        assert_dashboard(&server);
        assert_rules(&server);
        (before, after)
    });
    assert!(after.0.keys().eq(before.0.keys()), "series came or went");
    assert_eq!(after.nonzero("tcpstate_lost_total"), BTreeMap::new());
    let health = server.query("min_over_time(up[1m])");
    assert!(matches!(&health[..], [(_, up)] if *up == 1.0), "{health:?}");
    let slowest = server.query("max_over_time(scrape_duration_seconds[1m])");
    println!("the slowest scrape of the last minute took {slowest:?}");
    server.stop();
    assert_hist(hist, &before, &after);
    served.stop().assert_summary();
}

/// What a counter has counted in the window.
fn counted(before: &Samples, after: &Samples, series: &str) -> f64 {
    after.of(series) - before.of(series)
}

fn label<'a>(sample: &'a Sample, name: &str) -> &'a str {
    sample.0.get(name).map_or("", String::as_str)
}

fn assert_rates(server: &Server<'_>, before: &Samples, after: &Samples) {
    let mut compared = 0;
    for sample in server.query("rate(tcpstate_transitions_total[1m])") {
        let (from, to) = (label(&sample, "from"), label(&sample, "to"));
        let series = format!("tcpstate_transitions_total{{from=\"{from}\",to=\"{to}\"}}");
        let own = counted(before, after, &series) / WINDOW.as_secs_f64();
        let (_, rate) = sample;
        println!("{from} -> {to}: Prometheus {rate:.3}/s, the tool {own:.3}/s");
        assert!((rate - own).abs() <= own * TOLERANCE + 0.05, "{series}");
        compared += usize::from(own > 1.0);
    }
    // SYN_SENT, ESTABLISHED and SYN_RECV, both closes, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, TIME_WAIT, resets.
    assert!(compared >= 12, "only {compared} edges were taken");
}

/// Where the tool's own counts say that the 99th percentile lies: the bounds of its bucket; of its neighbour as well, if a
/// stay or two more at an end of the window would put it there.
fn p99_bounds(before: &Samples, after: &Samples, state: &str) -> Option<(f64, f64)> {
    let prefix = format!("tcpstate_dwell_seconds_bucket{{state=\"{state}\",le=\"");
    let mut below: Vec<(f64, f64)> = after
        .0
        .keys()
        .filter_map(|series| {
            let bound = series.strip_prefix(&prefix)?.strip_suffix("\"}")?;
            let bound = bound.replace("+Inf", "inf").parse().expect("a bound");
            Some((bound, counted(before, after, series)))
        })
        .collect();
    below.sort_by(|one, other| one.0.total_cmp(&other.0));
    let all = below.last().expect("buckets").1;
    let bucket = |quantile: f64| below.iter().position(|(_, count)| *count >= quantile * all);
    let (first, last) = (bucket(0.985)?, bucket(0.995)?);
    let lower = first.checked_sub(1).map_or(0.0, |index| below[index].0);
    (all > 0.0).then_some((lower, below[last].0))
}

fn assert_quantiles(server: &Server<'_>, before: &Samples, after: &Samples) {
    const P99: &str =
        "histogram_quantile(0.99, sum by (le,state) (rate(tcpstate_dwell_seconds_bucket[1m])))";
    let mut compared = Vec::new();
    for sample in server.query(P99) {
        let state = label(&sample, "state");
        let (_, p99) = sample;
        let Some((lower, upper)) = p99_bounds(before, after, state) else {
            assert!(p99.is_nan(), "{state}: {p99} of nothing");
            continue;
        };
        println!("{state}: Prometheus p99 {p99} s, the tool's in {lower} s to {upper} s");
        assert!(lower <= p99 && p99 <= upper, "{state}: {p99}");
        compared.push(state.to_owned());
    }
    compared.sort();
    let expected = [
        "close_wait",
        "established",
        "fin_wait1",
        "fin_wait2",
        "last_ack",
        "syn_recv",
        "syn_sent",
        "time_wait",
    ];
    assert_eq!(compared, expected);
}

/// `hist`, which has measured the same traffic by itself, finds its 99th percentile in the same bucket.
fn assert_hist(hist: Tool, before: &Samples, after: &Samples) {
    let run = hist.stop();
    let object: Value = serde_json::from_str(&run.stdout[0]).expect("an object");
    for (state, label) in [("ESTABLISHED", "established"), ("TIME_WAIT", "time_wait")] {
        let p99 = object["states"][state]["p99"].as_f64();
        let p99 = p99.unwrap_or_else(|| panic!("no p99 of {state}: {object}")) / 1e6;
        let (lower, upper) = p99_bounds(before, after, label).expect("stays");
        println!("{state}: hist p99 {p99} s, the buckets' in {lower} s to {upper} s");
        assert!(lower <= p99 && p99 <= upper, "{state}: {p99}");
    }
}

fn assert_dashboard(server: &Server<'_>) {
    let text = fs::read_to_string(contrib("grafana-dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().expect("an expression");
            for state in ["established", "time_wait"] {
                let asking = expression
                    .replace("$__rate_interval", "30s")
                    .replace("$__range", "1m")
                    .replace("$instance", ".*")
                    .replace("$job", "tcpstate")
                    .replace("$state", state);
                assert!(!asking.contains('$'), "{asking}");
                let samples = server.query(&asking);
                assert!(!samples.is_empty(), "no data: {asking}");
                asked += 1;
            }
        }
    }
    println!("{asked} expressions of the dashboard have data");
    assert!(asked >= 40, "{asked}");
    for variable in dashboard["templating"]["list"].as_array().expect("a list") {
        let Some(query) = variable["query"]["query"].as_str() else {
            continue;
        };
        let inner = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'));
        let (series, label) = inner
            .and_then(|inner| inner.rsplit_once(", "))
            .expect(query);
        let asking = series
            .replace("$instance", ".*")
            .replace("$job", "tcpstate");
        let values = server.query(&format!("count by ({label}) ({asking})"));
        assert!(!values.is_empty(), "{query}");
    }
}

fn assert_rules(server: &Server<'_>) {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let data = server.api("rules");
    let groups = data["groups"].as_array().expect("groups").iter();
    for rule in groups.flat_map(|group| group["rules"].as_array().expect("rules")) {
        assert_eq!(rule["health"], "ok", "{rule}");
        let kind = rule["type"].as_str().expect("a type");
        *kinds.entry(kind.to_owned()).or_default() += 1;
        if kind == "recording" {
            let name = rule["name"].as_str().expect("a name");
            assert!(!server.query(name).is_empty(), "{name} has no data");
        } else {
            assert_eq!(rule["state"], "inactive", "{rule}");
        }
    }
    assert!(
        kinds["recording"] >= 6 && kinds["alerting"] >= 9,
        "{kinds:?}"
    );
}
