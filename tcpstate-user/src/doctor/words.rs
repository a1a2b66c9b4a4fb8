//! Numbers and names in words, the same in every finding.
use std::net::IpAddr;

use super::evidence::{Finished, Held, Measured, Space};
use crate::tcp::TcpState;

/// A number with its thousands apart: `18,412`.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 socket`, `18,412 sockets`.
pub(super) fn sockets(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} socket{plural}", number(count))
}

/// A time given in milliseconds.
pub(super) fn time(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 if ms % 1_000 >= 50 => format!("{:.1} s", ms as f64 / 1e3),
        1_000..600_000 => format!("{} s", (ms + 500) / 1_000),
        600_000..10_800_000 => format!("{} min", ms / 60_000),
        10_800_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

/// A counter of the kernel: its growth and its total, as far as known; `None` where it is not known at all.
pub(super) fn counter(space: &Space, name: &str) -> Option<String> {
    let total = space.counters.total(name)?;
    let watched = space.counters.watched.as_ref();
    let grown = watched.zip(space.counters.grown(name));
    let grown = grown
        .map(|(watched, grown)| format!("{} more in {}, ", number(grown), time(watched.span_ms)));
    Some(format!(
        "{name}: {}{} in all (/proc/net/netstat)",
        grown.unwrap_or_default(),
        number(total)
    ))
}

/// The processes that hold the sockets in `state`, a line each, as measured.
pub(super) fn holders(measured: Option<&Measured>, state: TcpState) -> Vec<String> {
    let Some(sojourn) = measured.map(|measured| measured.of(state)) else {
        return Vec::new();
    };
    let mut lines: Vec<String> = sojourn.holders.iter().map(holder).collect();
    if sojourn.other_holders > 0 {
        lines.push(format!(
            "and {} other processes",
            number(sojourn.other_holders)
        ));
    }
    lines
}

fn holder(held: &Held) -> String {
    let who = match (held.pid, &held.comm) {
        (Some(pid), Some(comm)) => {
            let command = held.command_line.as_deref().unwrap_or_default();
            format!("{comm}[{pid}] {command}").trim_end().to_owned()
        }
        _ => "no known process".to_owned(),
    };
    let least = if held.exact { "" } else { "at least " };
    let peers = peers(&held.peers, held.other_peers);
    let peers = if peers.is_empty() {
        peers
    } else {
        format!("; {peers}")
    };
    format!(
        "{who}: {}, oldest {least}{}{peers}",
        sockets(held.sockets),
        time(held.oldest_ms)
    )
}

/// `peers 10.0.0.1 (4), 10.0.0.2 (1) and 3 more`; empty if there are none.
pub(super) fn peers(peers: &[(IpAddr, u64)], more: u64) -> String {
    let list: Vec<String> = peers
        .iter()
        .map(|(peer, sockets)| format!("{peer} ({})", number(*sockets)))
        .collect();
    match (list.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!("peers {}", list.join(", ")),
        (false, more) => format!("peers {} and {} more", list.join(", "), number(more)),
    }
}

/// How long stays in `state` took that ended in the measurement, if there were any.
pub(super) fn finished(measured: Option<&Measured>, state: TcpState) -> Option<String> {
    let Finished {
        count,
        p50_us,
        p99_us,
        max_us,
    } = measured?.of(state).finished?;
    Some(format!(
        "{} stays in {state} ended while measured: half of them within {}, 99 % within {}, the longest {}",
        number(count),
        time(p50_us / 1000),
        time(p99_us / 1000),
        time(max_us / 1000),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_easily() {
        let numbers = [0, 999, 1000, 18_412, 1_234_567].map(number);
        assert_eq!(numbers, ["0", "999", "1,000", "18,412", "1,234,567"]);
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (5_000, "5 s"),
            (5_140, "5.1 s"),
            (924_600, "15 min"),
            (131_000, "131 s"),
            (7_875_000, "131 min"),
            (10_800_000, "3 h"),
            (172_800_000, "2 days"),
        ] {
            assert_eq!(time(ms), text, "{ms}");
        }
        assert_eq!(sockets(1), "1 socket");
    }
}
