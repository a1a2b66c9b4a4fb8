//! `cargo xtask test`: every test.
use std::process::ExitCode;

use crate::{command, e2e, setup};

/// Unit and property tests, then the end-to-end tests. A failing stage ends it, so that the last lines name what failed.
pub(crate) fn job() -> anyhow::Result<ExitCode> {
    setup::for_testing()?;
    // The end-to-end tests need root and the optimised binary: `e2e` runs them.
    let mut unit = command::cargo()?;
    unit.args([
        "test",
        "--workspace",
        "--exclude",
        "tcpstate-tests",
        "--features",
        "xtask/manual",
        "--locked",
        "--no-fail-fast",
    ]);
    let status = command::status(&mut unit)?;
    if !status.success() {
        return Ok(command::exit_code(status));
    }
    e2e::job(&[])
}
