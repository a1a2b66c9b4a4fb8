//! Transitions of full sockets.
use aya_ebpf::EbpfContext;
use aya_log_ebpf::debug;
use tcpstate_ebpf::{Counters, FullRecord, Record, Want, kind};

use crate::{
    counters,
    fields::{Sock, Typed, want},
    owner, ring, wanted,
};

/// `TCP_ESTABLISHED`
const ESTABLISHED: u8 = 1;
/// `TCP_SYN_SENT`
const SYN_SENT: u8 = 2;
/// `TCP_SYN_RECV`
const SYN_RECV: u8 = 3;
/// `TCP_FIN_WAIT1`
const FIN_WAIT1: u8 = 4;
/// `TCP_CLOSE`
const CLOSE: u8 = 7;
/// `TCP_CLOSE_WAIT`
const CLOSE_WAIT: u8 = 8;
/// `TCP_LAST_ACK`
const LAST_ACK: u8 = 9;
/// `TCP_LISTEN`
const LISTEN: u8 = 10;

/// Counts the transition and delivers it. Runs before the kernel stores the new state.
#[inline(always)]
pub fn observe<C: EbpfContext>(ctx: &C, sk: *const Sock, old: u8, new: u8) {
    if !Sock::is_tcp::<Typed>(sk) {
        return;
    }
    let Some(counters) = counters::this_cpu() else {
        return;
    };
    state(ctx, counters, sk, old, new);
    counters::has_stated(counters, sk, states(old, new));
}

/// From 6.1 the kernel does not run a program inside itself: a transition in an interrupt that hits the main program,
/// or what leads into it, would go unseen. This second program of the tracepoint runs after the first, and takes over what
/// that has not stated.
#[inline(always)]
pub fn observe_nested<C: EbpfContext>(ctx: &C, sk: *const Sock, old: u8, new: u8) {
    if !Sock::is_tcp::<Typed>(sk) {
        return;
    }
    let Some(counters) = counters::this_cpu() else {
        return;
    };
    if !counters::was_stated(counters, sk, states(old, new)) {
        counters::nested(counters);
        state(ctx, counters, sk, old, new);
    }
}

/// Both states as one number, never 0.
#[inline(always)]
fn states(old: u8, new: u8) -> u64 {
    u64::from(old) << 8 | u64::from(new) | 1 << 16
}

#[inline(always)]
fn state<C: EbpfContext>(ctx: &C, counters: *mut Counters, sk: *const Sock, old: u8, new: u8) {
    counters::transition(counters, old, new);
    debug!(ctx, "state {} -> {}", old, new);
    if want(Want::Everything) && (new == CLOSE || old == CLOSE || old == SYN_RECV) {
        owner::forget(sk);
    }
    if !wanted::admits_step(sk, old) {
        return;
    }
    // These two run in the task that owns the socket.
    let opened = want(Want::Openers) && old == CLOSE && (new == SYN_SENT || new == LISTEN);
    let stillborn = old == SYN_RECV && new == CLOSE && !Sock::is_fast_open(sk);
    // Leaving SYN_RECV is the first moment at which an accepted socket has its own tuple and cookie on every kernel.
    let accepted = want(Want::Everything) && old == SYN_RECV && !stillborn;
    // So do these, where a task holds the lock: no segment has such an effect. (Other ends come with segments, which
    // whoever looks at the socket, as `ss -i` does, may have to process when it gives the lock back.) Whoever destroys
    // another's socket leaves an error, but on a listener.
    let thrown_away = new == CLOSE && (old == SYN_SENT || old == ESTABLISHED || old == CLOSE_WAIT);
    let shut = want(Want::Everything)
        && (new == FIN_WAIT1 || new == LAST_ACK || thrown_away)
        && Sock::is_owned(sk)
        && Sock::error(sk) == 0;
    let closed = want(Want::Everything) && new == CLOSE && !stillborn;
    if opened || accepted || shut || closed {
        let Some(room) = ring::reserve::<FullRecord>(counters) else {
            return;
        };
        let mut full = FullRecord::default();
        full.mini.record = record(sk, kind::DETAILED, old, new);
        if want(Want::Everything) && (opened || accepted) {
            full.cookie = Sock::cookie(sk);
            full.cgroup = Sock::cgroup(sk);
        }
        if closed {
            (full.mini.value, full.mini.related) = Sock::payload(sk);
        }
        if opened || shut {
            owner::fill(&mut full);
        }
        room.fill(counters, full);
    } else {
        let kind = if stillborn {
            kind::STILLBORN
        } else {
            kind::TRANSITION
        };
        let Some(room) = ring::reserve::<Record>(counters) else {
            return;
        };
        room.fill(counters, record(sk, kind, old, new));
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
