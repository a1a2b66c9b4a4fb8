//! `doctor`: findings first, as text or JSON; then the plan of probes, and what cannot be measured because of it.
mod json;
mod plan;
mod text;
mod watch;

pub use self::watch::Watch;
use crate::{
    doctor::{evidence::Space, finding::Report},
    source::kernel::Plan,
};

/// Everything that `doctor` shows.
pub struct Shown<'a> {
    /// What the rules found.
    pub report: &'a Report,
    /// What they looked at.
    pub spaces: &'a [Space],
    /// What could not be looked at, and why.
    pub missing: &'a [String],
    /// The plan of probes; `None` where it was not tried.
    pub plan: Option<&'a Plan>,
}

impl Shown<'_> {
    /// Appends all of it as text for a terminal, with colours.
    pub fn text(&self, out: &mut Vec<u8>) {
        text::write(out, self);
    }

    /// Appends all of it as one JSON object on one line.
    pub fn json(&self, out: &mut Vec<u8>) {
        json::write(out, self);
    }
}

/// Appends the plan of probes alone, each probe in a line.
pub fn plan_text(out: &mut Vec<u8>, plan: &Plan) {
    plan::text(out, plan);
}

/// Appends the plan of probes alone, as one JSON object on one line.
pub fn plan_json(out: &mut Vec<u8>, plan: &Plan) {
    json::line(out, plan::json(Some(plan)));
}
