//! Symptoms: too many sockets in a state that should pass quickly, or that nobody looks after.
use super::{
    evidence::{IDLE_MS, InState, LASTING_MS, Space},
    finding::{Rule, Seen},
    words::{holders, number, peers, sockets, time},
};
use crate::tcp::TcpState;

/// The rules of this group.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "close_wait",
        look: close_wait,
        why: "The peer has closed, and the process here has not: CLOSE_WAIT lasts until the process itself closes the \
              socket, and no timer of the kernel ends it. Each costs a file descriptor, and accept() fails when they \
              run out.",
        advice: "Repair or restart the process that is named: it must close a socket when it reads its end (read \
                 returns 0), also on its error paths. In a connection pool, limit how long an idle connection is kept. \
                 Sockets without a process have not been accepted yet: then the process is too slow or stuck.",
        avoid: "No sysctl shortens CLOSE_WAIT; tcp_fin_timeout and tcp_keepalive_* do not either. A higher limit of \
                file descriptors only puts the failure off.",
        reference: "RFC 9293, section 3.6 (Closing a Connection)",
    },
    Rule {
        id: "fin_wait1",
        look: fin_wait1,
        why: "The process has closed, but the peer or the path does not acknowledge the last data or the FIN. The \
              kernel keeps trying, for minutes by default, and holds the unsent data in memory.",
        advice: "Look at the peers that are named: gone, behind a firewall that dropped its state, or not reading \
                 (probed). If such orphans use up memory, lower tcp_orphan_retries (0 means 8 tries).",
        avoid: "Do not raise tcp_max_orphans to hide them, and do not look at tcp_fin_timeout: it begins only after \
                FIN_WAIT1.",
        reference: "RFC 9293, section 3.6; Documentation/networking/ip-sysctl.rst, tcp_orphan_retries",
    },
    Rule {
        id: "fin_wait2",
        look: fin_wait2,
        why: "This end has closed its direction and the peer has not closed its own. Where the process still holds the \
              socket (it called shutdown, not close), no timer ends that.",
        advice: "Find out why the peer does not close: there it is CLOSE_WAIT, and a fault of the peer's program. Here, \
                 give the process a time limit after shutdown(), then close().",
        avoid: "Do not lower tcp_fin_timeout for these: it ends only those that no process holds any more, and the \
                kernel already does that.",
        reference: "RFC 9293, section 3.6.1 (Half-Closed Connections)",
    },
    Rule {
        id: "last_ack",
        look: last_ack,
        why: "Both ends have closed, but the peer does not acknowledge the last FIN: it is gone, or the path drops the \
              segment. The kernel tries again until it gives up.",
        advice: "Look at the peers and at the path to them (a firewall that forgets a connection as soon as it has \
                 seen the first FIN is the usual cause).",
        avoid: "Do not kill the process: these sockets no longer belong to it.",
        reference: "RFC 9293, section 3.6; Documentation/networking/ip-sysctl.rst, tcp_orphan_retries",
    },
    Rule {
        id: "syn_sent",
        look: syn_sent,
        why: "Connections are being opened to peers that do not answer: down, unreachable, behind a firewall that drops \
              silently, or with a full accept queue. Each caller waits up to the time that tcp_syn_retries allows.",
        advice: "Check the destinations that are named, and the route and firewall to them. Give the program a connect \
                 time limit of its own, and let it back off.",
        avoid: "Do not lower tcp_syn_retries for the whole host to cure one destination: every other connection then \
                fails earlier on a lossy path.",
        reference: "RFC 9293, section 3.8.3 (TCP Connection Failures); RFC 6298, section 2",
    },
    Rule {
        id: "established",
        look: established,
        why: "A peer that vanished without closing leaves its connection ESTABLISHED. It is noticed only if there is \
              data to send (then retransmission gives up after minutes) or if the program asked for keepalive \
              (SO_KEEPALIVE); otherwise never.",
        advice: "Look at the peers that are named. Let the program set SO_KEEPALIVE with TCP_KEEPIDLE, and \
                 TCP_USER_TIMEOUT for data that nobody acknowledges, or a time limit of its own protocol.",
        avoid: "Setting tcp_keepalive_time alone changes nothing for sockets without SO_KEEPALIVE.",
        reference: "RFC 9293, section 3.8.4 (TCP Keep-Alives); RFC 5482",
    },
];

/// So many sockets of one kind are no accident: fewer are left over by any pool or by a few peers that vanished.
const PILE: u64 = 10;
/// … where they are also one in so many connections: on a host with thousands of peers, some are always vanishing.
const SHARE: u64 = 20;
/// So many half-closed connections that a process holds: protocols that close one way first have a few at any time.
const HALF_CLOSED: u64 = 100;
/// So many idle connections without keepalive, if they are also half of all: pools have some for good reason.
const IDLE: u64 = 1000;

fn is_pile(count: u64, space: &Space) -> bool {
    let connections = space.sockets.as_ref().map_or(0, |all| all.connections());
    count >= PILE && count.saturating_mul(SHARE) >= connections
}

fn close_wait(space: &Space) -> Option<Seen> {
    let all = space.sockets.as_ref()?.of(TcpState::CloseWait);
    let sojourn = space.measured.as_ref().map(|it| it.of(TcpState::CloseWait));
    // Not by age alone: a half-closed connection on which this end still sends is in use.
    let lasting = all.lasting;
    let holders_known = sojourn.is_some_and(|it| !it.holders.is_empty());
    let one_has_many = sojourn.is_some_and(|it| it.holders.iter().any(|held| held.sockets >= PILE));
    let what = format!(
        "{} in CLOSE_WAIT, quiet for {} or more",
        sockets(lasting),
        time(LASTING_MS)
    );
    let seen = if lasting >= PILE && (one_has_many || !holders_known) {
        Seen::warning(what)
    } else if lasting > 0 {
        Seen::info(what)
    } else {
        return Some(Seen::ok(format!(
            "{} in CLOSE_WAIT, none for long",
            number(all.sockets)
        )));
    };
    let seen = seen.with(format!(
        "{} in CLOSE_WAIT now (sock_diag)",
        sockets(all.sockets)
    ));
    Some(seen.with_all(holders(space.measured.as_ref(), TcpState::CloseWait)))
}

/// Sockets whose peer does not answer.
fn unanswered(space: &Space, state: TcpState) -> Option<Seen> {
    let all = space.sockets.as_ref()?.of(state);
    let stuck = all.unanswered + all.probing;
    let headline = format!("{} in {state} without an answer", sockets(stuck));
    // A single attempt to connect is worth a word; elsewhere some peers are always vanishing.
    let few = if state == TcpState::SynSent { 1 } else { PILE };
    let seen = if is_pile(stuck, space) {
        Seen::warning(headline)
    } else if stuck >= few {
        Seen::info(headline)
    } else {
        return Some(Seen::ok(format!(
            "{} in {state}, {} without an answer",
            number(all.sockets),
            number(stuck)
        )));
    };
    let seen = seen
        .with(stuck_in_words(all, state))
        .with_all(peers_of(all));
    Some(seen.with_all(holders(space.measured.as_ref(), state)))
}

fn stuck_in_words(all: &InState, state: TcpState) -> String {
    let again = if state == TcpState::SynSent {
        "have sent their SYN again"
    } else {
        "have sent the same segment at least three times"
    };
    let mut text = format!(
        "{} in {state} now, of which {} {again}",
        sockets(all.sockets),
        number(all.unanswered)
    );
    if all.probing > 0 {
        text += &format!(" and {} wait for room at the peer", number(all.probing));
    }
    text + " (sock_diag)"
}

fn peers_of(all: &InState) -> Option<String> {
    let peers = peers(&all.peers, 0);
    (!peers.is_empty()).then(|| format!("without an answer from {peers}"))
}

fn fin_wait1(space: &Space) -> Option<Seen> {
    unanswered(space, TcpState::FinWait1)
}

fn last_ack(space: &Space) -> Option<Seen> {
    unanswered(space, TcpState::LastAck)
}

fn syn_sent(space: &Space) -> Option<Seen> {
    unanswered(space, TcpState::SynSent)
}

fn fin_wait2(space: &Space) -> Option<Seen> {
    let all = space.sockets.as_ref()?.of(TcpState::FinWait2);
    let held = all.sockets - all.orphans;
    let detail = format!(
        "{} in FIN_WAIT2 now: {} held by a process, {} without one (sock_diag); the kernel ends the latter after \
         tcp_fin_timeout",
        sockets(all.sockets),
        number(held),
        number(all.orphans)
    );
    let headline = format!(
        "{} half closed for {} or more, held by a process",
        sockets(all.lasting),
        time(LASTING_MS)
    );
    let seen = if all.lasting >= HALF_CLOSED {
        Seen::warning(headline)
    } else if all.lasting > 0 {
        Seen::info(headline)
    } else if all.orphans >= HALF_CLOSED {
        Seen::info(format!(
            "{} in FIN_WAIT2 without a process",
            sockets(all.orphans)
        ))
    } else {
        return Some(Seen::ok(format!("{} in FIN_WAIT2", number(all.sockets))));
    };
    let seen = seen.with(detail);
    Some(seen.with_all(holders(space.measured.as_ref(), TcpState::FinWait2)))
}

fn established(space: &Space) -> Option<Seen> {
    let all = space.sockets.as_ref()?.of(TcpState::Established);
    let detail = format!(
        "{} ESTABLISHED now: {} with a keepalive timer, {} without one that have been quiet for {} (sock_diag)",
        sockets(all.sockets),
        number(all.keepalive),
        number(all.idle),
        time(IDLE_MS)
    );
    if all.unanswered >= PILE {
        let headline = format!(
            "{} ESTABLISHED whose peer does not answer",
            sockets(all.unanswered)
        );
        let seen = if is_pile(all.unanswered, space) {
            Seen::warning(headline)
        } else {
            Seen::info(headline)
        };
        let seen = seen
            .with(stuck_in_words(all, TcpState::Established))
            .with(detail);
        return Some(seen.with_all(peers_of(all)));
    }
    if all.idle == 0 {
        return Some(Seen::ok(format!(
            "{} ESTABLISHED, {} without an answer",
            number(all.sockets),
            number(all.unanswered)
        )));
    }
    let headline = format!(
        "{} ESTABLISHED, quiet for {} and without keepalive",
        sockets(all.idle),
        time(IDLE_MS)
    );
    let seen = if all.idle >= IDLE && all.idle * 2 >= all.sockets {
        Seen::warning(headline)
    } else {
        Seen::info(headline)
    };
    let seen = seen.with(detail);
    Some(seen.with_all(holders(space.measured.as_ref(), TcpState::Established)))
}
