//! Entry points: they translate a context into arguments and nothing else.
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{fields::Sock, sockets, transition};

/// `sock:inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    let sk: *const Sock = ctx.arg(0);
    let old: i32 = ctx.arg(1);
    let new: i32 = ctx.arg(2);
    transition::observe(&ctx, sk, old as u8, new as u8);
    0
}

/// `iter/tcp`: called for each socket of the namespace whose task opened the iterator, and once more at the end.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub extern "C" fn walk_tcp(ctx: *const sockets::IterContext) -> i32 {
    sockets::visit(ctx);
    0
}
