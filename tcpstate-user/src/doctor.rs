//! `doctor`: what the kernel's settings and counters, the sockets there are and a short measurement say about the TCP of
//! a host, and what to do about it.
//!
//! Rules are data and pure functions over [`evidence`]; only [`collect`] looks at the host. Each group of rules is a
//! table in a file of its own.
pub mod collect;
pub mod evidence;
pub mod finding;
mod listen;
mod pileup;
mod ports;
mod retries;
#[cfg(test)]
mod tests;
mod timewait;
mod words;

use self::{
    evidence::Space,
    finding::{Finding, Place, Report, Rule, Severity},
};

/// Every rule, in the order in which findings of the same severity are shown.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    [
        pileup::RULES,
        listen::RULES,
        ports::RULES,
        timewait::RULES,
        retries::RULES,
    ]
    .into_iter()
    .flatten()
}

/// Asks every rule about every namespace: warnings first. The same finding in several namespaces is one.
#[must_use]
pub fn examine(spaces: &[Space]) -> Report {
    let mut report = Report::default();
    for rule in rules() {
        let first = report.findings.len();
        let mut silent = Vec::new();
        for space in spaces {
            let place = Place {
                netns: space.netns,
                name: space.name.clone(),
            };
            let Some(seen) = (rule.look)(space) else {
                silent.push(place);
                continue;
            };
            let same = report.findings[first..]
                .iter_mut()
                .find(|finding| finding.seen == seen);
            match same {
                Some(same) => same.places.push(place),
                None => report.findings.push(Finding {
                    rule,
                    seen,
                    places: vec![place],
                }),
            }
        }
        if !silent.is_empty() {
            report.not_judged.push((rule, silent));
        }
    }
    report
        .findings
        .sort_by_key(|finding| std::cmp::Reverse(finding.seen.severity));
    report
}

impl Report {
    /// Whether something is wrong.
    #[must_use]
    pub fn has_warning(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.seen.severity == Severity::Warning)
    }
}
