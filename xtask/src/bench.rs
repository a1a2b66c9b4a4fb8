//! `cargo xtask bench`: what the optimised binary costs, measured as root by the harness in tests/bench.
use std::ffi::OsString;
use std::process::ExitCode;

use crate::{build, command, setup, workspace};

/// Builds both, then measures; the arguments are the harness's own.
pub(crate) fn job(args: &[OsString]) -> anyhow::Result<ExitCode> {
    setup::for_building()?;
    let binary = build::release()?;
    command::run(command::cargo()?.args([
        "build",
        "--locked",
        "-p",
        "tcpstate-tests",
        "--bin",
        "bench",
    ]))?;
    let mut variable = OsString::from("TCPSTATE_BIN=");
    variable.push(binary);
    // Through `env`, because sudo drops most variables.
    let mut bench = command::as_root("env")?;
    bench
        .arg(variable)
        .arg(workspace::target_dir()?.join("debug/bench"))
        .args(args);
    Ok(command::exit_code(command::status(&mut bench)?))
}
