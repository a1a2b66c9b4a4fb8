//! `cargo xtask dist`: what is given to others, in `target/dist`: a static binary and a Debian package.
//!
//! static binary, manual and completions, notices of the linked crates → cargo-deb → the package, its debug symbols
mod notices;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context as _;

use crate::vm::{binaries, matrix};
use crate::{command, setup, workspace};

/// Makes them and says where they are.
pub(crate) fn job() -> anyhow::Result<ExitCode> {
    let made = make()?;
    println!("{}\n{}", made.binary.display(), made.package.display());
    Ok(ExitCode::SUCCESS)
}

/// What was made.
pub(crate) struct Made {
    /// The static binary, without debug information.
    pub(crate) binary: PathBuf,
    /// The Debian package.
    pub(crate) package: PathBuf,
}

/// Builds everything for the kind of machine that we run on.
pub(crate) fn make() -> anyhow::Result<Made> {
    let matrix = matrix::Matrix::read()?;
    let machine = matrix.machine(matrix::Arch::ours()?)?;
    setup::for_packaging(&machine.target)?;

    let built = binaries::tool(machine)?;
    // cargo-deb looks for what the manifest calls target/release beside the binary.
    let parts = built
        .parent()
        .context("a binary is in a folder")?
        .join("manual");
    manual(&parts)?;
    notices::write(&parts.join("THIRD-PARTY"), &machine.target)?;

    let folder = workspace::target_dir()?.join("dist");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let binary = folder.join("tcpstate");
    let mut strip = Command::new("strip");
    command::run(strip.arg("-o").arg(&binary).arg(&built))?;
    Ok(Made {
        binary,
        package: package(&folder, &machine.target)?,
    })
}

/// Manual pages and completions, by a program of their own: it needs the tool's library, which xtask itself does not.
fn manual(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let mut manual = command::cargo()?;
    manual.args(["run", "--quiet", "--locked", "-p", "xtask"]);
    manual.args(["--features", "manual", "--bin", "manual", "--"]);
    command::run(manual.arg(folder))?;
    // As Debian has them; without the time of day, so that a build can be repeated.
    let pages = fs::read_dir(folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|kind| kind == "1"));
    command::output(Command::new("gzip").args(["-9", "--no-name"]).args(pages))?;
    Ok(())
}

/// The package, with the debug symbols in one of their own.
fn package(folder: &Path, target: &str) -> anyhow::Result<PathBuf> {
    let mut deb = command::tool("cargo-deb")?;
    deb.args([
        "--no-build",
        "--locked",
        "-p",
        "tcpstate",
        "--target",
        target,
    ]);
    deb.args(["--dbgsym", "--quiet", "--output"]).arg(folder);
    command::run(&mut deb)?;
    let mut packages = fs::read_dir(folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()));
    packages
        .find(|path| path.extension().is_some_and(|kind| kind == "deb"))
        .context("cargo-deb has made no package")
}
