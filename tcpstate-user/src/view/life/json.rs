//! `life` as JSON: one object a life; the fields of `docs/output.md`, `null` where a value is not known.
use std::net::IpAddr;

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::Format;
use crate::{
    life::{Closer, Course, IN_ORDER, Life},
    sink::{
        WallClock,
        json::{Rfc3339, SCHEMA, Shown, write},
    },
    tcp::{ConnectionId, ContainerId, OwnerSource, Reason, Role},
};

/// A life as it stands in JSON, in the order of its fields.
#[derive(Debug, Serialize)]
struct Line<'a> {
    v: u32,
    time: &'a str,
    mono_ns: u64,
    id: Shown<ConnectionId>,
    finished: bool,
    opened: Option<&'a str>,
    opened_mono_ns: Option<u64>,
    family: Option<&'static str>,
    netns: u32,
    laddr: Option<IpAddr>,
    lport: Option<u16>,
    raddr: Option<IpAddr>,
    rport: Option<u16>,
    role: Option<&'static str>,
    closer: Option<&'static str>,
    reason: Option<&'static str>,
    last: &'static str,
    pid: Option<u32>,
    uid: Option<u32>,
    comm: Option<String>,
    owner_source: Option<&'static str>,
    cgroup: Option<u64>,
    container: Option<Shown<ContainerId>>,
    bytes_sent: Option<u64>,
    bytes_received: Option<u64>,
    total_ns: Option<u64>,
    estimated: bool,
    durations: Durations<'a>,
    seq: u64,
}

/// The time spent in each state that was entered, in the order of a life.
#[derive(Debug)]
struct Durations<'a>(&'a Course);

impl Serialize for Durations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for state in IN_ORDER {
            if self.0.entered(state) {
                map.serialize_entry(state.name(), &self.0.stay_ns(state))?;
            }
        }
        map.end()
    }
}

/// The JSON format.
#[derive(Debug)]
pub struct Json {
    clock: WallClock,
}

impl Json {
    /// Lines with times of `clock`.
    #[must_use]
    pub fn new(clock: WallClock) -> Self {
        Self { clock }
    }

    fn time(&mut self, mono_ns: u64) -> String {
        let (second, nanos) = self.clock.rfc3339(mono_ns);
        Rfc3339 { second, nanos }.to_string()
    }
}

impl Format for Json {
    fn header(&mut self, _line: &mut Vec<u8>) {}

    fn life(&mut self, line: &mut Vec<u8>, seq: u64, life: &Life) {
        let (tuple, owner) = (life.tuple, life.owner);
        let opened_mono_ns = life.course.opened_ns();
        let time = self.time(life.until_ns);
        let opened = opened_mono_ns.map(|opened_ns| self.time(opened_ns));
        let object = Line {
            v: SCHEMA,
            time: &time,
            mono_ns: life.until_ns,
            id: Shown(life.id),
            finished: life.finished,
            opened: opened.as_deref(),
            opened_mono_ns,
            family: tuple.map(|tuple| tuple.family()),
            netns: life.netns,
            laddr: tuple.map(|tuple| tuple.laddr),
            lport: tuple.and_then(|tuple| tuple.lport),
            raddr: tuple.map(|tuple| tuple.raddr),
            rport: tuple.map(|tuple| tuple.rport),
            role: life.role.map(Role::name),
            closer: life.closer.map(Closer::name),
            reason: life.reason.map(Reason::name),
            last: life.last.name(),
            pid: owner.map(|owner| owner.pid),
            uid: owner.map(|owner| owner.uid),
            comm: owner.map(|owner| String::from_utf8_lossy(owner.comm.bytes()).into_owned()),
            owner_source: owner.map(|owner| OwnerSource::name(owner.source)),
            cgroup: life.cgroup,
            container: life.container.map(Shown),
            bytes_sent: life.bytes.map(|bytes| bytes.sent),
            bytes_received: life.bytes.map(|bytes| bytes.received),
            total_ns: life.total_ns(),
            estimated: life.course.is_estimated(),
            durations: Durations(&life.course),
            seq,
        };
        write(line, &object);
        line.push(b'\n');
    }
}
