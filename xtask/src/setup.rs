//! `cargo xtask setup`: installs what is missing, each job asking for what it needs.
//!
//! Nothing missing means nothing printed, and a fraction of a second: the checks look at files, and ask rustc who it is.
mod linker;
mod packages;
mod rust;
mod tools;

use std::process::ExitCode;

pub(crate) use rust::Rustc;

/// The browser without a screen: program and Debian package.
pub(crate) const BROWSER: &str = "chromium-headless-shell";

/// All of it, and says so.
pub(crate) fn everything() -> anyhow::Result<ExitCode> {
    for_linting()?;
    for_testing()?;
    println!("setup: everything is in place");
    Ok(ExitCode::SUCCESS)
}

/// What compiles the kernel side: the nightly toolchain with the sources of `core`, and bpf-linker.
pub(crate) fn for_building() -> anyhow::Result<()> {
    rust::nightly(&[rust::SOURCES])?;
    linker::install()
}

/// What the tests start, besides what building needs.
pub(crate) fn for_testing() -> anyhow::Result<()> {
    for_building()?;
    packages::install(&packages::FOR_TESTING, "the tests")
}

/// A Prometheus server and its promtool, besides what the tests need.
pub(crate) fn for_prometheus() -> anyhow::Result<()> {
    for_testing()?;
    packages::install(
        &[("prometheus", "prometheus"), ("promtool", "prometheus")],
        "the tests with Prometheus",
    )
}

/// What virtual machines need, besides what building needs: static binaries, the emulator, what unpacks kernel modules.
pub(crate) fn for_machines(target: &str, emulator: (&str, &str)) -> anyhow::Result<()> {
    for_building()?;
    rust::target(target)?;
    let programs = [
        emulator,
        ("depmod", "kmod"),
        ("xz", "xz-utils"),
        ("zstd", "zstd"),
    ];
    packages::install(&programs, "the virtual machines")
}

/// What a package is made with, besides what building needs: static binaries, cargo-deb, what takes symbols off.
pub(crate) fn for_packaging(target: &str) -> anyhow::Result<()> {
    for_building()?;
    rust::target(target)?;
    tools::install(tools::DEB)?;
    packages::install(&[("strip", "binutils")], "the package")
}

/// What makes a Debian system.
pub(crate) fn for_debian() -> anyhow::Result<()> {
    packages::install(
        &[("debootstrap", "debootstrap"), ("mke2fs", "e2fsprogs")],
        "the Debian system",
    )
}

/// What judges dependencies.
pub(crate) fn for_deny() -> anyhow::Result<()> {
    tools::install(tools::DENY)
}

/// What fuzz targets are built with, besides what building needs: libFuzzer is C++.
pub(crate) fn for_fuzzing() -> anyhow::Result<()> {
    for_building()?;
    tools::install(tools::FUZZ)?;
    packages::install(&[("c++", "g++")], "the fuzz targets")
}

/// A Zabbix server with its database and frontend, and an agent, besides what building needs.
pub(crate) fn for_zabbix() -> anyhow::Result<()> {
    for_building()?;
    packages::install(&packages::FOR_ZABBIX, "the Zabbix server")
}

/// What shows a page.
pub(crate) fn for_pages() -> anyhow::Result<()> {
    packages::install(&[(BROWSER, BROWSER)], "the check of the report's page")
}

/// Formatter and clippy, besides what building needs (clippy runs the build scripts).
pub(crate) fn for_linting() -> anyhow::Result<()> {
    rust::default_toolchain(&[rust::RUSTFMT, rust::CLIPPY])?;
    rust::nightly(&[rust::SOURCES, rust::CLIPPY])?;
    linker::install()
}
