//! `tests/kernels.toml` as data: which kernels there are, and on which machine each one runs.
use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context as _;
use serde::Deserialize;

use crate::workspace;

/// The whole file.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Matrix {
    /// The modules that the tests need.
    pub(crate) modules: Vec<String>,
    /// What a guest may take to come to its init.
    pub(crate) boot_seconds: u64,
    /// What one test may take.
    pub(crate) test_seconds: u64,
    /// What gives an emulator a clock that leaps over idle time.
    leaping_clock: Vec<String>,
    /// What one test may take on that clock.
    leaping_test_seconds: u64,
    machine: BTreeMap<Arch, Machine>,
    kernel: Vec<Kernel>,
}

/// The guests' clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// As fast as ours.
    Real,
    /// Leaps over the time in which the guest is idle: for the tests that wait for hours.
    Leaping,
}

/// A kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Arch {
    /// The PC.
    #[value(name = "x86_64")]
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit ARM.
    Arm64,
}

/// How a kind of machine is built for and emulated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Machine {
    /// What Debian calls it.
    pub(crate) debian: String,
    /// Rust's name for static binaries of it.
    pub(crate) target: String,
    /// The emulator and what makes it this machine.
    pub(crate) qemu: Vec<String>,
    /// The Debian package of the emulator.
    pub(crate) package: String,
    /// What its kernels are told on their command line: the serial console, above all.
    pub(crate) append: String,
}

/// One kernel to boot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kernel {
    /// What the user calls it.
    pub(crate) name: String,
    /// The machine that it is for.
    pub(crate) arch: Arch,
    /// What its version begins with.
    pub(crate) version: String,
    /// Where to look for it.
    pub(crate) suites: Vec<String>,
}

impl Matrix {
    /// Reads the file.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let path = workspace::root().join("tests/kernels.toml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))
    }

    /// The kernels of this architecture, or those of them that are named, in the order of the file.
    pub(crate) fn select(&self, arch: Arch, names: &[String]) -> anyhow::Result<Vec<&Kernel>> {
        let all = || self.kernel.iter().filter(|kernel| kernel.arch == arch);
        for name in names {
            let known: Vec<_> = all().map(|kernel| kernel.name.as_str()).collect();
            anyhow::ensure!(
                known.contains(&name.as_str()),
                "no {arch} kernel is called `{name}`: use one of {}, or add it to tests/kernels.toml",
                known.join(", ")
            );
        }
        Ok(all()
            .filter(|kernel| names.is_empty() || names.contains(&kernel.name))
            .collect())
    }

    /// What gives a guest this clock.
    pub(crate) fn clock(&self, clock: Clock) -> &[String] {
        match clock {
            Clock::Real => &[],
            Clock::Leaping => &self.leaping_clock,
        }
    }

    /// What one test may take, in seconds of this clock.
    pub(crate) fn limit(&self, clock: Clock) -> u64 {
        match clock {
            Clock::Real => self.test_seconds,
            Clock::Leaping => self.leaping_test_seconds,
        }
    }

    /// How the machine of this architecture is made.
    pub(crate) fn machine(&self, arch: Arch) -> anyhow::Result<&Machine> {
        self.machine
            .get(&arch)
            .with_context(|| format!("tests/kernels.toml has no [machine.{arch}]"))
    }
}

impl Arch {
    /// That of the machine that we run on.
    pub(crate) fn ours() -> anyhow::Result<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self::X86_64),
            "aarch64" => Ok(Self::Arm64),
            other => anyhow::bail!("nothing is built for {other}; use x86_64 or arm64"),
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_understood_and_has_a_machine_for_each_kernel() {
        let matrix = Matrix::read().expect("the file is right");
        for kernel in &matrix.kernel {
            matrix.machine(kernel.arch).expect("a machine for it");
        }
        assert_eq!(matrix.select(Arch::X86_64, &[]).expect("all").len(), 5);
        assert_eq!(matrix.select(Arch::Arm64, &[]).expect("all").len(), 2);
    }

    #[test]
    fn an_unknown_name_is_an_error_that_says_the_known_ones() {
        let matrix = Matrix::read().expect("the file is right");
        let error = matrix
            .select(Arch::Arm64, &["5.10".to_owned()])
            .expect_err("not there");
        assert!(error.to_string().contains("6.1, newest-7"), "{error}");
    }
}
