//! The plan of probes as `doctor` shows it: each probe, and what cannot be measured because of it.
use std::io::Write as _;

use serde_json::{Map, Value, json};

use crate::source::kernel::{Plan, Probe, Tier};

/// What a tier means for the numbers.
fn meaning(tier: Tier) -> &'static str {
    match tier {
        Tier::Fentry => "every state as ss shows it, each moment seen as it happens",
        Tier::Tracepoint => {
            "every state as ss shows it; not told apart: why a TIME_WAIT was not made (tw_overflow), why a half-open connection was dropped early"
        }
        Tier::None => {
            "full sockets only: TIME_WAIT, orphaned FIN_WAIT2 and half-open SYN_RECV cannot be measured"
        }
    }
}

/// Appends the whole plan as text.
pub(super) fn text(out: &mut Vec<u8>, plan: &Plan) {
    // Writing to a vector cannot fail, here and below.
    let _ = writeln!(out, "tier: {}: {}\n", plan.tier, meaning(plan.tier));
    let _ = writeln!(
        out,
        "{:<22} {:<30} {:<11} STATUS",
        "PROBE", "ATTACHES TO", "TIER"
    );
    let _ = writeln!(
        out,
        "{:<22} {:<30} {:<11} attached",
        "inet_sock_set_state", "sock:inet_sock_set_state", "both"
    );
    for probe in &plan.probes {
        let status = status(plan, probe);
        let _ = writeln!(
            out,
            "{:<22} {:<30} {:<11} {status}",
            probe.program, probe.target, probe.tier
        );
    }
    let missing: Vec<&Probe> = missing(plan).collect();
    if !missing.is_empty() {
        let _ = writeln!(out, "\nnot measurable:");
        for probe in missing {
            let _ = writeln!(out, "  {} (no {})", probe.without, probe.target);
        }
    }
}

/// Appends what the plan means, without the probes one by one.
pub(super) fn in_short(out: &mut Vec<u8>, plan: &Plan) {
    let lines = textwrap::wrap(meaning(plan.tier), 72);
    let _ = writeln!(out, "probes: {} tier:", plan.tier);
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
    for probe in missing(plan) {
        let _ = writeln!(out, "  not measurable: {}", probe.without);
    }
    let _ = writeln!(out, "  (each probe: tcpstate doctor --probes)");
}

/// The plan as members of a JSON object; `null` and empty where it was not tried.
pub(super) fn json(plan: Option<&Plan>) -> Map<String, Value> {
    let probe = |probe: &Probe| {
        json!({
            "program": probe.program,
            "target": probe.target,
            "tier": probe.tier.to_string(),
            "attached": probe.refused.is_none(),
            "refused": probe.refused,
            "gives": probe.without,
        })
    };
    let probes: Vec<Value> =
        plan.map_or_else(Vec::new, |plan| plan.probes.iter().map(probe).collect());
    let without: Vec<&str> = plan.map_or_else(Vec::new, |plan| {
        missing(plan).map(|probe| probe.without).collect()
    });
    let tier = plan.map(|plan| plan.tier.to_string());
    Map::from_iter([
        ("tier".to_owned(), json!(tier)),
        ("probes".to_owned(), json!(probes)),
        ("not_measurable".to_owned(), json!(without)),
    ])
}

/// Probes whose absence is felt: those of the tier that works, or of every tier if none does.
fn missing(plan: &Plan) -> impl Iterator<Item = &Probe> {
    plan.probes.iter().filter(|probe| {
        probe.refused.is_some() && (probe.tier == plan.tier || plan.tier == Tier::None)
    })
}

fn status(plan: &Plan, probe: &Probe) -> String {
    match &probe.refused {
        None => "attached".to_owned(),
        Some(why) if probe.tier == plan.tier => format!("missing: {why}"),
        Some(why) => format!("refused: {why}"),
    }
}
