//! Running other programs: how they are called, shown, raised to root, and judged.
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::Context as _;

use crate::workspace;

/// Cargo of the default toolchain, called in the root of the workspace.
pub(crate) fn cargo() -> anyhow::Result<Command> {
    let mut command = Command::new("cargo");
    command
        .current_dir(workspace::root())
        .env("CARGO_TARGET_DIR", workspace::target_dir()?);
    Ok(command)
}

/// One of the project's own copies of cargo's helpers, likewise.
pub(crate) fn tool(name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(workspace::tools().join("bin").join(name));
    command
        .current_dir(workspace::root())
        .env("CARGO_TARGET_DIR", workspace::target_dir()?);
    Ok(command)
}

/// Shows the command on stderr, runs it, and says how it ended.
pub(crate) fn status(command: &mut Command) -> anyhow::Result<ExitStatus> {
    eprintln!("$ {}", shown(command));
    command
        .status()
        .with_context(|| format!("cannot run `{}`", shown(command)))
}

/// As [`status`], for a command that has to succeed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = status(command)?;
    anyhow::ensure!(status.success(), "`{}` failed: {status}", shown(command));
    Ok(())
}

/// What the command prints. It has to succeed.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run `{}`", shown(command)))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "`{}` failed: {}",
        shown(command),
        stderr.trim()
    );
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` does not print UTF-8", shown(command)))
}

/// The program, called as root: through sudo when we are not.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> anyhow::Result<Command> {
    if is_root()? {
        return Ok(Command::new(program));
    }
    let program = program.as_ref();
    anyhow::ensure!(
        find("sudo").is_some(),
        "cannot run {} as root without sudo; be root, or install sudo",
        program.display()
    );
    let mut command = Command::new("sudo");
    command.arg(program);
    Ok(command)
}

/// Are we root?
pub(crate) fn is_root() -> anyhow::Result<bool> {
    // The owner of our own /proc entry is our effective user: no unsafe call, no further dependency.
    Ok(std::fs::metadata("/proc/self")
        .context("cannot read /proc/self; mount /proc")?
        .uid()
        == 0)
}

/// The program's path, if it is installed. Looks into the system's own folders too, which a user's PATH may lack.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|dir| dir.join(program))
        .find(|file| Path::is_file(file))
}

/// Our own exit status after a child's: its code, or 128 + signal as a shell says.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The command as one would type it in the root of the workspace.
pub(crate) fn shown(command: &Command) -> String {
    // The target directory is the user's own setting, or the default: not worth a word.
    let settings = command
        .get_envs()
        .filter(|(name, _)| *name != "CARGO_TARGET_DIR");
    let settings = settings.filter_map(|(name, value)| {
        Some(format!(
            "{}={}",
            name.display(),
            quoted(&value?.to_string_lossy())
        ))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    settings
        .chain(words.map(|word| quoted(&word.to_string_lossy())))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./,:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{word}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("sudo");
        command
            .args(["env", "A=b", "two words", ""])
            .env("FLAGS", "-D warnings")
            .env("CARGO_TARGET_DIR", "target");
        assert_eq!(
            shown(&command),
            "FLAGS='-D warnings' sudo env A=b 'two words' ''"
        );
    }

    #[test]
    fn a_child_that_a_signal_ended_is_told_as_a_shell_does() {
        assert_eq!(exit_code(ExitStatus::from_raw(2)), ExitCode::from(130));
        assert_eq!(
            exit_code(ExitStatus::from_raw(101 << 8)),
            ExitCode::from(101)
        );
    }
}
