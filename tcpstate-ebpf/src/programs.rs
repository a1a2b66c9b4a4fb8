//! Entry points: they translate a context into arguments and nothing else. Where the kernel's function has another
//! name on some versions, the loader chooses it.
use aya_ebpf::{
    macros::{btf_tracepoint, fentry, fexit},
    programs::{BtfTracePointContext, FEntryContext, FExitContext},
};
use tcpstate_ebpf::kind;

use crate::{fields::Sock, owner, request, sockets, timer, timewait, transition};

/// `sock:inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    let sk: *const Sock = ctx.arg(0);
    let old: i32 = ctx.arg(1);
    let new: i32 = ctx.arg(2);
    transition::observe(&ctx, sk, old as u8, new as u8);
    0
}

/// The same tracepoint, for what the program above was not run for.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn nested_set_state(ctx: BtfTracePointContext) -> i32 {
    let sk: *const Sock = ctx.arg(0);
    let old: i32 = ctx.arg(1);
    let new: i32 = ctx.arg(2);
    transition::observe_nested(&ctx, sk, old as u8, new as u8);
    0
}

/// `iter/tcp`: called for each socket of the namespace whose task opened the iterator, and once more at the end.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub extern "C" fn walk_tcp(ctx: *const sockets::IterContext) -> i32 {
    sockets::visit(ctx);
    0
}

/// `iter/task_file`: called for each open file of each process, and once more at the end.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn walk_files(ctx: *const owner::FileContext) -> i32 {
    owner::held(ctx);
    0
}

/// `sock:sock_recv_length(sk, ret, flags)`: a task asked to receive from a socket; from 6.3.
#[btf_tracepoint(function = "sock_recv_length")]
pub fn socket_received(ctx: BtfTracePointContext) -> i32 {
    owner::received(ctx.arg(0));
    0
}

/// `tcp:tcp_rcv_space_adjust(sk)`: data was copied from a socket; before.
#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub fn socket_copied(ctx: BtfTracePointContext) -> i32 {
    owner::copied(ctx.arg(0));
    0
}

/// `inet_csk_accept(sk, arg)`, which returns the socket that was accepted; from 6.10.
#[fexit]
pub fn socket_accepted(ctx: FExitContext) -> i32 {
    owner::accepted(ctx.arg(2));
    0
}

/// `inet_csk_accept(sk, flags, err, kern)`, before.
#[fexit]
pub fn socket_accepted_4(ctx: FExitContext) -> i32 {
    owner::accepted(ctx.arg(4));
    0
}

/// `inet_twsk_hashdance_schedule(tw, sk, hashinfo, timeo)` from 6.12, `inet_twsk_hashdance(tw, sk, hashinfo)` before.
#[fentry]
pub fn timewait_created(ctx: FEntryContext) -> i32 {
    timewait::created(ctx.arg(0));
    0
}

/// `__inet_twsk_schedule(tw, timeo, bool rearm)`.
#[fentry]
pub fn timewait_scheduled(ctx: FEntryContext) -> i32 {
    let rearm: u64 = ctx.arg(2);
    // 5.10 stores one byte of a `bool` argument and leaves what was beside it.
    if rearm & 0xff != 0 {
        timewait::rearmed(ctx.arg(0));
    }
    0
}

/// `tcp_timewait_state_process(tw, skb, th, …)`.
#[fentry]
pub fn timewait_segment(ctx: FEntryContext) -> i32 {
    timewait::segment(ctx.arg(0), ctx.arg(2));
    0
}

/// `tw_timer_handler(timer)`.
#[fentry]
pub fn timewait_timer(ctx: FEntryContext) -> i32 {
    timewait::timer(ctx.arg(0));
    0
}

/// `inet_twsk_deschedule_put(tw)`.
#[fentry]
pub fn timewait_descheduled(ctx: FEntryContext) -> i32 {
    timewait::descheduled(ctx.arg(0));
    0
}

/// `tcp_twsk_destructor(sk)`.
#[fentry]
pub fn timewait_ended(ctx: FEntryContext) -> i32 {
    timewait::ended(ctx.arg(0));
    0
}

/// `inet_twsk_alloc(sk, dr, state)`, which returns no timewait socket when there are too many.
#[fexit]
pub fn timewait_allocated(ctx: FExitContext) -> i32 {
    let allocated: u64 = ctx.arg(3);
    if allocated == 0 {
        timewait::overflow(ctx.arg(0));
    }
    0
}

/// `inet_csk_reqsk_queue_hash_add(sk, req, …)`.
#[fentry]
pub fn request_added(ctx: FEntryContext) -> i32 {
    request::added(ctx.arg(1));
    0
}

/// `reqsk_timer_handler(timer)`.
#[fentry]
pub fn request_timer(ctx: FEntryContext) -> i32 {
    request::timer(ctx.arg(0));
    0
}

/// `tcp_check_req(sk, skb, req, …)`.
#[fentry]
pub fn request_segment(ctx: FEntryContext) -> i32 {
    request::segment(ctx.arg(1), ctx.arg(2));
    0
}

/// `tcp_req_err(sk, seq, abort)`: an ICMP error for a request, which is `sk`.
#[fentry]
pub fn request_unreachable(ctx: FEntryContext) -> i32 {
    request::unreachable(ctx.arg(0));
    0
}

/// `tcp_abort(sk, err)`: `SOCK_DESTROY` of a socket of any kind.
#[fentry]
pub fn socket_aborted(ctx: FEntryContext) -> i32 {
    request::aborted(ctx.arg(0));
    0
}

/// `tcp_v4_reqsk_destructor(req)`.
#[fentry]
pub fn request_ended_v4(ctx: FEntryContext) -> i32 {
    request::ended(ctx.arg(0));
    0
}

/// `tcp_v6_reqsk_destructor(req)`.
#[fentry]
pub fn request_ended_v6(ctx: FEntryContext) -> i32 {
    request::ended(ctx.arg(0));
    0
}

/// `timer:timer_start(timer, …)`.
#[btf_tracepoint(function = "timer_start")]
pub fn timer_start(ctx: BtfTracePointContext) -> i32 {
    timer::observe(ctx.arg(0), kind::TIMER_START);
    0
}

/// `timer:timer_cancel(timer)`.
#[btf_tracepoint(function = "timer_cancel")]
pub fn timer_cancel(ctx: BtfTracePointContext) -> i32 {
    timer::observe(ctx.arg(0), kind::TIMER_CANCEL);
    0
}

/// `timer:timer_expire_entry(timer, baseclk)`.
#[btf_tracepoint(function = "timer_expire_entry")]
pub fn timer_expire_entry(ctx: BtfTracePointContext) -> i32 {
    timer::observe(ctx.arg(0), kind::TIMER_EXPIRE);
    0
}

/// `skb:kfree_skb(skb, location, reason, rx_sk)`; kernels before 6.11 have no `rx_sk`, and this does not load there.
#[btf_tracepoint(function = "kfree_skb")]
pub fn kfree_skb(ctx: BtfTracePointContext) -> i32 {
    timer::segment_freed(ctx.arg(0), ctx.arg(3));
    0
}
