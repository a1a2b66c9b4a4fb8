//! Cargo's own helpers, as the project's own copies in `target/tools`.
use anyhow::Context as _;

use crate::{command, workspace};

/// Name and version.
pub(super) type Tool = (&'static str, &'static str);

/// Makes Debian packages.
pub(super) const DEB: Tool = ("cargo-deb", "3.8.0");
/// Judges dependencies.
pub(super) const DENY: Tool = ("cargo-deny", "0.20.2");

/// Builds fuzz targets.
pub(super) const FUZZ: Tool = ("cargo-fuzz", "0.13.2");

/// Installs the tool if it is missing or has another version.
pub(super) fn install((name, version): Tool) -> anyhow::Result<()> {
    let tools = workspace::tools();
    // Cargo's own note of what it installed there, read as text.
    let note = std::fs::read_to_string(tools.join(".crates2.json")).unwrap_or_default();
    if tools.join("bin").join(name).is_file() && note.contains(&format!("\"{name} {version} ")) {
        return Ok(());
    }
    eprintln!("setup: installing {name} {version} into target/tools (takes some minutes)");
    let mut install = command::cargo()?;
    install
        .args(["install", name, "--version", version])
        .args(["--locked", "--force", "--root", "target/tools"])
        // Cargo builds it in a temporary directory then, and leaves none of its objects in ours.
        .env_remove("CARGO_TARGET_DIR");
    command::run(&mut install).with_context(|| {
        format!("cannot install {name} {version}; try by hand, in the root, what failed")
    })
}
