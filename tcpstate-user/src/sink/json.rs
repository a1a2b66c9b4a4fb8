//! One JSON object a line; the fields of `docs/output.md`, `null` where a value is not known.
use std::{fmt, io, net::IpAddr};

use serde::{Serialize, Serializer};

use super::{Format, WallClock, is_unseen};
use crate::tcp::Transition;

/// Version of the schema, in every object.
pub const SCHEMA: u32 = 1;

/// A transition as it stands in JSON, in the order of its fields.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    v: u32,
    time: Shown<Rfc3339<'a>>,
    mono_ns: u64,
    id: Shown<crate::tcp::ConnectionId>,
    skaddr: Option<Shown<Address>>,
    family: Option<&'static str>,
    netns: u32,
    laddr: Option<IpAddr>,
    lport: Option<u16>,
    raddr: Option<IpAddr>,
    rport: Option<u16>,
    from: &'static str,
    to: &'static str,
    dwell_ns: Option<u64>,
    estimated: bool,
    reason: Option<&'static str>,
    role: Option<&'static str>,
    pid: Option<u32>,
    uid: Option<u32>,
    comm: Option<String>,
    owner_source: Option<&'static str>,
    cgroup: Option<u64>,
    container: Option<Shown<crate::tcp::ContainerId>>,
    seq: u64,
}

impl<'a> Line<'a> {
    /// The `seq`th transition of a run.
    pub fn new(clock: &'a mut WallClock, seq: u64, transition: &Transition) -> Self {
        let (second, nanos) = clock.rfc3339(transition.mono_ns);
        let tuple = transition.tuple;
        let owner = transition.owner;
        Self {
            v: SCHEMA,
            time: Shown(Rfc3339 { second, nanos }),
            mono_ns: transition.mono_ns,
            id: Shown(transition.id),
            skaddr: Address::of(transition).map(Shown),
            family: tuple.map(|tuple| tuple.family()),
            netns: transition.netns,
            laddr: tuple.map(|tuple| tuple.laddr),
            lport: tuple.and_then(|tuple| tuple.lport),
            raddr: tuple.map(|tuple| tuple.raddr),
            rport: tuple.map(|tuple| tuple.rport),
            from: transition.from.name(),
            to: transition.to.name(),
            dwell_ns: transition.dwell_ns,
            estimated: transition.estimated,
            reason: transition.reason.map(crate::tcp::Reason::name),
            role: transition.role.map(crate::tcp::Role::name),
            pid: owner.map(|owner| owner.pid),
            uid: owner.map(|owner| owner.uid),
            comm: owner.map(|owner| String::from_utf8_lossy(owner.comm.bytes()).into_owned()),
            owner_source: owner.map(|owner| owner.source.name()),
            cgroup: transition.cgroup,
            container: transition.container.map(Shown),
            seq,
        }
    }
}

/// Appends `value`. What JSON lets stand in a text, and a terminal may obey (DEL, the second set of control characters,
/// directional marks), is escaped too: it is the same text to every reader of JSON.
pub fn write(out: &mut Vec<u8>, value: &impl Serialize) {
    let mut serializer = serde_json::Serializer::with_formatter(out, Plain);
    // Fails only if the writer does, and a vector does not; or for a map whose keys are no text, and there is none.
    let _ = value.serialize(&mut serializer);
}

/// Compact JSON without characters that are not seen.
struct Plain;

impl serde_json::ser::Formatter for Plain {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_unseen(*c)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Serialized as the text that `Display` gives.
#[derive(Debug)]
pub struct Shown<T>(pub T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A kernel address, as bcc's tcpstates prints it.
#[derive(Debug)]
pub struct Address(pub u64);

impl Address {
    /// That of a transition, unless it comes from a recording without kernel addresses.
    #[must_use]
    pub fn of(transition: &Transition) -> Option<Self> {
        (transition.skaddr != 0).then_some(Self(transition.skaddr))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A time in two parts, as [`WallClock::rfc3339`] gives it.
#[derive(Debug)]
pub struct Rfc3339<'a> {
    /// Up to the second.
    pub second: &'a str,
    /// The nanoseconds.
    pub nanos: u32,
}

impl fmt::Display for Rfc3339<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}Z", self.second, self.nanos)
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
}

impl Format for Json {
    fn header(&mut self, _line: &mut Vec<u8>) {}

    fn transition(&mut self, line: &mut Vec<u8>, seq: u64, transition: &Transition) {
        let object = Line::new(&mut self.clock, seq, transition);
        write(line, &object);
        line.push(b'\n');
    }
}
