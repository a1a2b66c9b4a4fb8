//! Which tcpstate this is, for `--version`, bug reports and the manual.
use std::sync::LazyLock;

use tcpstate_ebpf::ABI_VERSION;

const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// Release, commit and version of the contract with the programs in the kernel:
/// `0.1.0 (commit 70685f5c1b2a, kernel ABI 2)`. No commit where the source tree is not one of git's.
#[must_use]
pub fn version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| text(option_env!("TCPSTATE_COMMIT")));
    &TEXT
}

fn text(commit: Option<&str>) -> String {
    let commit = commit.map_or_else(String::new, |commit| format!("commit {commit}, "));
    format!("{RELEASE} ({commit}kernel ABI {ABI_VERSION})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_without_git_has_a_version_too() {
        let abi = format!("kernel ABI {ABI_VERSION})");
        assert_eq!(
            text(Some("70685f5c1b2a-dirty")),
            format!("{RELEASE} (commit 70685f5c1b2a-dirty, {abi}")
        );
        assert_eq!(text(None), format!("{RELEASE} ({abi}"));
    }
}
