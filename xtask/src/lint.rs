//! `cargo xtask lint`: formatting, clippy on both sides, documentation.
use std::process::ExitCode;

use crate::{command, setup};

/// Each check in turn, the quickest first.
pub(crate) fn job() -> anyhow::Result<ExitCode> {
    setup::for_linting()?;
    command::run(command::cargo()?.args(["fmt", "--all", "--check"]))?;
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    command::run(command::cargo()?.args(clippy))?;
    // On the host the programs are an empty main: only this run sees them.
    command::run(command::cargo()?.args([
        "+nightly",
        "clippy",
        "--locked",
        "-p",
        "tcpstate-ebpf",
        "--bins",
        "--target",
        "bpfel-unknown-none",
        "-Zbuild-std=core",
        "--",
        "-D",
        "warnings",
    ]))?;
    let doc = [
        "doc",
        "--workspace",
        "--no-deps",
        "--locked",
        "--document-private-items",
    ];
    command::run(
        command::cargo()?
            .args(doc)
            .env("RUSTDOCFLAGS", "-Dwarnings"),
    )?;
    Ok(ExitCode::SUCCESS)
}
