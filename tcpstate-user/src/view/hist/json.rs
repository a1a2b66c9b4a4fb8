//! `hist` as JSON: one object an interval, with each state's figures and its histogram.
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Serializer as _, V2DeflateSerializer},
};
use serde_json::{Map, Value, json};

use super::{By, Holders, Open, groups::Group};
use crate::{
    dwell::{Dwell, Stays},
    places::Places,
    sink::{
        WallClock,
        json::{self, Rfc3339, SCHEMA},
    },
    tcp::TcpState,
    tracker::StillOpen,
    view::holders::Holder,
};

/// Time and length of an interval, as every object has them.
pub(super) fn head(clock: &mut WallClock, now_ns: u64, span_ns: u64) -> Map<String, Value> {
    let (second, nanos) = clock.rfc3339(now_ns);
    let time = Rfc3339 { second, nanos }.to_string();
    let fields = [
        ("v", json!(SCHEMA)),
        ("time", json!(time)),
        ("mono_ns", json!(now_ns)),
        ("span_ns", json!(span_ns)),
        ("unit", json!("us")),
    ];
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// Appends the object of `states` with its newline.
pub(super) fn write(
    out: &mut Vec<u8>,
    mut object: Map<String, Value>,
    states: &[TcpState],
    dwell: &Dwell,
    open: &Open<'_>,
) {
    let states: Map<String, Value> = states
        .iter()
        .map(|state| {
            let mut figures = figures(dwell.stays(*state), open.sockets[state.index()]);
            figures["open"]["holders"] = holders(&open.holders[state.index()], open.places);
            (state.name().to_owned(), figures)
        })
        .collect();
    object.insert("states".to_owned(), states.into());
    line(out, &object);
}

/// Appends the object of groups with its newline.
pub(super) fn write_groups(
    out: &mut Vec<u8>,
    mut object: Map<String, Value>,
    by: By,
    groups: &[Group<'_>],
) {
    let groups: Vec<Value> = groups
        .iter()
        .map(|group| {
            let mut figures = figures(group.stays, group.open);
            figures["state"] = json!(group.state.name());
            figures["key"] = json!(group.key.map(|key| key.to_string()));
            figures["other"] = json!(group.is_other);
            if by == By::Transition {
                figures["open"] = Value::Null; // where an open socket goes next is not known
            }
            figures
        })
        .collect();
    object.insert("by".to_owned(), json!(by.name()));
    object.insert("groups".to_owned(), groups.into());
    line(out, &object);
}

fn line(out: &mut Vec<u8>, object: &Map<String, Value>) {
    json::write(out, object);
    out.push(b'\n');
}

fn figures(stays: &Stays, open: StillOpen) -> Value {
    let (histogram, outliers) = (stays.histogram(), stays.outliers());
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

/// Who holds the sockets that are still open, the most first; `null` for a process that is not known.
fn holders(holders: &Holders, places: &Places) -> Value {
    let holder = |holder: &Holder| {
        let owner = holder.owner;
        json!({
            "sockets": holder.open.sockets,
            "oldest_ns": holder.open.oldest_ns.filter(|_| holder.open.unknown_age == 0),
            "oldest_at_least_ns": holder.open.oldest_ns,
            "pid": owner.map(|owner| owner.pid),
            "uid": owner.map(|owner| owner.uid),
            "comm": owner.map(|owner| String::from_utf8_lossy(owner.comm.bytes()).into_owned()),
            "owner_source": owner.map(|owner| owner.source.name()),
            "command_line": owner.and_then(|owner| places.command_line(owner.pid)),
            "peers": holder.peers.iter().map(|(peer, sockets)| json!({ "raddr": peer, "sockets": sockets })).collect::<Vec<_>>(),
            "peers_in_all": holder.peers_in_all,
        })
    };
    holders.first.iter().map(holder).collect()
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
