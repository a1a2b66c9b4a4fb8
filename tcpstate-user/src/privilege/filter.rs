//! A filter of system calls: takes away what the process never does after its start and what would be of most use to
//! whoever got hold of it. The capabilities are the boundary; this narrows what the kernel shows behind it.
//!
//! It says what is refused, and not what is allowed: a list of everything that two C libraries on two architectures call
//! in their rare moments would break a measurement the day that one of them changes.
use nix::libc::{self, c_long};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter_all_threads,
};

/// What a process may do of the dangerous calls.
pub(super) struct Needs {
    /// Commands of bpf(2).
    bpf: &'static [u64],
    /// Calls of [`REFUSED`].
    calls: &'static [c_long],
}

const BPF_MAP_LOOKUP_ELEM: u64 = 1;
const BPF_OBJ_GET_INFO_BY_FD: u64 = 15;
const BPF_ITER_CREATE: u64 = 33;

/// The measurement: counters, the programs' costs, walks.
pub(super) const MEASURE: Needs = Needs {
    bpf: &[BPF_MAP_LOOKUP_ELEM, BPF_OBJ_GET_INFO_BY_FD, BPF_ITER_CREATE],
    calls: &[],
};

/// The helper: walks in other namespaces.
pub(super) const LOOK: Needs = Needs {
    bpf: &[BPF_ITER_CREATE],
    calls: &[libc::SYS_setns],
};

/// Refused with EPERM.
const REFUSED: &[c_long] = &[
    // Other programs, and other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    // Namespaces and mounts.
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    // The kernel and the machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    // What attacks on the kernel begin with.
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

/// Applies it to every thread, for ever. A kernel without filters measures as well, so a refusal is no error.
pub(super) fn apply(needs: &Needs) {
    let applied = program(needs)
        .and_then(|program| apply_filter_all_threads(&program).map_err(anyhow::Error::new));
    if let Err(error) = applied {
        log::info!("no filter of system calls: {error:#}");
    }
}

fn program(needs: &Needs) -> anyhow::Result<seccompiler::BpfProgram> {
    let refused = REFUSED.iter().filter(|call| !needs.calls.contains(call));
    let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
        refused.map(|call| (*call, Vec::new())).collect();
    let none_of = needs.bpf.iter().map(|command| {
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, *command)
    });
    let none_of = SeccompRule::new(none_of.collect::<Result<_, _>>()?)?;
    rules.insert(libc::SYS_bpf, vec![none_of]);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_can_be_made() {
        for needs in [&MEASURE, &LOOK] {
            program(needs).unwrap();
        }
    }
}
