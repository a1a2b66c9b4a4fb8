//! `life` as text: the columns of bcc's tcplife, then role, who closed first, and how it ended.
use std::io::Write as _;

use super::Format;
use crate::{
    life::{Closer, IN_ORDER, Life},
    sink::{
        WallClock, piece,
        text::{Columns, short},
    },
    tcp::{Reason, Role},
};

/// The text format.
#[derive(Debug)]
pub struct Text {
    /// For the time of day at which a connection opened, where it is shown.
    clock: Option<WallClock>,
    columns: Columns,
    wide: bool,
}

impl Text {
    /// Lines of at most 120 columns for IPv4; if `wide`, with room for IPv6, and with the place and every stay. With
    /// `clock` they begin with the time of day at which the connection opened.
    #[must_use]
    pub fn new(clock: Option<WallClock>, wide: bool) -> Self {
        Self {
            clock,
            columns: Columns::new(wide),
            wide,
        }
    }
}

impl Format for Text {
    fn header(&mut self, line: &mut Vec<u8>) {
        // Writing to a vector cannot fail, here and below.
        if self.clock.is_some() {
            let _ = write!(line, "{:<8} ", "OPENED");
        }
        self.columns.header(line);
        let _ = write!(
            line,
            "{:>5} {:>5} {:>9} {:<6} {:<12} ",
            "TX_KB", "RX_KB", "MS", "ROLE", "CLOSER"
        );
        if self.wide {
            let _ = write!(line, "{:<15} {:<10} {:<12} ", "ENDED", "NETNS", "CONTAINER");
            line.extend_from_slice(b"STATES\n");
        } else {
            line.extend_from_slice(b"ENDED\n");
        }
    }

    fn life(&mut self, line: &mut Vec<u8>, _seq: u64, life: &Life) {
        if let Some(clock) = &mut self.clock {
            let opened = life.course.opened_ns();
            let opened = opened.map_or("-", |opened_ns| clock.local(opened_ns));
            let _ = write!(line, "{opened:<8} ");
        }
        self.columns
            .row(line, life.owner.as_ref(), life.tuple.as_ref());
        let _ = write!(
            line,
            "{:>5} {:>5} {:>9} {:<6} {:<12} ",
            kib(life.bytes.map(|bytes| bytes.sent)),
            kib(life.bytes.map(|bytes| bytes.received)),
            millis(life.total_ns()),
            life.role.map_or("-", Role::name),
            life.closer.map_or("-", Closer::name),
        );
        let ended = if life.finished {
            life.reason.map_or("-", Reason::name).to_owned()
        } else {
            format!("in {}", life.last)
        };
        if self.wide {
            let _ = write!(
                line,
                "{ended:<15} {:<10} {:<12} ",
                life.netns,
                short(life.container)
            );
            stays(line, life);
        } else {
            line.extend_from_slice(ended.as_bytes());
        }
        line.push(b'\n');
    }
}

/// `SYN_SENT=0.042,ESTABLISHED=150.157`: the states in the order of a life, with the ms spent there.
fn stays(line: &mut Vec<u8>, life: &Life) {
    let mut comma = "";
    for state in IN_ORDER {
        if life.course.entered(state) {
            let _ = write!(
                line,
                "{comma}{state}={}",
                millis(life.course.stay_ns(state))
            );
            comma = ",";
        }
    }
}

fn millis(ns: Option<u64>) -> String {
    let mut text = Vec::new();
    piece::millis(&mut text, ns);
    String::from_utf8_lossy(&text).into_owned()
}

/// Whole KiB, rounded down, as bcc's tcplife prints them.
fn kib(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), |bytes| (bytes >> 10).to_string())
}
