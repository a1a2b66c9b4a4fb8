//! `count --live --json`: the tracker's own counts at a moment of the test's choice.
use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

use crate::{
    Run, Tool, host, privilege,
    sockets::{self, ByState},
    tool,
};

/// How far the tool may be behind: what belongs together follows within this long, and is waited for. ns
const SETTLE_NS: u64 = 200_000_000;

/// The tool, running.
pub struct Live {
    tool: Tool,
}

/// What it showed once.
#[derive(Debug)]
pub struct Moment {
    /// When, monotonic.
    pub mono_ns: u64,
    /// Live sockets by state.
    pub counts: ByState,
    /// Drift by state that the last reconciliation found; `None` before the first.
    pub drift: Option<BTreeMap<String, i64>>,
}

impl Live {
    /// Starts it for the sockets whose local ports are in `ports`.
    ///
    /// # Panics
    /// It does not get ready.
    #[must_use]
    pub fn start(ports: &str, reconcile: &str) -> Self {
        Self::start_with(&["--reconcile", reconcile, "-L", ports])
    }

    /// The same with options of the caller's choice.
    ///
    /// # Panics
    /// It does not get ready.
    #[must_use]
    pub fn start_with(options: &[&str]) -> Self {
        Self::launch(tool::command(&[]), options)
    }

    /// The same by a command line of the caller's, without its words.
    ///
    /// # Panics
    /// It does not get ready.
    #[must_use]
    pub fn launch(mut command: Command, options: &[&str]) -> Self {
        privilege::demand();
        command.args([
            "count",
            "--live",
            "0.1",
            "--json",
            "--all-netns",
            "--summary",
        ]);
        command.args(options);
        let tool = Tool::launch(command);
        tool.await_ready();
        Self { tool }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.tool.pid()
    }

    /// The tool itself.
    #[must_use]
    pub fn tool(&self) -> &Tool {
        &self.tool
    }

    /// What it shows of now.
    ///
    /// # Panics
    /// It shows nothing.
    #[must_use]
    pub fn now(&self) -> Moment {
        let now_ns = host::now_ns() + SETTLE_NS;
        self.wait_for("its counts", |moment| moment.mono_ns >= now_ns)
    }

    /// Waits for a moment that `wanted` picks.
    ///
    /// # Panics
    /// It does not come.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Moment) -> bool) -> Moment {
        let text = self.tool.wait_for(what, |text| wanted(&Moment::read(text)));
        Moment::read(&text)
    }

    /// Ends it.
    ///
    /// # Panics
    /// It does not end.
    pub fn stop(self) -> Run {
        self.tool.stop()
    }
}

impl Moment {
    fn read(text: &str) -> Self {
        let object: Value =
            serde_json::from_str(text).unwrap_or_else(|error| panic!("no object: {error}: {text}"));
        let counts = sockets::none()
            .into_keys()
            .map(|state| {
                let count = object[&state].as_u64();
                let count = count.unwrap_or_else(|| panic!("no count of {state}: {text}"));
                (state, count)
            })
            .collect();
        let drift = serde_json::from_value(object["drift"].clone())
            .unwrap_or_else(|error| panic!("drift: {error}: {text}"));
        Self {
            mono_ns: object["mono_ns"].as_u64().expect("a time"),
            counts,
            drift,
        }
    }

    /// Checks that a reconciliation has found the counts right.
    ///
    /// # Panics
    /// It has not, or there was none.
    pub fn assert_no_drift(&self) {
        let drift = self.drift.as_ref().expect("a reconciliation");
        assert!(drift.values().all(|drift| *drift == 0), "{self:#?}");
    }
}
