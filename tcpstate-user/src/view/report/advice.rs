//! What the rules of `doctor` say about the namespace that was measured. A recording has no settings and no counters, so
//! it gives no advice.
use serde::Serialize;

use crate::{
    doctor::{self, collect::Subject, finding::Finding},
    sink::Output,
    tcp::Transition,
    view::{Moment, View as _, doctor::Watch},
};

/// Gathers evidence beside the report.
pub struct Advice {
    subject: Subject,
    watch: Watch,
}

/// One finding of a rule.
#[derive(Clone, Debug, Serialize)]
pub(super) struct AdviceFindings {
    pub(super) rule: &'static str,
    pub(super) severity: &'static str,
    pub(super) headline: String,
    /// Numbers, each with where it comes from. Untrusted.
    pub(super) seen: Vec<String>,
    pub(super) why: &'static str,
    pub(super) advice: &'static str,
    pub(super) avoid: &'static str,
    pub(super) reference: &'static str,
}

impl Advice {
    /// Advice about a namespace of this host.
    #[must_use]
    pub fn about(subject: Subject) -> Self {
        let watch = Watch::new([subject.inode()]);
        Self { subject, watch }
    }

    pub(super) fn transition(&mut self, seq: u64, transition: &Transition, output: &mut Output) {
        self.watch.transition(seq, transition, output);
    }

    /// What there is to say: nothing of what is as it should be. `None` where the namespace is gone.
    pub(super) fn findings(
        &mut self,
        moment: &mut Moment<'_>,
        output: &mut Output,
    ) -> Option<Vec<AdviceFindings>> {
        self.watch.finish(moment, output);
        let mut missing = Vec::new();
        let mut space = self.subject.space(true, &mut missing).ok()?;
        self.watch.complete(&mut space);
        for what in missing {
            log::info!("advice: {what}");
        }
        let report = doctor::examine(&[space]);
        let worth = |finding: &&Finding| finding.seen.severity > doctor::finding::Severity::Ok;
        Some(report.findings.iter().filter(worth).map(advice).collect())
    }
}

fn advice(finding: &Finding) -> AdviceFindings {
    let rule = finding.rule;
    AdviceFindings {
        rule: rule.id,
        severity: finding.seen.severity.name(),
        headline: finding.seen.headline.clone(),
        seen: finding.seen.details.clone(),
        why: rule.why,
        advice: rule.advice,
        avoid: rule.avoid,
        reference: rule.reference,
    }
}
