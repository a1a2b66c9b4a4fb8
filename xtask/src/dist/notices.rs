//! The notices of the crates that are linked into the binary and into the programs in the kernel: their licences ask that
//! these go with every copy.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::command;

/// How the files begin that are notices.
const NOTICES: [&str; 6] = [
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

/// `cargo metadata`, as far as we need it.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
    /// Null for our own.
    source: Option<String>,
}

/// Writes them all into one file: first which crate has which licence, then each text once, with those that carry it.
pub(super) fn write(path: &Path, target: &str) -> anyhow::Result<()> {
    let mut names = linked("tcpstate", target)?;
    names.extend(linked("tcpstate-ebpf", "all")?); // it is built for no target that cargo can be asked about here
    let mut metadata = command::cargo()?;
    metadata.args(["metadata", "--format-version", "1", "--locked"]);
    let metadata: Metadata = serde_json::from_str(&command::output(&mut metadata)?)
        .context("cannot understand cargo's metadata")?;
    let packages: Vec<&Package> = metadata
        .packages
        .iter()
        .filter(|package| package.source.is_some())
        .filter(|package| names.contains(&format!("{} v{}", package.name, package.version)))
        .collect();

    let mut text = String::from("Crates that are linked into tcpstate, and their notices.\n\n");
    let mut notices: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let license = package.license.as_deref().unwrap_or("see below");
        let crate_name = format!("{} {}", package.name, package.version);
        writeln!(text, "{crate_name}: {license}")?;
        let folder = package
            .manifest_path
            .parent()
            .context("a manifest is in a folder")?;
        for notice in of_folder(folder)? {
            notices.entry(notice).or_default().push(crate_name.clone());
        }
    }
    for (notice, crates) in notices {
        write!(
            text,
            "\n{}\n{}\n\n{notice}\n",
            "=".repeat(80),
            crates.join(", ")
        )?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The crates that go into the product, as `name vVERSION`: neither build scripts nor macros are part of it.
fn linked(package: &str, target: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut tree = command::cargo()?;
    tree.args(["tree", "--locked", "-p", package, "--target", target]);
    tree.args([
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let tree = command::output(&mut tree)?;
    // `name v1.2.3`, and for our own crates the path after it.
    let name = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    Ok(tree.lines().map(name).collect())
}

/// The texts of the notices in a crate's folder.
fn of_folder(folder: &Path) -> anyhow::Result<Vec<String>> {
    let what = || format!("cannot read {}", folder.display());
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).with_context(what)? {
        let entry = entry.with_context(what)?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if NOTICES.iter().any(|notice| name.starts_with(notice)) && entry.path().is_file() {
            let text = fs::read_to_string(entry.path()).with_context(what)?;
            texts.push(text.trim().replace("\r\n", "\n"));
        }
    }
    Ok(texts)
}
