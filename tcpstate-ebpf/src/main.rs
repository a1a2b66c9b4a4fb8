//! The kernel side: every program and what it attaches to. Programs state facts and keep no opinion.
//!
//! | program | attaches to | states |
//! |---|---|---|
//! | `inet_sock_set_state` | BTF tracepoint `sock:inet_sock_set_state` | every transition of a full TCP socket |
//! | `nested_set_state` | the same | those that interrupt the program above |
//! | `walk_tcp` | iterator `tcp` | the sockets that exist in a network namespace |
//! | `walk_files` | iterator `task_file` | which process holds which socket open |
//! | `socket_accepted`, `socket_accepted_4` | function exit | who accepts a socket |
//! | `socket_received`, `socket_copied` | BTF tracepoints | who uses a socket |
//! | `timewait_created`, `_scheduled`, `_ended` | function entries | the life of timewait sockets |
//! | `timewait_segment`, `_timer`, `_descheduled` | function entries | why they end |
//! | `timewait_allocated` | function exit | that none was made |
//! | `request_added`, `_ended_v4`, `_ended_v6` | function entries | the life of request sockets |
//! | `request_segment`, `_timer`, `_unreachable`, `socket_aborted` | function entries | why they end |
//! | `timer_start`, `timer_cancel`, `timer_expire_entry` | BTF tracepoints | both lives, where functions cannot be traced |
//! | `kfree_skb` | BTF tracepoint | segments of timewait sockets, likewise |
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// The compiler calls inline assembly for eBPF experimental; it is the one way to an atomic add.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        unsafe_code,
        reason = "kernel memory and BPF helpers are reached through raw pointers that the verifier checks"
    )
)]

#[cfg(target_arch = "bpf")]
mod cause;
#[cfg(target_arch = "bpf")]
mod counters;
#[cfg(target_arch = "bpf")]
mod fields;
#[cfg(target_arch = "bpf")]
mod owner;
#[cfg(target_arch = "bpf")]
mod programs;
#[cfg(target_arch = "bpf")]
mod request;
#[cfg(target_arch = "bpf")]
mod ring;
#[cfg(target_arch = "bpf")]
mod sockets;
#[cfg(target_arch = "bpf")]
mod timer;
#[cfg(target_arch = "bpf")]
mod timewait;
#[cfg(target_arch = "bpf")]
mod transition;
#[cfg(target_arch = "bpf")]
mod wanted;

/// The host builds this target with the workspace, for lints and documentation; it has nothing to run there.
#[cfg(not(target_arch = "bpf"))]
fn main() {}

/// The verifier admits no program that can panic; this satisfies the compiler.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Some helpers are for programs under a GPL-compatible licence; this one may be used under MIT.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
