//! `doctor` as JSON: the findings, what they rest on, and the plan of probes.
use serde_json::{Map, Value, json};

use super::{Shown, plan};
use crate::{
    doctor::finding::{Finding, Place, Rule, Severity},
    sink::json::{self, SCHEMA},
};

/// Appends the object with its newline.
pub(super) fn write(out: &mut Vec<u8>, shown: &Shown<'_>) {
    let findings: Vec<Value> = shown.report.findings.iter().map(finding).collect();
    let not_judged: Vec<Value> = shown.report.not_judged.iter().map(not_judged).collect();
    let warnings = shown
        .report
        .findings
        .iter()
        .filter(|finding| finding.seen.severity == Severity::Warning)
        .count();
    let mut object = plan::json(shown.plan);
    let more = [
        ("warnings", json!(warnings)),
        ("findings", json!(findings)),
        ("not_judged", json!(not_judged)),
        ("missing", json!(shown.missing)),
        ("evidence", json!(shown.spaces)),
    ];
    object.extend(more.map(|(key, value)| (key.to_owned(), value)));
    line(out, object);
}

/// Appends an object with the schema's version and a newline.
pub(super) fn line(out: &mut Vec<u8>, mut object: Map<String, Value>) {
    object.insert("v".to_owned(), json!(SCHEMA));
    json::write(out, &object);
    out.push(b'\n');
}

fn finding(finding: &Finding) -> Value {
    let Finding { rule, seen, places } = finding;
    json!({
        "id": rule.id,
        "severity": seen.severity.name(),
        "headline": seen.headline,
        "seen": seen.details,
        "netns": places,
        "why": rule.why,
        "do": rule.advice,
        "avoid": rule.avoid,
        "reference": rule.reference,
    })
}

fn not_judged((rule, places): &(&Rule, Vec<Place>)) -> Value {
    json!({ "id": rule.id, "netns": places })
}
