//! Rust's own parts: toolchains, components and targets, through rustup.
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::command;

/// A component, and the file of the toolchain's directory that shows that it is there.
pub(super) struct Component {
    name: &'static str,
    file: &'static str,
}

/// The sources of `core`, which the kernel side is compiled with.
pub(super) const SOURCES: Component = Component {
    name: "rust-src",
    file: "lib/rustlib/src/rust/library/Cargo.lock",
};
/// The lints.
pub(super) const CLIPPY: Component = Component {
    name: "clippy",
    file: "bin/cargo-clippy",
};
/// The formatter.
pub(super) const RUSTFMT: Component = Component {
    name: "rustfmt",
    file: "bin/rustfmt",
};

/// What `rustc -vV` says, as far as we need it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rustc {
    /// The target triple of this machine.
    pub(crate) host: String,
    /// The major version of the compiler's LLVM.
    pub(crate) llvm: u32,
}

impl Rustc {
    /// Asks the compiler that `command` starts.
    pub(crate) fn of(command: &mut Command) -> anyhow::Result<Self> {
        Self::parse(&command::output(command.arg("-vV"))?)
            .context("`rustc -vV` does not name its host and its LLVM")
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name| text.lines().find_map(|line| line.strip_prefix(name));
        let (llvm, _) = field("LLVM version: ")?.split_once('.')?;
        Some(Self {
            host: field("host: ")?.to_owned(),
            llvm: llvm.parse().ok()?,
        })
    }
}

/// The compiler of the kernel side: only nightly builds `core` for the BPF target.
pub(super) fn nightly_rustc() -> Command {
    let mut command = Command::new("rustc");
    command.arg("+nightly");
    command
}

/// Makes sure of the nightly toolchain and of its components.
pub(super) fn nightly(components: &[Component]) -> anyhow::Result<()> {
    let Ok(sysroot) = sysroot(nightly_rustc()) else {
        let mut install = Command::new("rustup");
        install.args(["toolchain", "install", "nightly", "--profile", "minimal"]);
        for component in components {
            install.args(["--component", component.name]);
        }
        return rustup(
            "the nightly Rust toolchain, which compiles the kernel side",
            install,
        );
    };
    add(&sysroot, components, &["--toolchain", "nightly"])
}

/// Makes sure of components of the toolchain that builds user space.
pub(super) fn default_toolchain(components: &[Component]) -> anyhow::Result<()> {
    add(&sysroot(Command::new("rustc"))?, components, &[])
}

/// Makes sure of a target of the toolchain that builds user space.
pub(super) fn target(triple: &str) -> anyhow::Result<()> {
    if sysroot(Command::new("rustc"))?
        .join("lib/rustlib")
        .join(triple)
        .is_dir()
    {
        return Ok(());
    }
    let mut add = Command::new("rustup");
    add.args(["target", "add", triple]);
    rustup(&format!("the Rust target {triple}"), add)
}

fn add(
    sysroot: &std::path::Path,
    components: &[Component],
    toolchain: &[&str],
) -> anyhow::Result<()> {
    for component in components
        .iter()
        .filter(|component| !sysroot.join(component.file).exists())
    {
        let mut add = Command::new("rustup");
        add.args(["component", "add", component.name])
            .args(toolchain);
        rustup(&format!("the Rust component {}", component.name), add)?;
    }
    Ok(())
}

fn rustup(what: &str, mut command: Command) -> anyhow::Result<()> {
    eprintln!("setup: installing {what}");
    command::run(&mut command)
        .with_context(|| format!("cannot install {what}; try by hand what failed"))
}

fn sysroot(mut rustc: Command) -> anyhow::Result<PathBuf> {
    Ok(PathBuf::from(
        command::output(rustc.args(["--print", "sysroot"]))?.trim_end(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_llvm_are_read_from_the_compilers_own_words() {
        let text = "rustc 1.97.0-nightly\nhost: x86_64-unknown-linux-gnu\nrelease: 1.97.0-nightly\nLLVM version: 22.1.4\n";
        assert_eq!(
            Rustc::parse(text),
            Some(Rustc {
                host: "x86_64-unknown-linux-gnu".to_owned(),
                llvm: 22
            })
        );
        assert_eq!(
            Rustc::parse("rustc 1.97.0-nightly\nhost: x86_64-unknown-linux-gnu\n"),
            None
        );
    }
}
