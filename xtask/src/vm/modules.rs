//! Which module files a guest needs, in the order in which they can be loaded, unpacked.
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// A module, ready for the kernel.
pub(crate) struct Module {
    /// The name of its file, without folder and compression: `veth.ko`.
    pub(crate) name: String,
    /// What the kernel loads.
    pub(crate) bytes: Vec<u8>,
}

/// The modules of `wanted` that are not built into the kernel, each after those that it depends on.
pub(crate) fn load_order(folder: &Path, wanted: &[String]) -> anyhow::Result<Vec<Module>> {
    let read = |file: &str| {
        let path = folder.join(file);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let files = resolve(&read("modules.dep")?, &read("modules.builtin")?, wanted)
        .with_context(|| format!("in {}", folder.display()))?;
    files
        .iter()
        .map(|file| {
            Ok(Module {
                name: format!("{}.ko", name(file)),
                bytes: unpacked(&folder.join(file))?,
            })
        })
        .collect()
}

fn resolve(dep: &str, builtin: &str, wanted: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let known: HashMap<String, (&str, Vec<&str>)> = dep
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(file, needs)| (name(file), (file, needs.split_whitespace().collect())))
        .collect();
    let mut order: Vec<&str> = Vec::new();
    for module in wanted {
        match known.get(module) {
            // modules.dep names all that a module needs, the first to load last.
            Some((file, needs)) => order.extend(needs.iter().rev().chain([file])),
            None if builtin.lines().any(|file| name(file) == *module) => {}
            None => anyhow::bail!("the kernel has no module `{module}`"),
        }
    }
    let mut files = Vec::new();
    for file in order.into_iter().map(PathBuf::from) {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    Ok(files)
}

/// `kernel/net/ipv4/tcp_diag.ko.xz` is `tcp_diag`; the kernel takes a dash for an underscore.
fn name(file: impl AsRef<Path>) -> String {
    let file = file.as_ref().file_name().unwrap_or_default();
    let file = file.to_string_lossy();
    let (name, _) = file.split_once('.').unwrap_or((&file, ""));
    name.replace('-', "_")
}

/// The kernel could unpack some of them itself, but not all, and not all kernels.
fn unpacked(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut program = match path.extension().and_then(|kind| kind.to_str()) {
        Some("xz") => Command::new("xz"),
        Some("zst") => Command::new("zstd"),
        _ => {
            return std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        }
    };
    let output = program.arg("-dcq").arg(path).output().with_context(|| {
        format!(
            "cannot unpack {}; install xz-utils and zstd",
            path.display()
        )
    })?;
    anyhow::ensure!(
        output.status.success(),
        "cannot unpack {}: {}",
        path.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_comes_before_it_and_once() {
        let dep = "net/tcp_diag.ko.xz: net/inet-diag.ko.xz net/sock.ko\n\
                   net/inet-diag.ko.xz: net/sock.ko\n\
                   net/sock.ko:\n";
        let wanted = ["inet_diag", "tun", "tcp_diag"].map(str::to_owned);
        let order = resolve(dep, "drivers/net/tun.ko\n", &wanted).expect("all are known");
        assert_eq!(
            order,
            ["net/sock.ko", "net/inet-diag.ko.xz", "net/tcp_diag.ko.xz"].map(PathBuf::from)
        );
        let error = resolve(dep, "", &wanted).expect_err("tun is not there");
        assert_eq!(error.to_string(), "the kernel has no module `tun`");
    }
}
