//! Listeners: connections that nobody accepts, half-open ones, and the settings of both queues.
use super::{
    evidence::{Listener, Space},
    finding::{Rule, Seen},
    words::{counter, finished, number, peers, sockets},
};
use crate::tcp::TcpState;

/// The rules of this group.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "listen_overflow",
        look: listen_overflow,
        why: "The queue of connections that a listener has not accepted is full. The kernel drops the handshake's last \
              segment and new SYNs: the client waits and tries again (1 s, then twice as long each time), or believes \
              it is connected and gets no answer.",
        advice: "The process that is named accepts too slowly: see what it waits for (processor, locks, too few \
                 workers). For bursts, raise the backlog of its listen() together with net.core.somaxconn, which cuts \
                 it, and restart it.",
        avoid: "A longer queue does not help a process that is too slow for good: it only makes clients wait longer. \
                Raising tcp_max_syn_backlog does not change this queue. Do not set tcp_abort_on_overflow.",
        reference: "listen(2); Documentation/networking/snmp_counter.rst, TcpExtListenOverflows",
    },
    Rule {
        id: "syn_recv",
        look: syn_recv,
        why: "Half-open connections: the SYN-ACK went out and the client's ACK has not come. Many that stay are a SYN \
              flood or a path that loses the answers. A listener takes no more of them than its backlog; then come SYN \
              cookies, or, without those, drops.",
        advice: "Keep tcp_syncookies=1. Look at the peers: many addresses with one attempt each are a flood (filter it \
                 upstream); one network is a path that loses SYN-ACKs. For real bursts raise the backlog of listen() \
                 and net.core.somaxconn.",
        avoid: "Raising tcp_max_syn_backlog alone changes nothing while SYN cookies are on: the listener's backlog is \
                the limit.",
        reference: "RFC 4987; Documentation/networking/ip-sysctl.rst, tcp_syncookies, tcp_max_syn_backlog",
    },
    Rule {
        id: "tcp_syncookies",
        look: syncookies,
        why: "With 1 the kernel answers SYNs without remembering them once a listener's queue of half-open connections \
              is full. With 0 it drops them: a trickle of forged SYNs is enough to shut a service off. With 2 it does \
              so always, which is meant for tests.",
        advice: "Leave it at 1.",
        avoid: "Do not turn it off because cookies are seen to be sent: that is a symptom, see syn_recv.",
        reference: "RFC 4987, section 3.6; Documentation/networking/ip-sysctl.rst, tcp_syncookies",
    },
    Rule {
        id: "backlog_limits",
        look: backlog_limits,
        why: "somaxconn cuts the backlog that a program asks for in listen(), and the result limits both its queues. \
              tcp_max_syn_backlog counts only where tcp_syncookies is 0: SYNs from unknown peers are dropped when three \
              quarters of it are half open.",
        advice: "Leave somaxconn at 4096 (the default since Linux 5.4) or higher; set backlogs in the programs.",
        avoid: "Do not raise either as a cure before listen_overflow or syn_recv says that a queue is full.",
        reference: "listen(2); Documentation/networking/ip-sysctl.rst, somaxconn, tcp_max_syn_backlog",
    },
    Rule {
        id: "tcp_abort_on_overflow",
        look: abort_on_overflow,
        why: "With 1, a connection that finds its listener's queue full is reset instead of left to try again: a burst \
              that would have passed turns into errors at the clients.",
        advice: "Leave it at 0; make the process accept faster.",
        avoid: "Do not set it to get rid of half-open connections.",
        reference: "Documentation/networking/ip-sysctl.rst, tcp_abort_on_overflow",
    },
];

/// A queue is nearly full from here on, per cent.
const NEARLY_FULL: u64 = 75;
/// Half-open connections below this are everyday noise of the Internet, whatever their listener's limit.
const FEW: u64 = 8;
/// So many half-open connections whose SYN-ACK had to be sent again are no noise any more.
const FLOOD: u64 = 100;
/// `somaxconn` before Linux 5.4.
const OLD_SOMAXCONN: u64 = 128;

fn name(listener: &Listener) -> String {
    let owner = listener.owner.as_deref().unwrap_or("process not known");
    format!("{} port {} ({owner})", listener.laddr, listener.lport)
}

fn listen_overflow(space: &Space) -> Option<Seen> {
    let listeners = &space.sockets.as_ref()?.listeners;
    let grown = space.counters.grown("ListenOverflows").unwrap_or(0);
    let total = space.counters.total("ListenOverflows").unwrap_or(0);
    let full: Vec<&Listener> = listeners.iter().filter(|one| one.full > 0).collect();
    let seen = if let Some(first) = full.first() {
        let headline = format!("the accept queue of {} is full", name(first));
        Seen::warning(headline)
    } else if grown > 0 {
        Seen::warning(format!(
            "{} times a listener's queue was full while measured",
            number(grown)
        ))
    } else if total > 0 {
        Seen::info(format!(
            "{} times a listener's queue was full at some time",
            number(total)
        ))
    } else {
        return Some(Seen::ok("no accept queue is or was full"));
    };
    let queues = full.into_iter().map(|one| {
        format!(
            "{}: {} wait, limit {} (sock_diag)",
            name(one),
            number(one.waiting),
            number(one.limit)
        )
    });
    let counters = ["ListenOverflows", "ListenDrops"].map(|name| counter(space, name));
    Some(
        seen.with_all(queues)
            .with_all(counters.into_iter().flatten()),
    )
}

fn syn_recv(space: &Space) -> Option<Seen> {
    let all = space.sockets.as_ref()?;
    let half_open = all.of(TcpState::SynRecv);
    let grown = |name| space.counters.grown(name).unwrap_or(0);
    let cookies = grown("TCPReqQFullDoCookies");
    let drops = grown("TCPReqQFullDrop");
    let crowded: Vec<&Listener> = all
        .listeners
        .iter()
        .filter(|one| {
            one.half_open >= FEW && one.half_open * 100 >= one.limit.saturating_mul(NEARLY_FULL)
        })
        .collect();
    let seen = if drops > 0 {
        Seen::warning(format!(
            "{} SYNs were dropped: too many half-open connections",
            number(drops)
        ))
    } else if cookies > 0 {
        let headline = format!(
            "{} SYNs met a full queue and were answered with cookies",
            number(cookies)
        );
        Seen::warning(headline)
    } else if let Some(first) = crowded.first() {
        let headline = format!(
            "{} half-open connections at {}, limit {}",
            number(first.half_open),
            name(first),
            number(first.limit)
        );
        Seen::warning(headline)
    } else if half_open.unanswered >= FLOOD {
        Seen::warning(format!(
            "{} half-open connections do not get on",
            number(half_open.unanswered)
        ))
    } else if half_open.unanswered >= FEW {
        Seen::info(format!(
            "{} half-open connections do not get on",
            number(half_open.unanswered)
        ))
    } else {
        return Some(Seen::ok(format!(
            "{} half-open connections",
            number(half_open.sockets)
        )));
    };
    let now = format!(
        "{} in SYN_RECV now, of which {} have sent their SYN-ACK again (sock_diag)",
        sockets(half_open.sockets),
        number(half_open.unanswered)
    );
    let queues = crowded.into_iter().map(|one| {
        format!(
            "{}: {} half open, limit {}",
            name(one),
            number(one.half_open),
            number(one.limit)
        )
    });
    let counters = ["TCPReqQFullDoCookies", "TCPReqQFullDrop", "SyncookiesSent"];
    let who = peers(&half_open.peers, 0);
    let seen = seen
        .with(now)
        .with_all(queues)
        .with_all((!who.is_empty()).then(|| format!("without an answer from {who}")))
        .with_all(finished(space.measured.as_ref(), TcpState::SynRecv));
    Some(seen.with_all(counters.iter().filter_map(|name| counter(space, name))))
}

fn syncookies(space: &Space) -> Option<Seen> {
    Some(match space.settings.number("tcp_syncookies")? {
        1 => Seen::ok("1, the default: when a queue is full"),
        0 => Seen::warning("SYN cookies are off: forged SYNs can shut a service off"),
        2 => Seen::info("SYN cookies are always sent, which is meant for tests"),
        value => Seen::info(format!(
            "tcp_syncookies has a value that is not known: {value}"
        )),
    })
}

fn backlog_limits(space: &Space) -> Option<Seen> {
    let somaxconn = space.settings.number("somaxconn")?;
    let max_syn_backlog = space.settings.number("tcp_max_syn_backlog")?;
    let text = format!("somaxconn {somaxconn}, tcp_max_syn_backlog {max_syn_backlog}");
    Some(if somaxconn <= OLD_SOMAXCONN {
        Seen::info(format!(
            "somaxconn is {somaxconn}: it cuts the backlog of every listener to that"
        ))
        .with(text)
    } else {
        Seen::ok(text)
    })
}

fn abort_on_overflow(space: &Space) -> Option<Seen> {
    if space.settings.number("tcp_abort_on_overflow")? == 0 {
        return Some(Seen::ok("0, the default"));
    }
    let grown = space.counters.grown("ListenOverflows").unwrap_or(0);
    let seen = if grown > 0 {
        Seen::warning("queues overflow, and their clients are reset")
    } else {
        Seen::info("tcp_abort_on_overflow is on: clients of a full queue are reset")
    };
    Some(seen.with_all(counter(space, "ListenOverflows")))
}
