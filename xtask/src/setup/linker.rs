//! bpf-linker, which turns LLVM bitcode into the BPF object: the project's own copy, in `target/tools`.
use std::path::Path;

use anyhow::Context as _;

use super::rust::{Rustc, nightly_rustc};
use crate::{command, workspace};

/// The last release that works with the LLVM inside rustc; later ones want a system LLVM.
const VERSION: &str = "0.10.4";
/// The LLVM versions that this release knows.
const LLVM: std::ops::RangeInclusive<u32> = 20..=22;

/// Installs bpf-linker if it is missing, has another version, or is made for another LLVM than nightly's.
pub(super) fn install() -> anyhow::Result<()> {
    let llvm = Rustc::of(&mut nightly_rustc())?.llvm;
    anyhow::ensure!(
        LLVM.contains(&llvm),
        "bpf-linker {VERSION} knows LLVM {} to {}, but the nightly toolchain has LLVM {llvm}; \
         install a nightly with one of these and make it the toolchain `nightly`",
        LLVM.start(),
        LLVM.end()
    );
    let feature = format!("rust-llvm-{llvm}");
    let tools = workspace::tools();
    if is_installed(&tools, &feature) {
        return Ok(());
    }
    eprintln!(
        "setup: installing bpf-linker {VERSION} for LLVM {llvm} into target/tools (takes a minute or two)"
    );
    let mut install = command::cargo()?;
    install.args([
        "install",
        "bpf-linker",
        "--version",
        VERSION,
        "--no-default-features",
        "--features",
        &feature,
    ]);
    // Cargo builds it in a temporary directory then, and leaves none of its objects in ours.
    install
        .args(["--locked", "--force", "--root", "target/tools"])
        .env_remove("CARGO_TARGET_DIR");
    command::run(&mut install).with_context(|| {
        format!("cannot install bpf-linker {VERSION}; try by hand, in the root, what failed")
    })
}

/// Cargo's own note of what it installed there. Read as text: a form that we do not know means installing again.
fn is_installed(tools: &Path, feature: &str) -> bool {
    let note = std::fs::read_to_string(tools.join(".crates2.json")).unwrap_or_default();
    tools.join("bin/bpf-linker").is_file() && says(&note, feature)
}

fn says(note: &str, feature: &str) -> bool {
    note.contains(&format!("\"bpf-linker {VERSION} ")) && note.contains(&format!("\"{feature}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_version_for_the_same_llvm_is_installed() {
        let note = r#"{"installs":{"bpf-linker 0.10.4 (…)":{"bins":["bpf-linker"],"features":["rust-llvm-22"]}}}"#;
        assert!(says(note, "rust-llvm-22"));
        assert!(!says(note, "rust-llvm-21"));
        assert!(!says(&note.replace("0.10.4", "0.10.3"), "rust-llvm-22"));
        assert!(!says("", "rust-llvm-22"));
    }
}
