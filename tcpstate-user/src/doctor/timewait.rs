//! TIME_WAIT, and the settings that old recipes change because of it.
use super::{
    evidence::Space,
    finding::{Rule, Seen},
    words::{counter, finished, holders, number, sockets},
};
use crate::tcp::TcpState;

/// The rules of this group.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "tcp_max_tw_buckets",
        look: max_tw_buckets,
        why: "A safety valve: where there are that many already, the kernel makes no TIME_WAIT at all and the connection \
              ends at once. Then a segment that is late can harm the next connection between the same ports.",
        advice: "Raise tcp_max_tw_buckets above what the host needs (connections closed here a second, times 60); one \
                 costs a few hundred bytes. Better still, reuse connections.",
        avoid: "Do not lower it to make TIME_WAIT go away: it removes the protection, not the load.",
        reference: "Documentation/networking/ip-sysctl.rst, tcp_max_tw_buckets; RFC 9293, section 3.6",
    },
    Rule {
        id: "time_wait",
        look: time_wait,
        why: "The end that closes first keeps TIME_WAIT for 60 s. Many of them mean many short connections; they cost \
              little memory, no file descriptor and no processor time. What can run out is local ports towards one \
              destination (ip_local_port_range) and tcp_max_tw_buckets; each has a rule of its own.",
        advice: "Reuse connections (HTTP keep-alive, pools), or let the other end close first. If neither of the two \
                 limits is near, nothing needs to be done.",
        avoid: "tcp_fin_timeout does not shorten TIME_WAIT: its 60 s are fixed in the kernel. tcp_tw_recycle no longer \
                exists.",
        reference: "RFC 9293, section 3.6; RFC 6191",
    },
    Rule {
        id: "tcp_fin_timeout",
        look: fin_timeout,
        why: "How long an orphaned FIN_WAIT2 (closed by its process, peer has not closed) is kept. It has nothing to do \
              with TIME_WAIT, which lasts 60 s whatever stands here. Above 60, the kernel waits twice the excess \
              beyond 60 s instead.",
        advice: "Leave it at 60, unless orphaned FIN_WAIT2 pile up and use memory.",
        avoid: "Do not lower it against TIME_WAIT: that is the oldest mistake about it. Too low a value resets peers \
                that answer slowly.",
        reference: "Documentation/networking/ip-sysctl.rst, tcp_fin_timeout",
    },
    Rule {
        id: "tcp_tw_reuse",
        look: tw_reuse,
        why: "Lets connect() take the port of a TIME_WAIT towards the same destination that is at least a second old: \
              0 never, 1 always, 2 (the default) on loopback only. It needs timestamps at both ends, and helps only the \
              end that connects.",
        advice: "Leave it at 2. Use 1 where this host runs out of local ports towards one destination and both ends use \
                 timestamps.",
        avoid: "Do not set it on a server to reduce TIME_WAIT: incoming connections do not use it, and the number of \
                TIME_WAIT hardly changes.",
        reference: "Documentation/networking/ip-sysctl.rst, tcp_tw_reuse; RFC 6191",
    },
    Rule {
        id: "tcp_tw_recycle",
        look: tw_recycle,
        why: "It dropped connections of clients behind the same NAT. Linux 4.12 removed it; a line of sysctl.conf that \
              names it does nothing but print an error.",
        advice: "Delete it from the configuration.",
        avoid: "Do not look for a replacement: nothing shortens TIME_WAIT on the side that accepts.",
        reference: "Linux 4.12, commit 4396e46187ca (tcp: remove tcp_tw_recycle)",
    },
    Rule {
        id: "tcp_rfc1337",
        look: rfc1337,
        why: "With 0, the default, a reset in the window ends a TIME_WAIT early; with 1 it is ignored, as RFC 1337 \
              advises.",
        advice: "Either is sound; 1 costs nothing but TIME_WAIT that lasts its full time.",
        avoid: "Do not expect it to change the number of TIME_WAIT under normal traffic.",
        reference: "RFC 1337; Documentation/networking/ip-sysctl.rst, tcp_rfc1337",
    },
];

/// `tcp_max_tw_buckets` is near from here on, per cent.
const NEARLY_FULL: u64 = 90;
/// So many TIME_WAIT are worth a word: about 17 connections closed here a second.
const MANY: u64 = 1000;

fn max_tw_buckets(space: &Space) -> Option<Seen> {
    let limit = space.settings.number("tcp_max_tw_buckets")?;
    let sockets = space.sockets.as_ref()?;
    // Orphaned FIN_WAIT2 are kept in the same way, and count.
    let there = sockets.of(TcpState::TimeWait).sockets + sockets.of(TcpState::FinWait2).minis;
    let setting = format!(
        "{} mini-sockets now (sock_diag), tcp_max_tw_buckets {}",
        number(there),
        number(limit)
    );
    let overflow = counter(space, "TCPTimeWaitOverflow");
    let grown = space.counters.grown("TCPTimeWaitOverflow").unwrap_or(0);
    let total = space.counters.total("TCPTimeWaitOverflow").unwrap_or(0);
    let seen = if grown > 0 {
        Seen::warning(format!(
            "{} TIME_WAIT were not made for want of room",
            number(grown)
        ))
    } else if there * 100 >= limit.saturating_mul(NEARLY_FULL) {
        Seen::warning(format!(
            "{} of {} places for TIME_WAIT are taken",
            number(there),
            number(limit)
        ))
    } else if total > 0 {
        Seen::info(format!(
            "{} TIME_WAIT were not made at some time",
            number(total)
        ))
    } else {
        return Some(Seen::ok(format!(
            "{} of {} taken",
            number(there),
            number(limit)
        )));
    };
    Some(seen.with(setting).with_all(overflow))
}

fn time_wait(space: &Space) -> Option<Seen> {
    let there = space.sockets.as_ref()?.of(TcpState::TimeWait).sockets;
    if there < MANY {
        return Some(Seen::ok(format!("{} in TIME_WAIT", number(there))));
    }
    let measured = space.measured.as_ref();
    let rate = measured
        .filter(|measured| measured.span_ms > 0)
        .map(|measured| {
            let entered = measured.of(TcpState::TimeWait).entered;
            let rate = entered as f64 * 1e3 / measured.span_ms as f64;
            format!("{rate:.1} a second are added (measured)")
        });
    let seen = Seen::info(format!("{} in TIME_WAIT", sockets(there)))
        .with_all(rate)
        .with_all(finished(measured, TcpState::TimeWait));
    Some(seen.with_all(holders(measured, TcpState::TimeWait)))
}

/// The kernel's default of `tcp_fin_timeout`, and the length of TIME_WAIT, s.
const FIN_TIMEOUT: u64 = 60;

fn fin_timeout(space: &Space) -> Option<Seen> {
    let value = space.settings.number("tcp_fin_timeout")?;
    if value == FIN_TIMEOUT {
        return Some(Seen::ok(format!(
            "{value} s, the default; orphaned FIN_WAIT2 only"
        )));
    }
    let kept = if value > FIN_TIMEOUT {
        2 * (value - FIN_TIMEOUT)
    } else {
        value
    };
    let seen = Seen::info(format!(
        "tcp_fin_timeout is {value} s; TIME_WAIT still lasts 60 s"
    ))
    .with(format!("orphaned FIN_WAIT2 are kept for about {kept} s"));
    Some(seen.with_all(finished(space.measured.as_ref(), TcpState::FinWait2)))
}

fn tw_reuse(space: &Space) -> Option<Seen> {
    let value = space.settings.number("tcp_tw_reuse")?;
    let timestamps = space.settings.number("tcp_timestamps")?;
    let setting = format!("tcp_tw_reuse {value}, tcp_timestamps {timestamps}");
    Some(match (value, timestamps) {
        (0, _) => Seen::info("TIME_WAIT is never reused, not even on loopback").with(setting),
        (1, 0) => {
            Seen::warning("tcp_tw_reuse is 1, but without timestamps it does nothing").with(setting)
        }
        (1, _) => Seen::info("TIME_WAIT is reused for outgoing connections").with(setting),
        (2, _) => Seen::ok("2, the default: on loopback only"),
        _ => Seen::info(format!(
            "tcp_tw_reuse has a value that is not known: {value}"
        )),
    })
}

fn tw_recycle(space: &Space) -> Option<Seen> {
    if space.settings.0.is_empty() {
        return None;
    }
    let there = space.settings.number("tcp_tw_recycle");
    Some(match there {
        None => Seen::ok("this kernel has it no longer (since 4.12)"),
        Some(0) => Seen::ok("off"),
        Some(value) => Seen::warning(format!(
            "tcp_tw_recycle is {value}: it drops clients behind a NAT"
        )),
    })
}

fn rfc1337(space: &Space) -> Option<Seen> {
    Some(match space.settings.number("tcp_rfc1337")? {
        0 => Seen::ok("0, the default: a reset may end a TIME_WAIT"),
        value => Seen::info(format!(
            "tcp_rfc1337 is {value}: resets do not end a TIME_WAIT"
        )),
    })
}
