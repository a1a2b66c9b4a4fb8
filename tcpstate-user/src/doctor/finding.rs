//! What a rule is, and what it finds.
use super::evidence::Space;

/// How much a finding matters. The order is that of importance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Looked at, and nothing to say.
    Ok,
    /// Worth knowing; nothing is wrong.
    Info,
    /// Something is wrong, or about to be.
    Warning,
}

impl Severity {
    /// The word every output uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Warning => "warning",
        }
    }
}

/// A rule: a setting or a symptom, with today's truth about it.
#[derive(Debug)]
pub struct Rule {
    /// Name, for machines and for looking it up.
    pub id: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What to do.
    pub advice: &'static str,
    /// What not to do.
    pub avoid: &'static str,
    /// Where it is written: an RFC with its section, or a document of the kernel.
    pub reference: &'static str,
    /// Looks at the evidence; `None` where that does not suffice to judge.
    pub look: fn(&Space) -> Option<Seen>,
}

/// What a rule saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How much it matters.
    pub severity: Severity,
    /// In one line.
    pub headline: String,
    /// Numbers, each with where it comes from. Untrusted names in it are escaped.
    pub details: Vec<String>,
}

impl Seen {
    /// Something is wrong.
    pub(super) fn warning(headline: impl Into<String>) -> Self {
        Self::new(Severity::Warning, headline)
    }

    /// Something is worth knowing.
    pub(super) fn info(headline: impl Into<String>) -> Self {
        Self::new(Severity::Info, headline)
    }

    /// All is well.
    pub(super) fn ok(headline: impl Into<String>) -> Self {
        Self::new(Severity::Ok, headline)
    }

    fn new(severity: Severity, headline: impl Into<String>) -> Self {
        Self {
            severity,
            headline: headline.into(),
            details: Vec::new(),
        }
    }

    /// With one more detail.
    pub(super) fn with(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// With more details.
    pub(super) fn with_all(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }
}

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Place {
    /// Its inode.
    pub netns: u32,
    /// What `ip netns` calls it.
    pub name: Option<String>,
}

/// What a rule found, and where.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// What it saw.
    pub seen: Seen,
    /// The namespaces in which it saw just that.
    pub places: Vec<Place>,
}

/// What all rules found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Warnings first.
    pub findings: Vec<Finding>,
    /// Rules for which the evidence did not suffice, and where.
    pub not_judged: Vec<(&'static Rule, Vec<Place>)>,
}
