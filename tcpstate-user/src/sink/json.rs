//! One JSON object a line; the fields of `docs/output.md`, `null` where a value is not known.
use std::{fmt, io, net::IpAddr};

use serde::{Serialize, Serializer};

use super::{Format, WallClock, is_unseen, piece};
use crate::tcp::{Reason, Role, Transition, Tuple};

/// Version of the schema, in every object.
pub const SCHEMA: u32 = 1;

/// Appends a field that follows others: its name and what `$value` appends.
macro_rules! field {
    ($line:ident, $name:literal, $value:expr) => {
        $line.extend_from_slice(concat!(",\"", $name, "\":").as_bytes());
        $value;
    };
}

/// The object of the `seq`th transition of a run. Piece by piece: the general way, by `serde`, takes three times as long, and
/// there is one for every transition.
fn object(line: &mut Vec<u8>, (second, nanos): (&str, u32), seq: u64, transition: &Transition) {
    let tuple = transition.tuple.as_ref();
    let owner = transition.owner.as_ref();
    line.extend_from_slice(b"{\"v\":");
    piece::number(line, SCHEMA);
    field!(line, "time", {
        line.push(b'"');
        line.extend_from_slice(second.as_bytes());
        line.push(b'.');
        piece::digits::<9>(line, nanos);
        line.extend_from_slice(b"Z\"");
    });
    field!(line, "mono_ns", piece::number(line, transition.mono_ns));
    field!(line, "id", {
        line.push(b'"');
        piece::id(line, transition.id);
        line.push(b'"');
    });
    let skaddr = Address::of(transition);
    field!(
        line,
        "skaddr",
        known(line, skaddr, |line, address| {
            line.push(b'"');
            piece::hex(line, address.0, 16);
            line.push(b'"');
        })
    );
    field!(line, "family", word(line, tuple.map(Tuple::family)));
    field!(line, "netns", piece::number(line, transition.netns));
    field!(line, "laddr", address(line, tuple.map(|tuple| tuple.laddr)));
    field!(
        line,
        "lport",
        number(line, tuple.and_then(|tuple| tuple.lport))
    );
    field!(line, "raddr", address(line, tuple.map(|tuple| tuple.raddr)));
    field!(line, "rport", number(line, tuple.map(|tuple| tuple.rport)));
    field!(line, "from", word(line, Some(transition.from.name())));
    field!(line, "to", word(line, Some(transition.to.name())));
    field!(line, "dwell_ns", number(line, transition.dwell_ns));
    let estimated: &[u8] = if transition.estimated {
        b"true"
    } else {
        b"false"
    };
    field!(line, "estimated", line.extend_from_slice(estimated));
    field!(
        line,
        "reason",
        word(line, transition.reason.map(Reason::name))
    );
    field!(line, "role", word(line, transition.role.map(Role::name)));
    field!(line, "pid", number(line, owner.map(|owner| owner.pid)));
    field!(line, "uid", number(line, owner.map(|owner| owner.uid)));
    // Anybody may choose it.
    let comm = owner.map(|owner| String::from_utf8_lossy(owner.comm.bytes()));
    field!(
        line,
        "comm",
        known(line, comm, |line, comm| write(line, &comm))
    );
    field!(
        line,
        "owner_source",
        word(line, owner.map(|owner| owner.source.name()))
    );
    field!(line, "cgroup", number(line, transition.cgroup));
    let container = transition.container.map(Shown);
    field!(
        line,
        "container",
        known(line, container, |line, container| write(line, &container))
    );
    field!(line, "seq", piece::number(line, seq));
    line.push(b'}');
}

/// What `append` appends, or `null` if it is not known.
fn known<T>(line: &mut Vec<u8>, value: Option<T>, append: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => append(line, value),
        None => line.extend_from_slice(b"null"),
    }
}

fn number(line: &mut Vec<u8>, number: Option<impl itoa::Integer>) {
    known(line, number, piece::number);
}

/// A word of ours, which needs no escape.
fn word(line: &mut Vec<u8>, word: Option<&'static str>) {
    known(line, word, |line, word| {
        line.push(b'"');
        line.extend_from_slice(word.as_bytes());
        line.push(b'"');
    });
}

fn address(line: &mut Vec<u8>, address: Option<IpAddr>) {
    known(line, address, |line, address| {
        line.push(b'"');
        piece::address(line, address);
        line.push(b'"');
    });
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
        let time = self.clock.rfc3339(transition.mono_ns);
        object(line, time, seq, transition);
        line.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tcp::{Bytes, Comm, ConnectionId, ContainerId, Owner, OwnerSource, TcpState};

    fn line(transition: &Transition) -> Value {
        let mut line = Vec::new();
        Json::new(WallClock::new(0, jiff::tz::TimeZone::UTC)).transition(&mut line, 7, transition);
        assert_eq!(line.pop(), Some(b'\n'));
        serde_json::from_slice(&line).expect("one object")
    }

    #[test]
    fn everything_that_is_known() {
        let transition = Transition {
            mono_ns: 61_000_000_001,
            id: ConnectionId {
                cookie: 0x1f,
                serial: 12,
            },
            skaddr: 0xffff_8880,
            netns: 4_026_531_840,
            tuple: Some(Tuple {
                laddr: "10.1.2.255".parse().unwrap(),
                lport: Some(65_535),
                raddr: "192.0.2.1".parse().unwrap(),
                rport: 443,
            }),
            from: TcpState::FinWait2,
            to: TcpState::TimeWait,
            dwell_ns: Some(0),
            estimated: true,
            reason: Some(Reason::TwOverflow),
            role: Some(Role::Client),
            owner: Some(Owner {
                pid: 1,
                uid: u32::MAX,
                comm: Comm(*b"a\"\\\x1b\x7f\xff\xc2\x9b\0\0\0\0\0\0\0\0"),
                source: OwnerSource::Accept,
            }),
            cgroup: Some(u64::MAX),
            container: Some(ContainerId([0xab; 32])),
            bytes: Some(Bytes {
                sent: 1,
                received: 2,
            }),
        };
        let expected = json!({
            "v": 1, "time": "1970-01-01T00:01:01.000000001Z", "mono_ns": 61_000_000_001_u64, "id": "1f.12",
            "skaddr": "00000000ffff8880", "family": "ipv4", "netns": 4_026_531_840_u32,
            "laddr": "10.1.2.255", "lport": 65_535, "raddr": "192.0.2.1", "rport": 443,
            "from": "FIN_WAIT2", "to": "TIME_WAIT", "dwell_ns": 0, "estimated": true, "reason": "tw_overflow",
            "role": "client", "pid": 1, "uid": u32::MAX, "comm": "a\"\\\u{1b}\u{7f}\u{fffd}\u{9b}",
            "owner_source": "accept", "cgroup": u64::MAX, "container": "ab".repeat(32), "seq": 7,
        });
        assert_eq!(line(&transition), expected);
    }

    #[test]
    fn what_is_not_known_is_null() {
        let transition = Transition {
            mono_ns: 0,
            id: ConnectionId {
                cookie: 0,
                serial: 1,
            },
            skaddr: 0,
            netns: 1,
            tuple: None,
            from: TcpState::Close,
            to: TcpState::SynSent,
            dwell_ns: None,
            estimated: false,
            reason: None,
            role: None,
            owner: None,
            cgroup: None,
            container: None,
            bytes: None,
        };
        let expected = json!({
            "v": 1, "time": "1970-01-01T00:00:00.000000000Z", "mono_ns": 0, "id": "0.1", "skaddr": null,
            "family": null, "netns": 1, "laddr": null, "lport": null, "raddr": null, "rport": null,
            "from": "CLOSE", "to": "SYN_SENT", "dwell_ns": null, "estimated": false, "reason": null,
            "role": null, "pid": null, "uid": null, "comm": null, "owner_source": null, "cgroup": null,
            "container": null, "seq": 7,
        });
        assert_eq!(line(&transition), expected);
    }
}
