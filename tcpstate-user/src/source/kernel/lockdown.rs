//! Whether the kernel is locked down: for confidentiality, programs may not read its memory; for integrity, they may.
use std::fs;

/// What is in force: `none [integrity] confidentiality`; there where securityfs is mounted, as it is on every distribution.
const STATE: &str = "/sys/kernel/security/lockdown";
/// What it was booted with.
const BOOTED: &str = "/proc/cmdline";

/// Whether nobody may read kernel memory.
pub(super) fn is_confidential() -> bool {
    match fs::read_to_string(STATE) {
        Ok(state) => state.contains("[confidentiality]"),
        Err(_) => fs::read_to_string(BOOTED).is_ok_and(|line| {
            let mut words = line.split_whitespace();
            words.any(|word| word == "lockdown=confidentiality")
        }),
    }
}
