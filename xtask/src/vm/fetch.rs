//! A kernel of the matrix on disk: found in Debian's archive once, unpacked, and kept in `target/kernels`.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::apt::Apt;
use super::matrix::{Kernel, Machine};
use crate::{command, workspace};

/// An unpacked kernel.
pub(crate) struct Image {
    /// The kernel itself.
    pub(crate) file: PathBuf,
    /// The folder of its modules, with modules.dep.
    pub(crate) modules: PathBuf,
}

/// Finds the kernel in the cache, or fetches it.
pub(crate) fn kernel(kernel: &Kernel, machine: &Machine) -> anyhow::Result<Image> {
    let folder = workspace::target_dir()?.join(format!("kernels/{}-{}", kernel.arch, kernel.name));
    // Written last, so that an interrupted download is no kernel. A changed entry of the matrix is another kernel.
    let note = folder.join("fetched");
    let wanted = format!("{kernel:?}\n");
    let found = fs::read_to_string(&note).unwrap_or_default();
    let release = match found.strip_prefix(&wanted) {
        Some(release) => release.trim().to_owned(),
        None => {
            let release = fetch(kernel, machine, &folder).with_context(|| {
                format!("cannot fetch the {} kernel {}", kernel.arch, kernel.name)
            })?;
            fs::write(&note, format!("{wanted}{release}\n"))
                .with_context(|| format!("cannot write {}", note.display()))?;
            release
        }
    };
    let modules = folder.join("root/lib/modules").join(&release);
    let file = [folder.join("root/boot"), modules.clone()]
        .iter()
        .find_map(|folder| vmlinuz(folder))
        .with_context(|| format!("no vmlinuz of {release}; remove {}", folder.display()))?;
    Ok(Image { file, modules })
}

fn fetch(kernel: &Kernel, machine: &Machine, folder: &Path) -> anyhow::Result<String> {
    eprintln!(
        "vm: fetching the {} kernel {} from {}",
        kernel.arch,
        kernel.name,
        kernel.suites.join(" and ")
    );
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let lists = folder.join("apt");
    let apt = Apt::new(&lists, &machine.debian, &kernel.suites)?;
    let names = apt.names("linux-")?;
    let (release, packages) =
        newest(&names, &kernel.version, &machine.debian).with_context(|| {
            format!(
                "no kernel {}* with its modules in {}; change its entry in tests/kernels.toml",
                kernel.version,
                kernel.suites.join(" or ")
            )
        })?;
    let root = folder.join("root");
    apt.unpack(&packages, &root)?;
    if !root.join("lib").exists() {
        // Newer packages have their modules in /usr/lib; depmod looks in /lib.
        std::os::unix::fs::symlink("usr/lib", root.join("lib")).context("cannot link lib")?;
    }
    let depmod = command::find("depmod").context("depmod is missing; install Debian's kmod")?;
    command::output(Command::new(depmod).arg("-b").arg(&root).arg(&release))?;
    fs::remove_dir_all(&lists).with_context(|| format!("cannot remove {}", lists.display()))?;
    Ok(release)
}

/// The newest release that begins with `version` and has all its parts, with its packages.
///
/// Newer kernels are split into `linux-base-`, `linux-binary-` (or, before Debian has signed it, `linux-binary-unsigned-`)
/// and `linux-modules-`; older ones are one `linux-image-`. The parts leave the archive one by one.
fn newest(names: &[String], version: &str, debian_arch: &str) -> Option<(String, Vec<String>)> {
    let suffix = format!("-cloud-{debian_arch}");
    let mut releases: Vec<_> = names
        .iter()
        .filter(|name| name.ends_with(&suffix))
        .filter_map(|name| {
            ["linux-image-", "linux-binary-unsigned-", "linux-binary-"]
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix))
        })
        .filter(|release| release.starts_with(version))
        .collect();
    releases.sort_by_key(|release| std::cmp::Reverse(numbers(release)));
    releases.into_iter().find_map(|release| {
        let part =
            |name: &str| Some(format!("{name}-{release}")).filter(|name| names.contains(name));
        let binary = part("linux-binary").or_else(|| part("linux-binary-unsigned"));
        let packages = match binary {
            Some(binary) => vec![part("linux-base")?, binary, part("linux-modules")?],
            None => vec![part("linux-image")?],
        };
        Some((release.to_owned(), packages))
    })
}

/// What a release is compared by: 6.1.0-50 is newer than 6.1.0-47, and 6.12 than 6.1.
fn numbers(release: &str) -> Vec<u32> {
    release
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

fn vmlinuz(folder: &Path) -> Option<PathBuf> {
    let mut files = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    files
        .find(|file| file.file_name().to_string_lossy().starts_with("vmlinuz"))
        .map(|file| file.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(names: &[&str], version: &str) -> Option<(String, usize)> {
        let names: Vec<_> = names
            .iter()
            .map(|name| format!("linux-{name}-cloud-amd64"))
            .collect();
        newest(&names, version, "amd64").map(|(release, packages)| (release, packages.len()))
    }

    #[test]
    fn numbers_decide_and_not_letters() {
        let names = ["image-6.1.0-9", "image-6.1.0-50", "image-6.12.7+deb13"];
        let found = |version| release(&names, version);
        assert_eq!(found("6.1."), Some(("6.1.0-50-cloud-amd64".into(), 1)));
        assert_eq!(found("6."), Some(("6.12.7+deb13-cloud-amd64".into(), 1)));
        assert_eq!(found("7."), None);
    }

    #[test]
    fn a_release_that_has_lost_a_part_is_passed_over() {
        let old = ["image-6.18.15", "image-6.19.14", "binary-6.19.14"];
        assert_eq!(release(&old, "6."), Some(("6.18.15-cloud-amd64".into(), 1)));
        let new = ["base-7.3.4", "binary-unsigned-7.3.4", "modules-7.3.4"];
        assert_eq!(release(&new, "7."), Some(("7.3.4-cloud-amd64".into(), 3)));
    }
}
