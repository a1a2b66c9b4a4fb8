//! Clean Debian systems, each a folder: made once by debootstrap from the machine's own mirror, kept, and copied for each
//! use. For the tests of the package.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::vm::apt;
use crate::{command, workspace};

/// The release of Debian that the package is tried on.
const RELEASE: &str = "bookworm";
/// What a minimal system lacks: an init, who reads manuals, and the shells whose completions are shipped.
const PACKAGES: &str = "systemd-sysv,dbus,man-db,bash-completion,fish,zsh";

/// Mounts what a program expects, out of the host's sight, and becomes that program. `$1` is the system's folder.
const ENTER: &str = r#"
set -e
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/run"
exec chroot "$@""#;

/// A system, in a folder.
pub(crate) struct System {
    root: PathBuf,
}

impl System {
    /// A fresh one under this name.
    pub(crate) fn fresh(name: &str) -> anyhow::Result<Self> {
        let folder = workspace::target_dir()?.join("debian");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let base = base(&folder)?;
        let root = folder.join(name);
        remove(&root)?;
        command::run(
            Command::new("cp")
                .args(["-a", "--reflink=auto"])
                .arg(base)
                .arg(&root),
        )?;
        Ok(Self { root })
    }

    /// Where it is on this machine.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Copies a file into it.
    pub(crate) fn copy(&self, from: &Path, to: &str) -> anyhow::Result<()> {
        let to = self.path(to);
        fs::copy(from, &to)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        Ok(())
    }

    /// Writes a file into it.
    pub(crate) fn write(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path(path);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// A program in it, as root, with the devices and the kernel of this machine. Its process is the program's own. What it
    /// leaves in /run, its home too, goes with it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                ENTER,
                "sh",
            ])
            .arg(&self.root)
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", "/run");
        command
    }

    /// What a program in it prints. It has to succeed.
    pub(crate) fn output(&self, words: &[&str]) -> anyhow::Result<String> {
        let (program, args) = words.split_first().context("a program's name")?;
        command::output(self.command(program).args(args))
            .with_context(|| format!("in the Debian system: {}", words.join(" ")))
    }

    /// Every file and folder of it: kind, path, and where a link leads. Caches are not part of a system: whoever looks at a
    /// manual page fills one.
    pub(crate) fn files(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut find = Command::new("find");
        find.arg(&self.root)
            .args(["-mindepth", "1", "-path", "*/var/cache", "-prune", "-o"]);
        let list = command::output(find.args(["-printf", "%y /%P %l\n"]))?;
        Ok(list.lines().map(str::to_owned).collect())
    }
}

/// The system that the others are copies of. The note in it is written last: an interrupted bootstrap is none.
fn base(folder: &Path) -> anyhow::Result<PathBuf> {
    let (base, note) = (folder.join("base"), folder.join("base.made"));
    let wanted = format!("{RELEASE} {PACKAGES}\n");
    if fs::read_to_string(&note).unwrap_or_default() == wanted {
        return Ok(base);
    }
    eprintln!("debian: making a clean {RELEASE} in {}", base.display());
    remove(&base)?;
    let mut debootstrap = command::as_root("debootstrap")?;
    debootstrap
        .arg("--variant=minbase")
        .arg(format!("--include={PACKAGES}"));
    command::run(debootstrap.arg(RELEASE).arg(&base).arg(apt::site()?))?;
    fs::write(&note, wanted).with_context(|| format!("cannot write {}", note.display()))?;
    Ok(base)
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}
