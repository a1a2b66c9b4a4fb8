//! `cargo xtask deny`: what we depend upon, held against deny.toml by cargo-deny.
use std::process::ExitCode;

use crate::{command, setup};

/// Licences, sources and duplicates, which the lock file and the crates tell; on demand what others have found since.
pub(crate) fn job(advisories: bool) -> anyhow::Result<ExitCode> {
    setup::for_deny()?;
    let mut deny = command::tool("cargo-deny")?;
    deny.args(["--locked", "--workspace", "check", "--deny", "warnings"]);
    deny.args(["bans", "licenses", "sources"]);
    if advisories {
        deny.arg("advisories");
    }
    command::run(&mut deny)?;
    Ok(ExitCode::SUCCESS)
}
