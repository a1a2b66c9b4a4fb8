//! One JSON object a line; the fields of `docs/output.md`, `null` where a value is not known.
use std::{borrow::Cow, fmt, io, net::IpAddr};

use serde::{Serialize, Serializer};

use super::{Format, WallClock, is_unseen, piece};
use crate::tcp::Transition;

/// Version of the schema, in every object.
pub const SCHEMA: u32 = 1;

/// A transition as it stands in JSON, in the order of its fields.
#[derive(Debug, Serialize)]
struct Line<'a> {
    v: u32,
    time: Ascii<'a>,
    mono_ns: u64,
    id: Ascii<'a>,
    skaddr: Option<Ascii<'a>>,
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
    comm: Option<Cow<'a, str>>,
    owner_source: Option<&'static str>,
    cgroup: Option<u64>,
    container: Option<Shown<crate::tcp::ContainerId>>,
    seq: u64,
}

/// Pieces of text that a line is made with, kept for the next one.
#[derive(Debug, Default)]
struct Scratch {
    time: Vec<u8>,
    id: Vec<u8>,
    skaddr: Vec<u8>,
}

impl Scratch {
    /// Writes the pieces of a transition at this time.
    fn fill(&mut self, (second, nanos): (&str, u32), transition: &Transition) {
        let Self { time, id, skaddr } = self;
        for piece in [&mut *time, &mut *id, &mut *skaddr] {
            piece.clear();
        }
        time.extend_from_slice(second.as_bytes());
        time.push(b'.');
        piece::digits::<9>(time, nanos);
        time.push(b'Z');
        piece::hex(id, transition.id.cookie, 1);
        id.push(b'.');
        piece::number(id, transition.id.serial);
        piece::hex(skaddr, transition.skaddr, 16);
    }
}

impl<'a> Line<'a> {
    /// The `seq`th transition of a run.
    fn new(scratch: &'a Scratch, seq: u64, transition: &'a Transition) -> Self {
        let tuple = transition.tuple;
        let owner = transition.owner.as_ref();
        Self {
            v: SCHEMA,
            time: Ascii(&scratch.time),
            mono_ns: transition.mono_ns,
            id: Ascii(&scratch.id),
            skaddr: Address::of(transition).map(|_| Ascii(&scratch.skaddr)),
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
            comm: owner.map(|owner| String::from_utf8_lossy(owner.comm.bytes())),
            owner_source: owner.map(|owner| owner.source.name()),
            cgroup: transition.cgroup,
            container: transition.container.map(Shown),
            seq,
        }
    }
}

/// Serialized as the text that these bytes are.
#[derive(Debug)]
struct Ascii<'a>(&'a [u8]);

impl Serialize for Ascii<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(str::from_utf8(self.0).unwrap_or_default())
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
        // Nearly every one. All bytes are looked at, not those up to the first other: that takes many at a time.
        let is_plain = |plain, byte| plain & matches!(byte, b' '..=b'~');
        if fragment.bytes().fold(true, is_plain) {
            return writer.write_all(fragment.as_bytes());
        }
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
    scratch: Scratch,
}

impl Json {
    /// Lines with times of `clock`.
    #[must_use]
    pub fn new(clock: WallClock) -> Self {
        Self {
            clock,
            scratch: Scratch::default(),
        }
    }
}

impl Format for Json {
    fn header(&mut self, _line: &mut Vec<u8>) {}

    fn transition(&mut self, line: &mut Vec<u8>, seq: u64, transition: &Transition) {
        let time = self.clock.rfc3339(transition.mono_ns);
        self.scratch.fill(time, transition);
        let object = Line::new(&self.scratch, seq, transition);
        write(line, &object);
        line.push(b'\n');
    }
}
