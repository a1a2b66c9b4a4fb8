//! `cargo xtask package`: the Debian package in a clean Debian system: installed, used, and purged without a trace.
mod trace;

use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use crate::debian::System;
use crate::{command, dist, setup};

/// The units, and the most that `systemd-analyze security` may find exposed, in tenths.
const UNITS: [(&str, &str); 2] = [
    ("tcpstate.service", "20"),
    ("tcpstate-all-netns.service", "27"),
];
/// Sections that every page has.
const SECTIONS: [&str; 7] = [
    "NAME",
    "SYNOPSIS",
    "DESCRIPTION",
    "EXAMPLES",
    "PRIVILEGES",
    "EXIT STATUS",
    "SEE ALSO",
];
/// `tcpstate tr` and a tab, in each shell.
const BASH: &str = "
. /usr/share/bash-completion/bash_completion
_completion_loader tcpstate
COMP_WORDS=(tcpstate tr) COMP_CWORD=1
_tcpstate tcpstate tr tcpstate
echo \"${COMPREPLY[@]}\"";
const FISH: &str = "complete --do-complete 'tcpstate tr' | cut -f1";
/// Completions need a terminal there: that the file is found, and can be loaded as the command's, has to do.
const ZSH: &str = "
autoload -U compinit && compinit -u -D
autoload +X -U _tcpstate
echo $_comps[tcpstate]";

/// Makes the package, installs it, uses everything in it, and purges it.
pub(crate) fn job() -> anyhow::Result<ExitCode> {
    ensure!(
        command::is_root()?,
        "package: only root can make a Debian system and enter it; run as root (sudo cargo xtask package)"
    );
    setup::for_debian()?;
    let made = dist::make()?;
    let system = System::fresh("package")?;
    let before = system.files()?;

    system.copy(&made.package, "/tmp/tcpstate.deb")?;
    system.output(&["dpkg", "--install", "/tmp/tcpstate.deb"])?;
    std::fs::remove_file(system.path("/tmp/tcpstate.deb"))?;
    println!(
        "package: installed\n{}",
        system.output(&["dpkg", "--listfiles", "tcpstate"])?
    );
    programs(&system, &made)?;
    manual(&system)?;
    completions(&system)?;
    units(&system)?;

    system.output(&["dpkg", "--purge", "tcpstate"])?;
    let after = system.files()?;
    let left: Vec<_> = after.difference(&before).collect();
    let gone: Vec<_> = before.difference(&after).collect();
    ensure!(left.is_empty(), "package: left behind: {left:?}");
    ensure!(gone.is_empty(), "package: gone with it: {gone:?}");
    println!("package: purged; the same {} files as before", after.len());
    Ok(ExitCode::SUCCESS)
}

/// The tool runs there, with and without privilege.
fn programs(system: &System, made: &dist::Made) -> anyhow::Result<()> {
    let version = system.output(&["tcpstate", "--version"])?;
    let ours = command::output(std::process::Command::new(&made.binary).arg("--version"))?;
    ensure!(version == ours, "package: it has {version} and not {ours}");
    print!("package: {version}");
    // As nobody: counting needs no privilege.
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let count = system.output(&[&nobody[..], &["tcpstate", "count", "--json"]].concat())?;
    let counts: serde_json::Value = serde_json::from_str(&count).context("count --json")?;
    ensure!(
        counts["LISTEN"].is_u64(),
        "package: no count of listeners in {count}"
    );
    print!("package: count as nobody: {count}");
    trace::try_it(system)
}

/// Every page can be found and is rendered without a warning, with all its sections.
fn manual(system: &System) -> anyhow::Result<()> {
    let found = system.output(&["man", "--whatis", "tcpstate", "tcpstate-trace"])?;
    print!("package: {found}");
    let pages = system.output(&["sh", "-c", "cd /usr/share/man/man1 && ls tcpstate*"])?;
    for page in pages.lines() {
        let name = page.trim_end_matches(".gz").trim_end_matches(".1");
        let mut man = system.command("man");
        man.env("MANWIDTH", "80")
            .args(["--warnings", "--no-hyphenation", name]);
        let output = man.output().context("cannot run man")?;
        let (text, said) = (
            String::from_utf8(output.stdout)?,
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(
            output.status.success() && said.is_empty(),
            "man {name}: {said}"
        );
        for section in SECTIONS {
            ensure!(
                text.lines().any(|line| line == section),
                "man {name} has no section {section}"
            );
        }
        let widest = text.lines().map(|line| line.chars().count()).max();
        ensure!(
            widest <= Some(80),
            "man {name}: a line of {widest:?} columns"
        );
    }
    let tool = system.output(&["man", "tcpstate"])?;
    ensure!(
        tool.lines().any(|line| line == "FILES"),
        "man tcpstate has no section FILES"
    );
    println!(
        "package: {} manual pages, no warning",
        pages.lines().count()
    );
    Ok(())
}

/// Each shell completes a command.
fn completions(system: &System) -> anyhow::Result<()> {
    for (words, expected) in [
        (["bash", "-c", BASH], "trace"),
        (["fish", "-c", FISH], "trace"),
        (["zsh", "-fc", ZSH], "_tcpstate"),
    ] {
        let answer = system.output(&words)?;
        ensure!(
            answer.trim() == expected,
            "{}: `{answer}` and not {expected}",
            words[0]
        );
    }
    println!("package: bash, fish and zsh complete");
    Ok(())
}

/// systemd takes the units, finds them tight, and has enabled none. One is left enabled, for the purge to remove.
fn units(system: &System) -> anyhow::Result<()> {
    for (unit, most) in UNITS {
        let path = format!("/usr/lib/systemd/system/{unit}");
        system.output(&["systemd-analyze", "verify", "--man=yes", &path])?;
        let threshold = format!("--threshold={most}");
        let exposure = [
            "systemd-analyze",
            "security",
            "--offline=true",
            "--no-pager",
            &threshold,
            &path,
        ];
        let table = system.output(&exposure)?;
        println!(
            "package: {unit}: {}",
            table.lines().last().unwrap_or_default()
        );
        let enabled = system
            .command("systemctl")
            .args(["is-enabled", unit])
            .output()?;
        let enabled = String::from_utf8_lossy(&enabled.stdout);
        ensure!(enabled.trim() == "disabled", "package: {unit} is {enabled}");
    }
    system.output(&["systemctl", "enable", UNITS[0].0])?;
    Ok(())
}
