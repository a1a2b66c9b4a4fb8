//! Where things are: the root of the workspace and cargo's target directory.
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the workspace")
}

/// Cargo's target directory: `target`, or what `CARGO_TARGET_DIR` says.
pub(crate) fn target_dir() -> anyhow::Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        // Relative to where the user called cargo, which is not where the jobs call it.
        Some(dir) => {
            std::path::absolute(&dir).with_context(|| format!("CARGO_TARGET_DIR={}", dir.display()))
        }
        None => Ok(root().join("target")),
    }
}

/// The project's own tools. The build script of `tcpstate` looks for bpf-linker here, whatever `CARGO_TARGET_DIR` says.
pub(crate) fn tools() -> PathBuf {
    root().join("target/tools")
}
