//! `life` as CSV: the fields of the JSON lines, with a column for the time spent in each state.
use super::Format;
use crate::{
    life::{Closer, IN_ORDER, Life},
    sink::{WallClock, csv::Row, json::Rfc3339, printable},
    tcp::{Reason, Role},
};

/// Names of the columns, but for the last ones: a `STATE_ns` for each state, and `seq`.
const COLUMNS: &str = "time,mono_ns,id,finished,opened,opened_mono_ns,family,netns,laddr,lport,raddr,rport,role,closer,reason,last,pid,uid,comm,owner_source,cgroup,container,bytes_sent,bytes_received,total_ns,estimated";

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

    fn time(&mut self, row: &mut Row<'_>, mono_ns: u64) {
        let (second, nanos) = self.clock.rfc3339(mono_ns);
        row.value(Rfc3339 { second, nanos });
    }
}

impl Format for Csv {
    fn header(&mut self, line: &mut Vec<u8>) {
        line.extend_from_slice(COLUMNS.as_bytes());
        for state in IN_ORDER {
            line.extend_from_slice(format!(",{state}_ns").as_bytes());
        }
        line.extend_from_slice(b",seq\n");
    }

    fn life(&mut self, line: &mut Vec<u8>, seq: u64, life: &Life) {
        let (tuple, owner) = (life.tuple, life.owner);
        let mut row = Row::new(line);
        self.time(&mut row, life.until_ns);
        row.value(life.until_ns);
        row.value(life.id);
        row.value(life.finished);
        match life.course.opened_ns() {
            Some(opened_ns) => self.time(&mut row, opened_ns),
            None => row.text(None),
        }
        row.option(life.course.opened_ns());
        row.option(tuple.map(|tuple| tuple.family()));
        row.value(life.netns);
        row.option(tuple.map(|tuple| tuple.laddr));
        row.option(tuple.and_then(|tuple| tuple.lport));
        row.option(tuple.map(|tuple| tuple.raddr));
        row.option(tuple.map(|tuple| tuple.rport));
        row.option(life.role.map(Role::name));
        row.option(life.closer.map(Closer::name));
        row.option(life.reason.map(Reason::name));
        row.value(life.last);
        row.option(owner.map(|owner| owner.pid));
        row.option(owner.map(|owner| owner.uid));
        row.text(owner.map(|owner| printable(owner.comm.bytes())).as_deref());
        row.option(owner.map(|owner| owner.source.name()));
        row.option(life.cgroup);
        row.option(life.container);
        row.option(life.bytes.map(|bytes| bytes.sent));
        row.option(life.bytes.map(|bytes| bytes.received));
        row.option(life.total_ns());
        row.value(life.course.is_estimated());
        for state in IN_ORDER {
            row.option(life.course.stay_ns(state));
        }
        row.value(seq);
        row.end();
    }
}
