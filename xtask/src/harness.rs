//! `cargo xtask bench` and `soak`: the optimised binary, watched as root by a harness of package tests/.
use std::ffi::OsString;
use std::process::ExitCode;

use crate::{build, command, setup, workspace};

/// Builds both, then runs the harness called `name`; the arguments are its own.
pub(crate) fn job(name: &str, args: &[OsString]) -> anyhow::Result<ExitCode> {
    setup::for_building()?;
    let binary = build::release()?;
    let build = ["build", "--locked", "-p", "tcpstate-tests", "--bin", name];
    command::run(command::cargo()?.args(build))?;
    let mut variable = OsString::from("TCPSTATE_BIN=");
    variable.push(binary);
    // Through `env`, because sudo drops most variables.
    let mut harness = command::as_root("env")?;
    harness
        .arg(variable)
        .arg(workspace::target_dir()?.join("debug").join(name))
        .args(args);
    Ok(command::exit_code(command::status(&mut harness)?))
}
