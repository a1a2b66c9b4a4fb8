//! What runs in a guest: static executables of the tool, of its tests and its soak, and of the guest's init.
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use serde::Deserialize;

use super::Suite;
use super::matrix::Machine;
use crate::command;

/// Each test target is an executable of its own: optimising each as a whole takes minutes, and its debug information
/// makes the archive, which every guest unpacks, several times as large. Backtraces keep their names.
const QUICKLY: [&str; 4] = [
    "--config",
    "profile.release.lto=false",
    "--config",
    "profile.release.debug=false",
];

/// How the names of test targets begin that need programs of a host; a guest has none.
const HOST_ONLY: &str = "host_";
/// Test targets of what is shown, not of what is measured, which is the same on every kernel; and one that loads every CPU
/// for longer than an emulated one has time. The host's kernel has to do.
const SURFACES: [&str; 9] = [
    "formats",
    "journal",
    "names",
    "owners_load",
    "record",
    "report",
    "serve",
    "slow_clients",
    "top",
];

/// The test target of what waits for hours …
const HOURS: [&str; 5] = ["--features", "hours", "--test", "hours", "--no-run"];
/// … and those of what happens to a whole machine.
const FAULTS: [&str; 7] = [
    "--features",
    "faults",
    "--test",
    "faults",
    "--test",
    "faults_lockdown",
    "--no-run",
];

/// Where cargo has put them.
pub(super) struct Binaries {
    /// The tool.
    pub(super) tool: PathBuf,
    /// PID 1.
    pub(super) init: PathBuf,
    /// The tests: the name of each target, and its executable.
    pub(super) tests: Vec<(String, PathBuf)>,
}

/// Builds them, with the tests of that suite.
pub(super) fn build(machine: &Machine, suite: Suite) -> anyhow::Result<Binaries> {
    let targets: &[&str] = match suite {
        Suite::Everywhere => &["--no-run"],
        Suite::Hours => &HOURS,
        Suite::Faults => &FAULTS,
    };
    let tests = ["test", "-p", "tcpstate-tests"];
    let tests = cargo(machine, &[&tests, targets].concat(), &QUICKLY)?;
    Ok(Binaries {
        tool: tool(machine)?,
        init: init(machine)?,
        tests: tests
            .into_iter()
            .filter(|artifact| artifact.profile.test)
            .filter(|artifact| !artifact.target.name.starts_with(HOST_ONLY))
            .filter(|artifact| !SURFACES.contains(&artifact.target.name.as_str()))
            .filter_map(|artifact| Some((artifact.target.name, artifact.executable?)))
            .collect(),
    })
}

/// Builds the tool as it is given to others, and returns its path.
pub(crate) fn tool(machine: &Machine) -> anyhow::Result<PathBuf> {
    let build = ["build", "-p", "tcpstate", "--bin", "tcpstate"];
    one(cargo(machine, &build, &[])?, "tcpstate")
}

/// Builds PID 1.
pub(crate) fn init(machine: &Machine) -> anyhow::Result<PathBuf> {
    harness(machine, "init")
}

/// Builds what `cargo xtask soak` runs.
pub(super) fn soak(machine: &Machine) -> anyhow::Result<PathBuf> {
    harness(machine, "soak")
}

/// Builds a program of the tests' package.
fn harness(machine: &Machine, name: &str) -> anyhow::Result<PathBuf> {
    let build = ["build", "-p", "tcpstate-tests", "--bin", name];
    one(cargo(machine, &build, &QUICKLY)?, name)
}

/// Builds the tests that need systemd, and returns their executable.
pub(crate) fn of_systemd(machine: &Machine) -> anyhow::Result<PathBuf> {
    let build = ["test", "--no-run", "-p", "tcpstate-tests"];
    let only = ["--features", "systemd", "--test", "systemd"];
    one(
        cargo(machine, &[&build[..], &only].concat(), &QUICKLY)?,
        "systemd",
    )
}

fn one(artifacts: Vec<Artifact>, name: &str) -> anyhow::Result<PathBuf> {
    // The library of the tool has its name, too.
    artifacts
        .into_iter()
        .filter(|artifact| artifact.target.name == name)
        .find_map(|artifact| artifact.executable)
        .with_context(|| format!("cargo has built no executable `{name}`"))
}

/// What cargo says of a thing that it has built, as far as we need it.
#[derive(Deserialize)]
struct Artifact {
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    CompilerArtifact(Artifact),
    #[serde(other)]
    Other,
}

fn cargo(machine: &Machine, words: &[&str], settings: &[&str]) -> anyhow::Result<Vec<Artifact>> {
    let mut cargo = command::cargo()?;
    cargo
        .args(words)
        .args(settings)
        .args(["--release", "--locked", "--target", &machine.target])
        .arg("--message-format=json-render-diagnostics");
    // The machine's own linker does not know a foreign architecture; the one that comes with Rust does.
    let variable = machine.target.to_uppercase().replace('-', "_");
    cargo.env(format!("CARGO_TARGET_{variable}_LINKER"), "rust-lld");
    run(&mut cargo)?
        .lines()
        .map(|line| serde_json::from_str(line).context("cannot understand cargo's messages"))
        .filter_map(|message| match message {
            Ok(Message::CompilerArtifact(artifact)) => Some(Ok(artifact)),
            Ok(Message::Other) => None,
            Err(error) => Some(Err(error)),
        })
        .collect()
}

/// Its messages are taken, and its progress and errors shown.
fn run(cargo: &mut Command) -> anyhow::Result<String> {
    eprintln!("$ {}", command::shown(cargo));
    let output = cargo
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run `{}`", command::shown(cargo)))?;
    anyhow::ensure!(
        output.status.success(),
        "`{}` failed: {}",
        command::shown(cargo),
        output.status
    );
    String::from_utf8(output.stdout).context("cargo does not print UTF-8")
}
