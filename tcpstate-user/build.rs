//! Builds the kernel side for the BPF target and leaves the object in `OUT_DIR`, where the library embeds it.
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
