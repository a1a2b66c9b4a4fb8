//! Sockets by state as the kernel's own text files show them: the judge of `count`.
use std::{collections::BTreeMap, fs};

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
    let mut counts = none();
    for file in ["tcp", "tcp6"] {
        let path = format!("/proc/thread-self/net/{file}");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        for line in text.lines().skip(1) {
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
