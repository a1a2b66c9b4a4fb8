//! `cargo xtask build`: the optimised binary.
use std::path::PathBuf;
use std::process::ExitCode;

use crate::{command, setup, workspace};

/// Builds and says where the binary is.
pub(crate) fn job() -> anyhow::Result<ExitCode> {
    println!("{}", release()?.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the optimised binary, kernel side included, and returns its path.
pub(crate) fn release() -> anyhow::Result<PathBuf> {
    setup::for_building()?;
    command::run(command::cargo()?.args(["build", "--release", "--locked", "-p", "tcpstate"]))?;
    Ok(workspace::target_dir()?.join("release/tcpstate"))
}
