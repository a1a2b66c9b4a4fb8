//! Builds the kernel side for the BPF target and leaves the object in `OUT_DIR`, where the library embeds it; and tells
//! the library which commit it is built from.
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

fn main() -> anyhow::Result<()> {
    // `cargo xtask setup` installs bpf-linker into the target directory, not into the user's own tools.
    let manifest = std::path::PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let root = manifest.parent().context("the workspace has a root")?;
    let tools = root.join("target/tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(tools).chain(std::env::split_paths(&path)))?;
    #[expect(unsafe_code, reason = "aya-build finds the linker through PATH alone")]
    // SAFETY: a build script's main thread, before any other thread exists.
    unsafe {
        std::env::set_var("PATH", path);
        // Otherwise the inner build's progress comes out as warnings of this package.
        std::env::set_var("CARGO_TERM_QUIET", "true");
    }
    tell_commit(root);
    let root_dir = root.join("tcpstate-ebpf");
    aya_build::build_ebpf(
        [aya_build::Package {
            name: "tcpstate-ebpf",
            root_dir: root_dir
                .to_str()
                .context("the path of the workspace is UTF-8")?,
            ..Default::default()
        }],
        aya_build::Toolchain::default(),
    )
}

/// Sets `TCPSTATE_COMMIT` for the compiler. A tree without git has no commit, and builds as well.
fn tell_commit(root: &Path) {
    if !root.join(".git").exists() {
        return; // git would name the commit of whatever repository is around us
    }
    let git = |words: &[&str]| {
        let output = Command::new("git").current_dir(root).args(words).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    // Each commit and checkout writes into the log; an edit makes the tree `-dirty`.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={}", root.join(log).display());
    }
    for sources in ["Cargo.toml", "Cargo.lock", "tcpstate-user"] {
        println!("cargo::rerun-if-changed={}", root.join(sources).display());
    }
    let describe = [
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
        "--exclude=*",
    ];
    if let Some(commit) = git(&describe) {
        println!("cargo::rustc-env=TCPSTATE_COMMIT={commit}");
    }
}
