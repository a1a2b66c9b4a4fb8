//! `cargo xtask run -- ARGS`: builds, then becomes tcpstate.
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::{build, command};

/// Returns only if tcpstate cannot be started: as it takes our place, its exit status and its Ctrl-C are its own.
pub(crate) fn job(args: &[OsString]) -> anyhow::Result<ExitCode> {
    let binary = build::release()?;
    let error = command::as_root(&binary)?.args(args).exec();
    Err(error).with_context(|| format!("cannot run {}", binary.display()))
}
