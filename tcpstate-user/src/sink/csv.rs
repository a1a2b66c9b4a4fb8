//! Comma-separated values (RFC 4180): the fields of the JSON lines, with a header; empty where a value is not known.
use std::fmt::Display;

use super::{
    Format, WallClock,
    json::{Address, Rfc3339},
    printable,
};
use crate::tcp::{Reason, Role, Transition};

/// Names of the columns: the JSON fields, but for the schema's version.
const COLUMNS: &str = "time,mono_ns,id,skaddr,family,netns,laddr,lport,raddr,rport,from,to,dwell_ns,estimated,reason,role,pid,uid,comm,owner_source,cgroup,container,seq\n";

/// The CSV format.
#[derive(Debug)]
pub struct Csv {
    clock: WallClock,
}

impl Csv {
    /// Lines with times of `clock`.
    #[must_use]
    pub fn new(clock: WallClock) -> Self {
        Self { clock }
    }
}

impl Format for Csv {
    fn header(&mut self, line: &mut Vec<u8>) {
        line.extend_from_slice(COLUMNS.as_bytes());
    }

    fn transition(&mut self, line: &mut Vec<u8>, seq: u64, transition: &Transition) {
        let (second, nanos) = self.clock.rfc3339(transition.mono_ns);
        let tuple = transition.tuple;
        let owner = transition.owner;
        let mut row = Row::new(line);
        row.value(Rfc3339 { second, nanos });
        row.value(transition.mono_ns);
        row.value(transition.id);
        row.option(Address::of(transition));
        row.option(tuple.map(|tuple| tuple.family()));
        row.value(transition.netns);
        row.option(tuple.map(|tuple| tuple.laddr));
        row.option(tuple.and_then(|tuple| tuple.lport));
        row.option(tuple.map(|tuple| tuple.raddr));
        row.option(tuple.map(|tuple| tuple.rport));
        row.value(transition.from);
        row.value(transition.to);
        row.option(transition.dwell_ns);
        row.value(transition.estimated);
        row.option(transition.reason.map(Reason::name));
        row.option(transition.role.map(Role::name));
        row.option(owner.map(|owner| owner.pid));
        row.option(owner.map(|owner| owner.uid));
        row.text(owner.map(|owner| printable(owner.comm.bytes())).as_deref());
        row.option(owner.map(|owner| owner.source.name()));
        row.option(transition.cgroup);
        row.option(transition.container);
        row.value(seq);
        row.end();
    }
}

/// A row under construction; every cell is followed by a comma until the row ends.
pub(crate) struct Row<'a>(&'a mut Vec<u8>);

impl<'a> Row<'a> {
    /// A row at the end of `line`.
    pub(crate) fn new(line: &'a mut Vec<u8>) -> Self {
        Self(line)
    }

    /// A cell whose text needs no quotes.
    pub(crate) fn value(&mut self, value: impl Display) {
        use std::io::Write as _;
        let _ = write!(self.0, "{value},"); // a vector does not fail
    }

    /// The same; empty where there is none.
    pub(crate) fn option(&mut self, value: Option<impl Display>) {
        match value {
            Some(value) => self.value(value),
            None => self.0.push(b','),
        }
    }

    /// A cell of text that other people chose. A leading sign that a spreadsheet takes for a formula is disarmed.
    pub(crate) fn text(&mut self, text: Option<&str>) {
        let text = text.unwrap_or_default();
        let armed = text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
        let disarmed = if armed {
            format!("'{text}")
        } else {
            text.to_owned()
        };
        let mut quoted = [0; 256];
        let (mut writer, mut rest) = (csv_core::Writer::new(), disarmed.as_bytes());
        loop {
            let (result, read, written) = writer.field(rest, &mut quoted);
            self.0.extend_from_slice(&quoted[..written]);
            rest = &rest[read..];
            if result == csv_core::WriteResult::InputEmpty {
                break;
            }
        }
        let (_, written) = writer.delimiter(&mut quoted);
        self.0.extend_from_slice(&quoted[..written]);
    }

    /// Ends the row.
    pub(crate) fn end(self) {
        self.0.pop();
        self.0.push(b'\n');
    }
}
