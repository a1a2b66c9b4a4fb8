//! Transitions of full sockets.
use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid},
};
use aya_log_ebpf::debug;
use tcpstate_ebpf::{Counters, FullRecord, Record, kind};

use crate::{
    counters,
    fields::{Sock, Typed},
    ring,
};

/// `TCP_SYN_SENT`
const SYN_SENT: u8 = 2;
/// `TCP_SYN_RECV`
const SYN_RECV: u8 = 3;
/// `TCP_CLOSE`
const CLOSE: u8 = 7;
/// `TCP_LISTEN`
const LISTEN: u8 = 10;

/// Counts the transition and delivers it. Runs before the kernel stores the new state.
#[inline(always)]
pub fn observe<C: EbpfContext>(ctx: &C, sk: *const Sock, old: u8, new: u8) {
    if !Sock::is_tcp(sk) {
        return;
    }
    let Some(counters) = counters::this_cpu() else {
        return;
    };
    counters::set_busy(counters, 1);
    state(ctx, counters, sk, old, new);
    counters::set_busy(counters, 0);
}

/// From 6.1 the kernel does not run a program inside itself: a transition in an interrupt that hits the main program
/// would go unseen. This second program of the tracepoint runs after the first, and takes over in that case only.
#[inline(always)]
pub fn observe_nested<C: EbpfContext>(ctx: &C, sk: *const Sock, old: u8, new: u8) {
    let Some(counters) = counters::this_cpu() else {
        return;
    };
    if counters::is_busy(counters) && Sock::is_tcp(sk) {
        counters::nested(counters);
        state(ctx, counters, sk, old, new);
    }
}

#[inline(always)]
fn state<C: EbpfContext>(ctx: &C, counters: *mut Counters, sk: *const Sock, old: u8, new: u8) {
    counters::transition(counters, old, new);
    debug!(ctx, "state {} -> {}", old, new);
    // Only these two run in the task that owns the socket; elsewhere the current task is whoever took the interrupt.
    let by_owner = old == CLOSE && (new == SYN_SENT || new == LISTEN);
    // Leaving SYN_RECV is the first moment at which an accepted socket has its own tuple and cookie on every kernel.
    if by_owner || old == SYN_RECV {
        ring::emit::<FullRecord>(counters, |entry| {
            let mut full = FullRecord {
                record: record(sk, kind::OPENED, old, new),
                cookie: Sock::cookie(sk),
                ..FullRecord::default()
            };
            if by_owner {
                full.tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
                full.uid = bpf_get_current_uid_gid() as u32;
                full.comm = bpf_get_current_comm().unwrap_or_default();
            }
            entry.write(full);
        });
    } else {
        ring::emit::<Record>(counters, |entry| {
            entry.write(record(sk, kind::TRANSITION, old, new));
        });
    }
}

/// A record of the full socket `sk` now.
#[inline(always)]
fn record(sk: *const Sock, kind: u8, old: u8, new: u8) -> Record {
    let mut record = ring::record::<Typed>(sk, kind, old, new);
    record.error = Sock::error(sk);
    if record.lport == 0 {
        // On the way to CLOSE the port is already given back; before `connect` has chosen one this is 0 as well.
        record.lport = Sock::source_port(sk);
    }
    record
}
