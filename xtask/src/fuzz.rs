//! `cargo xtask fuzz`: each target of tests/fuzz for a while, from its kept corpus on.
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{fs, io};

use anyhow::{Context as _, bail};

use crate::{command, setup, workspace};

/// An input may be as long as a small recording; one that takes seconds or much memory is a finding.
const LIMITS: [&str; 3] = ["-max_len=16384", "-timeout=20", "-rss_limit_mb=2048"];

/// What is typed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these targets
    targets: Vec<String>,
    /// How long each of them runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Choose changes by this number, so that a run can be had again [default: by the time]
    #[arg(long)]
    seed: Option<u32>,
    /// Then keep what reaches code, in as few inputs as reach it all: changes tests/fuzz/corpus
    #[arg(long)]
    keep: bool,
}

/// Runs the targets one after the other. The first finding ends it, and its input is named.
pub(crate) fn job(args: &Args) -> anyhow::Result<ExitCode> {
    let all = targets()?;
    if let Some(unknown) = args.targets.iter().find(|name| !all.contains(name)) {
        bail!("no fuzz target {unknown}; there are {}", all.join(", "));
    }
    setup::for_fuzzing()?;
    let binaries = build()?;
    let wanted = |name: &&String| args.targets.is_empty() || args.targets.contains(name);
    for target in all.iter().filter(wanted) {
        let target = Target::new(target, &binaries)?;
        target.run(args)?;
        if args.keep {
            target.keep()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Names of the targets: one a file.
fn targets() -> anyhow::Result<Vec<String>> {
    let folder = home().join("targets");
    let mut names = fs::read_dir(&folder)
        .and_then(|files| {
            files
                .map(|file| Ok(file?.path().with_extension("")))
                .collect::<io::Result<Vec<PathBuf>>>()
        })
        .with_context(|| format!("cannot read {}", folder.display()))?
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect::<Vec<_>>();
    names.sort();
    Ok(names)
}

fn home() -> PathBuf {
    workspace::root().join("tests/fuzz")
}

fn work() -> anyhow::Result<PathBuf> {
    Ok(workspace::target_dir()?.join("fuzz"))
}

/// Builds all targets, with the nightly toolchain and cargo-fuzz's sanitizers. Returns where they are. The kernel side is
/// built once, for all, by flags of its own.
fn build() -> anyhow::Result<PathBuf> {
    // cargo-fuzz knows no `--locked`.
    let manifest = "tests/fuzz/Cargo.toml";
    command::run(command::cargo()?.args(["fetch", "--locked", "--manifest-path", manifest]))?;
    let mut build = command::tool("cargo-fuzz")?;
    build
        .args(["build", "--fuzz-dir", "tests/fuzz", "--codegen-units", "16"])
        .arg("--target-dir")
        .arg(work()?)
        .env("RUSTUP_TOOLCHAIN", "nightly")
        .env_remove("CARGO"); // that of the toolchain which built us
    command::run(&mut build)?;
    let host = setup::Rustc::of(&mut Command::new("rustc"))?.host;
    Ok(work()?.join(host).join("release"))
}

/// A target, and where its files are.
struct Target {
    name: String,
    binary: PathBuf,
    /// The corpus that is committed.
    kept: PathBuf,
    /// What has been found on this machine besides.
    grown: PathBuf,
    /// Inputs that failed.
    findings: PathBuf,
}

impl Target {
    fn new(name: &str, binaries: &Path) -> anyhow::Result<Self> {
        let target = Self {
            name: name.to_owned(),
            binary: binaries.join(name),
            kept: home().join("corpus").join(name),
            grown: work()?.join("corpus").join(name),
            findings: work()?.join("findings").join(name),
        };
        for folder in [&target.kept, &target.grown, &target.findings] {
            make(folder)?;
        }
        Ok(target)
    }

    fn fuzzer(&self) -> Command {
        let mut fuzzer = Command::new(&self.binary);
        fuzzer.args(LIMITS).current_dir(workspace::root());
        fuzzer
    }

    fn run(&self, args: &Args) -> anyhow::Result<()> {
        let mut run = self.fuzzer();
        run.args(args.seed.map(|seed| format!("-seed={seed}")))
            .arg(format!("-max_total_time={}", args.seconds))
            .arg(format!("-artifact_prefix={}/", self.findings.display()))
            .args(["-print_final_stats=1", "-verbosity=1"])
            .args([&self.grown, &self.kept]);
        let status = command::status(&mut run)?;
        let Self { name, findings, .. } = self;
        anyhow::ensure!(
            status.success(),
            "{name} found something ({status}): the input is the newest in {}; copied to tests/fuzz/corpus/{name}, \
             it makes `cargo test -p tcpstate fuzzing` fail until that is mended",
            findings.display()
        );
        Ok(())
    }

    /// Puts the smallest corpus that reaches all code in the place of the kept one.
    fn keep(&self) -> anyhow::Result<()> {
        let small = work()?.join("small").join(&self.name);
        remove(&small)?;
        make(&small)?;
        let mut merge = self.fuzzer();
        command::run(
            merge
                .arg("-merge=1")
                .args([&small, &self.kept, &self.grown]),
        )?;
        remove(&self.kept)?;
        fs::rename(&small, &self.kept).or_else(|_| copy(&small, &self.kept))?;
        Ok(())
    }
}

fn make(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Where `target` is on another file system.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    make(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}
