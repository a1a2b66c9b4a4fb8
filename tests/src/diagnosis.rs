//! `doctor --json`: what it finds in a namespace.
use serde::Deserialize;
use serde_json::Value;

use crate::{Namespace, Run, Tool, privilege, tool};

/// What `doctor` says.
#[derive(Debug, Deserialize)]
pub struct Diagnosis {
    /// `null` where no probe was tried.
    pub tier: Option<String>,
    /// How many findings are warnings.
    pub warnings: usize,
    /// What the rules found.
    pub findings: Vec<Finding>,
    /// What could not be looked at.
    pub missing: Vec<String>,
    /// What the rules looked at.
    pub evidence: Vec<Value>,
}

/// What a rule found.
#[derive(Debug, Deserialize)]
#[expect(missing_docs, reason = "docs/doctor.md says what they are")]
pub struct Finding {
    pub id: String,
    pub severity: String,
    pub headline: String,
    pub seen: Vec<String>,
    pub netns: Vec<Place>,
}

/// Where it found that.
#[derive(Debug, Deserialize)]
pub struct Place {
    /// Inode of the namespace.
    pub netns: u32,
}

/// Starts `doctor` in the namespace for a time, and waits until it measures.
///
/// # Panics
/// It does not get ready.
#[must_use]
pub fn begin(ns: &Namespace, duration: &str) -> Tool {
    privilege::demand();
    let inode = ns.inode().to_string();
    Tool::start(&["doctor", "--json", "-N", &inode, "-d", duration])
}

/// What `doctor` says of the namespace, measured for a time.
///
/// # Panics
/// It fails.
#[must_use]
pub fn of(ns: &Namespace, duration: &str) -> Diagnosis {
    Diagnosis::read(&begin(ns, duration).finish())
}

/// What it says without a measurement.
///
/// # Panics
/// It fails.
#[must_use]
pub fn at_once(ns: &Namespace) -> Diagnosis {
    let inode = ns.inode().to_string();
    Diagnosis::read(&tool::run(tool::command(&[
        "doctor",
        "--json",
        "--no-measure",
        "-N",
        &inode,
    ])))
}

impl Diagnosis {
    /// Reads the output of a run.
    ///
    /// # Panics
    /// It failed, or its output is something else.
    #[must_use]
    pub fn read(run: &Run) -> Self {
        run.assert_status(0);
        let [object] = &run.stdout[..] else {
            panic!("one line: {run:#?}")
        };
        let found: Self = serde_json::from_str(object).expect("an object");
        let warnings = found.findings.iter();
        let warnings = warnings.filter(|finding| finding.severity == "warning");
        assert_eq!(warnings.count(), found.warnings, "{found:#?}");
        found
    }

    /// What a rule found.
    ///
    /// # Panics
    /// It did not judge.
    #[must_use]
    pub fn of(&self, id: &str) -> &Finding {
        self.findings
            .iter()
            .find(|finding| finding.id == id)
            .unwrap_or_else(|| panic!("{id} does not judge: {self:#?}"))
    }

    /// Checks how much a rule makes of it, and what it says in one line.
    ///
    /// # Panics
    /// It is something else.
    pub fn assert(&self, id: &str, severity: &str, headline: &str) -> &Finding {
        let finding = self.of(id);
        assert_eq!(finding.severity, severity, "{finding:#?}");
        assert!(finding.headline.contains(headline), "{finding:#?}");
        finding
    }
}

impl Finding {
    /// Checks that a detail has these words in it, and returns it.
    ///
    /// # Panics
    /// None has.
    pub fn assert_seen(&self, words: &str) -> &str {
        self.seen
            .iter()
            .find(|detail| detail.contains(words))
            .unwrap_or_else(|| panic!("'{words}' is not seen: {self:#?}"))
    }
}
