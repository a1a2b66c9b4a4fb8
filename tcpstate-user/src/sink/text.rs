//! Text lines with the columns of bcc's tcpstates, so that habits and scripts carry over.
use std::io::Write as _;

use super::{Format, WallClock, piece, printable};
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

/// Widths of columns.
const SKADDR: usize = 16;
const PID: usize = 7;
const PORT: usize = 5;
const STATE: usize = 11;

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
        let unknown = |line: &mut Vec<u8>, widths: &[usize]| {
            for width in widths {
                piece::word(line, *width, "-");
            }
        };
        match owner {
            Some(owner) => {
                piece::cell(line, PID, |line| piece::number(line, owner.pid));
                let name = printable(owner.comm.bytes());
                let end = name.char_indices().nth(self.comm);
                let shown = &name[..end.map_or(name.len(), |(end, _)| end)];
                piece::word(line, self.comm, shown);
            }
            None => unknown(line, &[PID, self.comm]),
        }
        let Some(tuple) = tuple else {
            unknown(line, &[self.address, PORT, self.address, PORT]);
            return;
        };
        piece::cell(line, self.address, |line| piece::address(line, tuple.laddr));
        match tuple.lport {
            Some(port) => piece::cell(line, PORT, |line| piece::number(line, port)),
            None => unknown(line, &[PORT]),
        }
        piece::cell(line, self.address, |line| piece::address(line, tuple.raddr));
        piece::cell(line, PORT, |line| piece::number(line, tuple.rport));
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
        match transition.skaddr {
            0 => piece::word(line, SKADDR, "-"), // from a recording without kernel addresses
            address => piece::cell(line, SKADDR, |line| piece::hex(line, address, SKADDR)),
        }
        let Transition { owner, tuple, .. } = transition;
        self.columns.row(line, owner.as_ref(), tuple.as_ref());
        piece::word(line, STATE, transition.from.name());
        line.extend_from_slice(b"-> ");
        piece::word(line, STATE, transition.to.name());
        if self.extended {
            piece::cell(line, 10, |line| piece::millis(line, transition.dwell_ns));
            let _ = write!(
                line,
                "{:<10} {:<12} {:<8} {}",
                transition.netns,
                short(transition.container),
                transition.role.map_or("-", Role::name),
                transition.reason.map_or("-", Reason::name),
            );
        } else {
            piece::millis(line, transition.dwell_ns);
        }
        line.push(b'\n');
    }
}

/// The first twelve digits of a container's id, as docker and podman show it; `-` without one.
#[must_use]
pub fn short(container: Option<ContainerId>) -> String {
    container.map_or_else(|| "-".to_owned(), |id| format!("{:.12}", id.to_string()))
}
