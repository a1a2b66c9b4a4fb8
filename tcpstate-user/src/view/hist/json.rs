//! `hist` as JSON: one object an interval, with each state's figures and its histogram.
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Serializer as _, V2DeflateSerializer},
};
use serde_json::{Map, Value, json};

use crate::{
    sink::{
        WallClock,
        json::{Rfc3339, SCHEMA},
    },
    tcp::TcpState,
    tracker::{Dwell, StillOpen},
};

/// Appends the object with its newline.
pub(super) fn write(
    out: &mut Vec<u8>,
    clock: &mut WallClock,
    now_ns: u64,
    span_ns: u64,
    states: &[TcpState],
    dwell: &Dwell,
    open: &[StillOpen; 12],
) {
    let (second, nanos) = clock.rfc3339(now_ns);
    let time = Rfc3339 { second, nanos }.to_string();
    let states: Map<String, Value> = states
        .iter()
        .map(|state| {
            let figures = figures(
                dwell.histogram(*state),
                dwell.outliers(*state),
                open[state.index()],
            );
            (state.name().to_owned(), figures)
        })
        .collect();
    let object = json!({
        "v": SCHEMA,
        "time": time,
        "mono_ns": now_ns,
        "span_ns": span_ns,
        "unit": "us",
        "states": states,
    });
    let _ = serde_json::to_writer(&mut *out, &object); // a vector does not fail
    out.push(b'\n');
}

fn figures(histogram: &Histogram<u64>, outliers: u64, open: StillOpen) -> Value {
    let known = |value: f64| (!histogram.is_empty()).then_some(value);
    let at = |quantile: f64| (!histogram.is_empty()).then(|| histogram.value_at_quantile(quantile));
    json!({
        "count": histogram.len(),
        "min": (!histogram.is_empty()).then(|| histogram.min()),
        "mean": known(histogram.mean()),
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p999": at(0.999),
        "max": (!histogram.is_empty()).then(|| histogram.max()),
        "outliers": outliers,
        "hdr": encoded(histogram),
        "open": {
            "sockets": open.sockets,
            "unknown_age": open.unknown_age,
            "oldest_ns": open.oldest_ns.filter(|_| open.unknown_age == 0),
            "oldest_at_least_ns": open.oldest_ns,
        },
    })
}

/// HdrHistogram V2, compressed, in base64, as the usual tools read it; `None` if there is nothing in it.
fn encoded(histogram: &Histogram<u64>) -> Option<String> {
    if histogram.is_empty() {
        return None;
    }
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .ok()?;
    Some(STANDARD.encode(bytes))
}
