//! Text lines with the columns of bcc's tcpstates, so that habits and scripts carry over.
use std::io::Write as _;

use super::{Format, WallClock, printable};
use crate::tcp::Transition;

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
    /// Width of an address column: IPv4, or with `--wide` the longest IPv6.
    address: usize,
    comm: usize,
}

impl Text {
    /// Columns as wide as IPv4 needs, or as IPv6 needs if `wide`.
    #[must_use]
    pub fn new(times: Times, wide: bool) -> Self {
        let (address, comm) = if wide { (39, 15) } else { (15, 10) };
        Self {
            times,
            address,
            comm,
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
        let (a, c) = (self.address, self.comm);
        let _ = writeln!(
            line,
            "{:<16} {:<7} {:<c$} {:<a$} {:<5} {:<a$} {:<5} {:<11} -> {:<11} MS",
            "SKADDR", "PID", "COMM", "LADDR", "LPORT", "RADDR", "RPORT", "OLDSTATE", "NEWSTATE",
        );
    }

    fn transition(&mut self, line: &mut Vec<u8>, _seq: u64, transition: &Transition) {
        if let Some(clock) = &mut self.times.wall {
            let _ = write!(line, "{:<8} ", clock.local(transition.mono_ns));
        }
        if let Some(start_ns) = self.times.since_ns {
            let seconds = (transition.mono_ns as f64 - start_ns as f64) / 1e9;
            let _ = write!(line, "{seconds:<11.6} ");
        }
        let _ = write!(line, "{:016x} ", transition.skaddr);
        match &transition.owner {
            Some(owner) => {
                let name = printable(owner.comm.bytes());
                let _ = write!(line, "{:<7} {:<2$.2$} ", owner.pid, name, self.comm);
            }
            None => {
                let _ = write!(line, "{:<7} {:<2$} ", "-", "-", self.comm);
            }
        }
        let a = self.address;
        match &transition.tuple {
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
        let _ = write!(line, "{:<11} -> {:<11} ", transition.from, transition.to);
        let _ = match transition.dwell_ns {
            Some(dwell_ns) => writeln!(line, "{:.3}", dwell_ns as f64 / 1e6),
            None => writeln!(line, "-"),
        };
    }
}
