//! A stay of known length, as `trace` and `hist` measure it.
use std::{
    ops::RangeInclusive,
    thread::sleep,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::{Histogram, serialization::Deserializer};
use nix::sys::signal::Signal;
use serde_json::Value;
use tcpstate_tests::{
    Namespace, Pair, Tool,
    traffic::{self, V4},
};

const STAY: Duration = Duration::from_millis(300);
/// How wrong a stay of [`STAY`] may be measured.
const TOLERANCE: Duration = Duration::from_millis(20);

/// The server stays in `CLOSE_WAIT`; returns how long in ns. A busy machine makes the stay longer than was asked for,
/// and that longer stay is what has to be measured: it lies between these two.
fn stay_in_close_wait(pair: Pair) -> RangeInclusive<u64> {
    let before = Instant::now();
    drop(pair.client); // CLOSE_WAIT begins here, or a little later
    traffic::await_end(&pair.server);
    let begun = Instant::now();
    sleep(STAY);
    let least = begun.elapsed();
    drop(pair.server);
    let most = before.elapsed();
    let ns = |duration: Duration| u64::try_from(duration.as_nanos()).expect("a short time");
    ns(least)..=ns(most.min(least + TOLERANCE))
}

#[test]
fn trace_measures_close_wait() {
    let ns = Namespace::new();
    let tool = Tool::trace(&[]);
    let listener = ns.run(|| traffic::listen(V4));
    let truth = stay_in_close_wait(ns.run(|| traffic::connect(&listener)));
    let line = tool.wait_for_edge(ns.inode(), "CLOSE_WAIT->LAST_ACK");
    let dwell_ns = line.dwell_ns.expect("its start was seen");
    assert!(truth.contains(&dwell_ns), "{dwell_ns} is not in {truth:?}");
    tool.stop().assert_summary();
}

#[test]
fn hist_measures_close_wait() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let port = traffic::address(&listener).port().to_string();
    let tool = Tool::start(&["hist", "--json", "--state", "close-wait", "-L", &port]);
    let truth = stay_in_close_wait(ns.run(|| traffic::connect(&listener)));
    let run = tool.stop();
    run.assert_summary();
    let [text] = &run.stdout[..] else {
        panic!("one object at the end: {run:#?}")
    };
    let object: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!((&object["v"], &object["unit"]), (&1.into(), &"us".into()));
    let states = object["states"].as_object().expect("states");
    assert_eq!(states.keys().collect::<Vec<_>>(), ["CLOSE_WAIT"]);
    let figures = &states["CLOSE_WAIT"];

    assert_eq!(figures["count"], 1, "{text}");
    assert_eq!(figures["outliers"], 0, "{text}");
    assert_eq!(figures["open"]["sockets"], 0, "{text}");
    let histogram = decoded(&figures["hdr"]);
    assert_eq!(histogram.len(), 1);
    assert_eq!(histogram.sigfig(), 3);
    for (name, recorded) in [
        ("min", histogram.min()),
        ("p50", histogram.value_at_quantile(0.5)),
        ("p90", histogram.value_at_quantile(0.9)),
        ("p99", histogram.value_at_quantile(0.99)),
        ("p999", histogram.value_at_quantile(0.999)),
        ("max", histogram.max()),
    ] {
        let shown = figures[name].as_u64().expect("a number");
        assert_eq!(shown, recorded, "{name} is not the histogram's: {text}");
        // Three significant digits: what is recorded may be wrong by a thousandth.
        let (least, most) = (truth.start() / 1000, truth.end() / 1000);
        let range = least - least / 1000..=most + most / 1000;
        assert!(range.contains(&shown), "{name} {shown} is not in {range:?}");
    }
}

fn decoded(base64: &Value) -> Histogram<u64> {
    let bytes = STANDARD
        .decode(base64.as_str().expect("base64"))
        .expect("base64");
    Deserializer::new()
        .deserialize(&mut &bytes[..])
        .expect("an HdrHistogram V2")
}

/// What is still in a state is shown apart from finished stays.
#[test]
fn hist_shows_who_is_still_there() {
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let port = traffic::address(&listener).port().to_string();
    let tool = Tool::start(&["hist", "--json", "-L", &port]);
    let pair = ns.run(|| traffic::connect(&listener));
    tool.signal(Signal::SIGTERM);
    let run = tool.finish();
    drop(pair);
    run.assert_summary();
    let object: Value = serde_json::from_str(&run.stdout[0]).expect("JSON");
    let established = &object["states"]["ESTABLISHED"];
    assert_eq!(established["count"], 0, "{established}");
    assert_eq!(established["open"]["sockets"], 1, "{established}");
    assert_eq!(established["open"]["unknown_age"], 0, "{established}");
    assert!(established["open"]["oldest_ns"].is_u64(), "{established}");
    // The listener was there before: at least so old.
    let listen = &object["states"]["LISTEN"];
    assert_eq!(listen["open"]["unknown_age"], 1, "{listen}");
    assert!(listen["open"]["oldest_ns"].is_null(), "{listen}");
    assert!(listen["open"]["oldest_at_least_ns"].is_u64(), "{listen}");
}
