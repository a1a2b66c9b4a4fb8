//! What the tests need of the machine. Where it is missing they fail and say so: a test that cannot run must not pass.
use std::io::ErrorKind;

use aya::programs::ProgramError;
use nix::unistd::geteuid;

/// Checks that this process is root and that the kernel lets it use BPF.
///
/// # Panics
/// It is not, or does not.
pub fn demand() {
    assert!(
        geteuid().is_root(),
        "the end-to-end tests need root; run them with `cargo xtask e2e`"
    );
    // A program that another process takes off while we look is no refusal.
    let gone = |error: &ProgramError| matches!(error, ProgramError::SyscallError(error) if error.io_error.kind() == ErrorKind::NotFound);
    if let Some(Err(error)) = aya::programs::loaded_programs().next()
        && !gone(&error)
    {
        panic!(
            "the end-to-end tests need BPF (CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN), which is refused here: {error:?}"
        );
    }
}
