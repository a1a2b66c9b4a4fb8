//! `cargo xtask prometheus`: `serve` with a real Prometheus server and promtool, its rules and its dashboard.
use std::process::ExitCode;

use crate::{e2e, setup};

/// Installs Prometheus if it is missing, and runs the tests that need it.
pub(crate) fn job() -> anyhow::Result<ExitCode> {
    setup::for_prometheus()?;
    let targets = ["--features", "prometheus", "--test", "prometheus"];
    e2e::run(&targets, &["--nocapture".to_owned()])
}
