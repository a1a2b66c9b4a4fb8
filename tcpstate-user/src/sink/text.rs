//! Text lines with the columns of bcc's tcpstates, so that habits and scripts carry over.
use std::io::Write as _;

use super::{Format, WallClock, json::Address, printable};
use crate::tcp::{ContainerId, Owner, Reason, Role, Transition, Tuple};

/// The time columns a user can ask for.
#[derive(Debug, Default)]
pub struct Times {
    /// Wall clock, `HH:MM:SS`.
    pub wall: Option<WallClock>,
    /// Seconds since this monotonic time, ns.
    pub since_ns: Option<u64>,
}

/// The text format.
#[derive(Debug)]
pub struct Text {
    times: Times,
    columns: Columns,
    extended: bool,
}

/// The columns that say whose a connection is, and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// Width of an address: IPv4, or with `--wide` the longest IPv6.
    address: usize,
    comm: usize,
}

impl Columns {
    /// As wide as IPv4 needs, or as IPv6 needs if `wide`.
    #[must_use]
    pub fn new(wide: bool) -> Self {
        let (address, comm) = if wide { (39, 15) } else { (15, 10) };
        Self { address, comm }
    }

    /// Appends the headings.
    pub fn header(&self, line: &mut Vec<u8>) {
        let (a, c) = (self.address, self.comm);
        let _ = write!(
            line,
            "{:<7} {:<c$} {:<a$} {:<5} {:<a$} {:<5} ",
            "PID", "COMM", "LADDR", "LPORT", "RADDR", "RPORT",
        );
    }

    /// Appends a connection's owner and ends.
    pub fn row(&self, line: &mut Vec<u8>, owner: Option<&Owner>, tuple: Option<&Tuple>) {
        match owner {
            Some(owner) => {
                let name = printable(owner.comm.bytes());
                let _ = write!(line, "{:<7} {:<2$.2$} ", owner.pid, name, self.comm);
            }
            None => {
                let _ = write!(line, "{:<7} {:<2$} ", "-", "-", self.comm);
            }
        }
        let a = self.address;
        match tuple {
            Some(tuple) => {
                let _ = write!(line, "{:<a$} ", tuple.laddr);
                match tuple.lport {
                    Some(port) => drop(write!(line, "{port:<5} ")),
                    None => drop(write!(line, "{:<5} ", "-")),
                }
                let _ = write!(line, "{:<a$} {:<5} ", tuple.raddr, tuple.rport);
            }
            None => {
                let _ = write!(line, "{:<a$} {:<5} {:<a$} {:<5} ", "-", "-", "-", "-");
            }
        }
    }
}

impl Text {
    /// Columns as wide as IPv4 needs, or as IPv6 needs if `wide`; if `extended`, with place, role and reason at the end.
    #[must_use]
    pub fn new(times: Times, wide: bool, extended: bool) -> Self {
        Self {
            times,
            columns: Columns::new(wide),
            extended,
        }
    }
}

impl Format for Text {
    fn header(&mut self, line: &mut Vec<u8>) {
        // Writing to a vector cannot fail, here and below.
        if self.times.wall.is_some() {
            let _ = write!(line, "{:<8} ", "TIME");
        }
        if self.times.since_ns.is_some() {
            let _ = write!(line, "{:<11} ", "TIME(s)");
        }
        let _ = write!(line, "{:<16} ", "SKADDR");
        self.columns.header(line);
        let _ = write!(line, "{:<11} -> {:<11} ", "OLDSTATE", "NEWSTATE");
        let _ = if self.extended {
            writeln!(
                line,
                "{:<10} {:<10} {:<12} {:<8} REASON",
                "MS", "NETNS", "CONTAINER", "ROLE"
            )
        } else {
            writeln!(line, "MS")
        };
    }

    fn transition(&mut self, line: &mut Vec<u8>, _seq: u64, transition: &Transition) {
        if let Some(clock) = &mut self.times.wall {
            let _ = write!(line, "{:<8} ", clock.local(transition.mono_ns));
        }
        if let Some(start_ns) = self.times.since_ns {
            let seconds = (transition.mono_ns as f64 - start_ns as f64) / 1e9;
            let _ = write!(line, "{seconds:<11.6} ");
        }
        let _ = match Address::of(transition) {
            Some(address) => write!(line, "{address} "),
            None => write!(line, "{:<16} ", "-"),
        };
        let Transition { owner, tuple, .. } = transition;
        self.columns.row(line, owner.as_ref(), tuple.as_ref());
        let _ = write!(line, "{:<11} -> {:<11} ", transition.from, transition.to);
        let dwell = millis(transition.dwell_ns);
        let _ = if self.extended {
            writeln!(
                line,
                "{dwell:<10} {:<10} {:<12} {:<8} {}",
                transition.netns,
                short(transition.container),
                transition.role.map_or("-", Role::name),
                transition.reason.map_or("-", Reason::name),
            )
        } else {
            writeln!(line, "{dwell}")
        };
    }
}

/// A time in ms with three decimals; `-` if it is not known.
#[must_use]
pub fn millis(ns: Option<u64>) -> String {
    ns.map_or_else(|| "-".to_owned(), |ns| format!("{:.3}", ns as f64 / 1e6))
}

/// The first twelve digits of a container's id, as docker and podman show it; `-` without one.
#[must_use]
pub fn short(container: Option<ContainerId>) -> String {
    container.map_or_else(|| "-".to_owned(), |id| format!("{:.12}", id.to_string()))
}
