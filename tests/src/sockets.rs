//! Sockets by state as the kernel's own text files show them: the judge of `count`.
use std::{collections::BTreeMap, fs, ops::RangeInclusive};

use crate::poll_until;

/// Sockets by state; a state without sockets is there with 0.
pub type ByState = BTreeMap<String, u64>;

/// The states by the kernel's number, from 1, as the tool prints them. 12 is a request socket, which these files show
/// as 3; 7 is no socket.
const STATES: [&str; 11] = [
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
];

/// Every state with no socket in it.
#[must_use]
pub fn none() -> ByState {
    STATES
        .iter()
        .filter(|state| **state != "CLOSE")
        .map(|state| ((*state).to_owned(), 0))
        .collect()
}

/// The TCP sockets of the calling thread's network namespace.
///
/// # Panics
/// The files are not there or not as expected.
#[must_use]
pub fn by_state() -> ByState {
    by_state_at(0..=u16::MAX)
}

/// Those of them whose local ports are in `ports`.
///
/// # Panics
/// The files are not there or not as expected.
#[must_use]
pub fn by_state_at(ports: RangeInclusive<u16>) -> ByState {
    let mut counts = none();
    for file in ["tcp", "tcp6"] {
        let path = format!("/proc/thread-self/net/{file}");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        for line in text.lines().skip(1) {
            let local = line.split_whitespace().nth(1);
            let port = local
                .and_then(|local| local.split_once(':'))
                .map(|(_, port)| port);
            let port = port.and_then(|hex| u16::from_str_radix(hex, 16).ok());
            let port = port.unwrap_or_else(|| panic!("{path}: no port in: {line}"));
            if !ports.contains(&port) {
                continue;
            }
            let state = line.split_whitespace().nth(3);
            let number = state.and_then(|hex| usize::from_str_radix(hex, 16).ok());
            let name = number
                .and_then(|number| STATES.get(number.checked_sub(1)?))
                .unwrap_or_else(|| panic!("{path}: no state in: {line}"));
            *counts.entry((*name).to_owned()).or_default() += 1;
        }
    }
    counts
}

/// Waits until every connection in the calling thread's network namespace has ended: what closes a socket here may be
/// done a little later by a thread of the kernel. Listeners and the 60 s of `TIME_WAIT` may stay.
///
/// # Panics
/// One does not end.
pub fn await_end() {
    poll_until("all connections to end", || {
        let mut counts = by_state();
        counts.retain(|state, count| *count > 0 && state != "LISTEN" && state != "TIME_WAIT");
        counts.is_empty().then_some(()).ok_or(format!("{counts:?}"))
    });
}
