//! How long the kernel tries: what the retry and keepalive settings come to in seconds; and what it runs out of.
use super::{
    evidence::Space,
    finding::{Rule, Seen},
    words::{counter, number, sockets, time},
};

/// The rules of this group.
pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "tcp_max_orphans",
        look: orphans,
        why: "Sockets that no process holds any more but that still have data or a FIN to deliver. Beyond \
              tcp_max_orphans, or where TCP is out of memory, the kernel resets them at once and their data is lost.",
        advice: "See fin_wait1 and last_ack for the peers that do not answer. Raise tcp_max_orphans only with the \
                 memory for it (up to 64 KiB each).",
        avoid: "Do not raise the limit to hide peers that are gone.",
        reference: "Documentation/networking/ip-sysctl.rst, tcp_max_orphans",
    },
    Rule {
        id: "tcp_synack_retries",
        look: synack_retries,
        why: "How often a SYN-ACK is sent again, and so how long a half-open connection is kept: 63 s with the \
              default 5. Where a listener's queue of them is more than half full, the kernel gives old ones up sooner \
              by itself.",
        advice: "Leave it at 5; under a SYN flood 2 or 3 frees the queue sooner.",
        avoid: "Do not set it to 0 or 1 for good: one lost segment then costs a client its connection.",
        reference: "Documentation/networking/ip-sysctl.rst, tcp_synack_retries; RFC 6298, section 2",
    },
    Rule {
        id: "tcp_syn_retries",
        look: syn_retries,
        why: "How often a SYN is sent again before connect() fails with ETIMEDOUT. The default 6 means 127 s, and 131 s \
              where tcp_syn_linear_timeouts is 4 (Linux 6.5 and later).",
        advice: "Leave it; use a connect time limit in the program, or TCP_SYNCNT on the socket.",
        avoid: "Do not lower it for the whole host because of one destination.",
        reference: "Documentation/networking/ip-sysctl.rst, tcp_syn_retries, tcp_syn_linear_timeouts",
    },
    Rule {
        id: "tcp_retries",
        look: retries,
        why: "tcp_retries2 limits how long an established connection retransmits without an answer (15: at least \
              924.6 s); tcp_retries1 when the kernel begins to look for another route (3). RFC 1122 asks for at least \
              100 s, which is 8.",
        advice: "Leave them; programs that must notice sooner set TCP_USER_TIMEOUT on their sockets.",
        avoid: "Do not lower tcp_retries2 below 8 for a whole host: a short outage of the network then ends every \
                connection.",
        reference: "RFC 1122, section 4.2.3.5; Documentation/networking/ip-sysctl.rst, tcp_retries1, tcp_retries2",
    },
    Rule {
        id: "tcp_keepalive",
        look: keepalive,
        why: "Applies only to sockets for which the program set SO_KEEPALIVE: after tcp_keepalive_time of silence, \
              probes every tcp_keepalive_intvl; the connection is dead after tcp_keepalive_probes without an answer: \
              2 h 11 min by default.",
        advice: "Where firewalls or NAT forget idle connections sooner (often after 5 to 60 minutes), set \
                 TCP_KEEPIDLE in the program, or lower tcp_keepalive_time below that.",
        avoid: "Do not expect it to find dead peers of sockets without SO_KEEPALIVE, nor of those with data \
                unacknowledged: for these tcp_retries2 counts.",
        reference: "RFC 9293, section 3.8.4; Documentation/networking/ip-sysctl.rst, tcp_keepalive_time",
    },
];

/// First retransmission timeouts, ms: of a SYN (RFC 6298), and the shortest of an established connection.
const SYN_RTO_MS: u64 = 1_000;
const MIN_RTO_MS: u64 = 200;
/// The longest retransmission timeout, ms (`TCP_RTO_MAX`).
const MAX_RTO_MS: u64 = 120_000;
/// The kernel's defaults.
const SYNACK_RETRIES: u64 = 5;
const SYN_RETRIES: u64 = 6;
const RETRIES: (u64, u64) = (3, 15);
const KEEPALIVE: (u64, u64, u64) = (7200, 75, 9);
/// RFC 1122, section 4.2.3.5: at least 100 s.
const LEAST_RETRIES2: u64 = 8;
/// Per cent of `tcp_max_orphans`.
const NEARLY_ALL: u64 = 80;

/// How long the first transmission and so many repeated ones take, the time-out doubling each time, ms.
fn backed_off(first_ms: u64, retries: u64) -> u64 {
    (0..=retries.min(255))
        .map(|again| {
            let doubled = u32::try_from(again)
                .ok()
                .and_then(|again| 1_u64.checked_shl(again.min(32)));
            first_ms
                .saturating_mul(doubled.unwrap_or(u64::MAX))
                .min(MAX_RTO_MS)
        })
        .sum()
}

/// The limit counts the orphans of all namespaces, and only the initial one shows it; each has the counter for itself.
fn orphans(space: &Space) -> Option<Seen> {
    let total = space.counters.total("TCPAbortOnMemory")?;
    let grown = space.counters.grown("TCPAbortOnMemory").unwrap_or(0);
    let limit = space.settings.number("tcp_max_orphans");
    let there = space.counters.sockstat.get("orphan").copied();
    let taken = there.zip(limit);
    let nearly_all =
        taken.is_some_and(|(there, limit)| there * 100 >= limit.saturating_mul(NEARLY_ALL));
    let in_words = taken.map_or_else(
        || "none thrown away; the limit is that of the initial network namespace".to_owned(),
        |(there, limit)| {
            format!(
                "{} orphaned sockets of at most {}",
                number(there),
                number(limit)
            )
        },
    );
    let seen = if grown > 0 {
        Seen::warning(format!(
            "{} thrown away: too many orphans, or no memory",
            sockets(grown)
        ))
    } else if nearly_all {
        Seen::warning(in_words)
    } else if total > 0 {
        Seen::info(format!(
            "{} thrown away at some time: too many orphans, or no memory",
            sockets(total)
        ))
    } else {
        return Some(Seen::ok(in_words));
    };
    let now = taken.map(|(there, limit)| {
        format!(
            "{} orphans now (/proc/net/sockstat), tcp_max_orphans {}",
            number(there),
            number(limit)
        )
    });
    Some(
        seen.with_all(now)
            .with_all(counter(space, "TCPAbortOnMemory")),
    )
}

fn synack_retries(space: &Space) -> Option<Seen> {
    let value = space.settings.number("tcp_synack_retries")?;
    let kept = time(backed_off(SYN_RTO_MS, value));
    Some(if value == SYNACK_RETRIES {
        Seen::ok(format!(
            "{value}, the default: half open for {kept} at most"
        ))
    } else {
        Seen::info(format!(
            "tcp_synack_retries is {value}: half open for {kept} at most"
        ))
    })
}

fn syn_retries(space: &Space) -> Option<Seen> {
    let value = space.settings.number("tcp_syn_retries")?;
    // Each of these comes a second after the one before, and delays the others.
    let linear = space
        .settings
        .number("tcp_syn_linear_timeouts")
        .unwrap_or(0);
    let fails = time(backed_off(SYN_RTO_MS, value) + linear * SYN_RTO_MS);
    Some(if value == SYN_RETRIES {
        Seen::ok(format!(
            "{value}, the default: connect() fails after {fails}"
        ))
    } else {
        Seen::info(format!(
            "tcp_syn_retries is {value}: connect() fails after {fails}"
        ))
    })
}

fn retries(space: &Space) -> Option<Seen> {
    let first = space.settings.number("tcp_retries1")?;
    let second = space.settings.number("tcp_retries2")?;
    let least = time(backed_off(MIN_RTO_MS, second));
    let text =
        format!("tcp_retries1 {first}, tcp_retries2 {second}: gives up after {least} at least");
    Some(if (first, second) == RETRIES {
        Seen::ok(text)
    } else if second < LEAST_RETRIES2 {
        Seen::info(text).with("RFC 1122 asks for at least 100 s, which is 8 retries")
    } else {
        Seen::info(text)
    })
}

fn keepalive(space: &Space) -> Option<Seen> {
    let [after, every, probes] = ["time", "intvl", "probes"]
        .map(|name| space.settings.number(&format!("tcp_keepalive_{name}")));
    let (after, every, probes) = (after?, every?, probes?);
    let dead = time((after + every * probes) * 1000);
    let text = format!(
        "{after} s, then {probes} probes {every} s apart: a dead peer is noticed after {dead}"
    );
    Some(if (after, every, probes) == KEEPALIVE {
        Seen::ok(text)
    } else {
        Seen::info(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outs_are_those_of_the_kernels_documentation() {
        assert_eq!(backed_off(SYN_RTO_MS, 5), 63_000, "tcp_synack_retries");
        assert_eq!(backed_off(SYN_RTO_MS, 6), 127_000, "tcp_syn_retries");
        assert_eq!(backed_off(MIN_RTO_MS, 15), 924_600, "tcp_retries2");
        assert_eq!(backed_off(MIN_RTO_MS, 8), 102_200, "RFC 1122");
        assert!(backed_off(SYN_RTO_MS, u64::MAX) < 255 * MAX_RTO_MS + 1);
    }
}
