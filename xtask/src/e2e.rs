//! `cargo xtask e2e`: the end-to-end tests, as root, on the optimised binary.
use std::process::{Command, ExitCode};

use crate::{build, command, setup};

/// Runs the tests whose names contain one of `filter`, or all.
pub(crate) fn job(filter: &[String]) -> anyhow::Result<ExitCode> {
    setup::for_testing()?;
    run(&["--tests", "--no-fail-fast"], filter)
}

/// Builds the optimised binary, then runs those of the `targets` (arguments of `cargo test`) as [`job`] does.
pub(crate) fn run(targets: &[&str], filter: &[String]) -> anyhow::Result<ExitCode> {
    let binary = build::release()?;
    let mut tests = command::cargo()?;
    tests
        .args(["test", "--locked", "-p", "tcpstate-tests"])
        .args(targets)
        .arg("--");
    // One at a time: the tests share the kernel, and many of them its counters.
    tests
        .arg("--test-threads=1")
        .args(filter)
        .env("TCPSTATE_BIN", &binary);
    if !command::is_root()? {
        // Cargo itself stays an ordinary user, so that nothing in the target directory belongs to root.
        tests.env(runner_variable()?, "sudo -E");
    }
    Ok(command::exit_code(command::status(&mut tests)?))
}

/// The variable that tells cargo through which program to start this host's executables.
fn runner_variable() -> anyhow::Result<String> {
    let host = setup::Rustc::of(&mut Command::new("rustc"))?.host;
    Ok(format!(
        "CARGO_TARGET_{}_RUNNER",
        host.to_uppercase().replace('-', "_")
    ))
}
