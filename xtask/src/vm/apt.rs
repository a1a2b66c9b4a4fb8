//! Debian's packages of other releases and architectures, through apt itself with a state of its own.
//!
//! The machine's own lists and settings stay as they are; only the mirror and the keys are taken from them.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::command;

/// An apt that knows some suites for one architecture.
pub(super) struct Apt {
    folder: PathBuf,
    debian_arch: String,
}

impl Apt {
    /// Fetches the lists of the suites. All files are kept in `folder`.
    pub(super) fn new(folder: &Path, debian_arch: &str, suites: &[String]) -> anyhow::Result<Self> {
        let apt = Self {
            folder: folder.to_owned(),
            debian_arch: debian_arch.to_owned(),
        };
        for part in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(folder.join(part))
                .with_context(|| format!("cannot make {part} in {}", folder.display()))?;
        }
        let site = site()?;
        let keys = keys().map_or_else(String::new, |keys| format!("[signed-by={keys}] "));
        let sources: String = suites
            .iter()
            .map(|suite| format!("deb {keys}{site} {suite} main\n"))
            .collect();
        for (file, text) in [
            ("sources.list", sources),
            ("apt.conf", apt.settings()),
            ("status", String::new()),
        ] {
            fs::write(folder.join(file), text)
                .with_context(|| format!("cannot write {file} in {}", folder.display()))?;
        }
        command::run(apt.command("apt-get").args(["-qq", "update"])).with_context(|| {
            format!(
                "cannot fetch the package lists of {} from the machine's Debian mirror",
                suites.join(" and ")
            )
        })?;
        Ok(apt)
    }

    /// The names of the packages that begin with `prefix`.
    pub(super) fn names(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let names = command::output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Downloads the packages and unpacks them into `root`.
    pub(super) fn unpack(&self, packages: &[String], root: &Path) -> anyhow::Result<()> {
        let folder = self.folder.join("packages");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut download = self.command("apt-get");
        download.args(["-qq", "download"]).args(packages);
        command::run(download.current_dir(&folder))?;
        for package in fs::read_dir(&folder)? {
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("-x").arg(package?.path()).arg(root);
            command::output(&mut unpack)?;
        }
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // As an option it comes after the machine's own settings, and goes before them.
        command.arg("-c").arg(self.folder.join("apt.conf"));
        command
    }

    fn settings(&self) -> String {
        let own = self.folder.display();
        let arch = &self.debian_arch;
        format!(
            r#"
Dir::State "{own}";
Dir::State::status "{own}/status";
Dir::Cache "{own}";
Dir::Etc::SourceList "{own}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
APT::Architecture "{arch}";
#clear APT::Architectures;
APT::Architectures {{ "{arch}"; }};
// Only the list of packages: no descriptions, no metadata of desktop programs.
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
// Old releases are archived, and their lists are not signed anew.
Acquire::Check-Valid-Until "false";
// Root's apt wants to download as a user of its own, who may not write here.
APT::Sandbox::User "";
"#
        )
    }
}

/// The Debian mirror that this machine uses.
pub(crate) fn site() -> anyhow::Result<String> {
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(LABEL) $(SITE)"]);
    targets.args(["Created-By: Packages", "Origin: Debian"]);
    let targets = command::output(&mut targets)?;
    let site = targets
        .lines()
        .find_map(|line| line.strip_prefix("Debian "));
    site.map(str::to_owned)
        .context("this machine's apt knows no Debian mirror; add one to its sources, and run `apt-get update` as root")
}

/// Debian's keyring where the machine has it as a file of its own; else apt's trusted keys do.
fn keys() -> Option<&'static str> {
    [
        "/usr/share/keyrings/debian-archive-keyring.pgp",
        "/usr/share/keyrings/debian-archive-keyring.gpg",
    ]
    .into_iter()
    .find(|path| Path::new(path).is_file())
}
