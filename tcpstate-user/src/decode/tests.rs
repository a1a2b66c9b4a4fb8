//! Tests of decoding: any bytes are safe, and what the kernel side writes is read as it was meant.
use proptest::{array::uniform16, collection::vec, option, prelude::*, sample::select};

use super::*;

/// Lengths of the records: the ABI's byte map, which these tests spell out again.
const SHORT: usize = 64;
const MINI: usize = 80;
const LONG: usize = 120;
/// The tests' kernel has 250 jiffies a second.
const TICK_NS: u32 = 4_000_000;

/// Everything that stands in a long record.
#[derive(Clone, Copy, Debug)]
struct Fields {
    time_ns: u64,
    object: u64,
    laddr: IpAddr,
    raddr: IpAddr,
    netns: u32,
    lport: u16,
    rport: u16,
    kind: u8,
    old: u8,
    new: u8,
    error: u16,
    cpu: u16,
    cookie: u64,
    related: u64,
    value: u64,
    cgroup: u64,
    tgid: u32,
    uid: u32,
    comm: [u8; 16],
}

impl Fields {
    fn bytes(&self) -> Vec<u8> {
        let address = |address: IpAddr| match address {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            }
            IpAddr::V6(v6) => v6.octets(),
        };
        let family = if self.raddr.is_ipv4() { 2 } else { 10 };
        let mut bytes = Vec::new();
        bytes.extend(self.time_ns.to_ne_bytes());
        bytes.extend(self.object.to_ne_bytes());
        bytes.extend(address(self.laddr));
        bytes.extend(address(self.raddr));
        bytes.extend(self.netns.to_ne_bytes());
        bytes.extend(self.lport.to_ne_bytes());
        bytes.extend(self.rport.to_ne_bytes());
        bytes.extend([self.kind, self.old, self.new, family]);
        bytes.extend(self.error.to_ne_bytes());
        bytes.extend(self.cpu.to_ne_bytes());
        assert_eq!(bytes.len(), SHORT);
        bytes.extend(self.related.to_ne_bytes());
        bytes.extend(self.value.to_ne_bytes());
        assert_eq!(bytes.len(), MINI);
        bytes.extend(self.cookie.to_ne_bytes());
        bytes.extend(self.cgroup.to_ne_bytes());
        bytes.extend(self.tgid.to_ne_bytes());
        bytes.extend(self.uid.to_ne_bytes());
        bytes.extend(self.comm);
        assert_eq!(bytes.len(), LONG);
        bytes
    }

    fn owner(&self, source: OwnerSource) -> Option<Owner> {
        (self.tgid != 0).then_some(Owner {
            pid: self.tgid,
            uid: self.uid,
            comm: Comm(self.comm),
            source,
        })
    }

    fn decode(&self) -> Result<Fact, DecodeError> {
        decode(&self.bytes(), TICK_NS)
    }
}

/// A record of one of these kinds, with states that exist.
fn fields(kinds: &'static [u8]) -> impl Strategy<Value = Fields> {
    let addresses = prop_oneof![
        any::<(Ipv4Addr, Ipv4Addr)>().prop_map(|(l, r)| (IpAddr::V4(l), IpAddr::V4(r))),
        any::<(Ipv6Addr, Ipv6Addr)>().prop_map(|(l, r)| (IpAddr::V6(l), IpAddr::V6(r))),
    ];
    let numbers = (
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
    );
    let ports = (option::of(1..=u16::MAX), any::<u16>());
    let states = (1..=12_u8, 1..=12_u8);
    let small = (any::<u32>(), any::<u16>(), any::<u16>());
    let owner = (
        option::of(1..=u32::MAX),
        any::<u32>(),
        uniform16(any::<u8>()),
    );
    (
        select(kinds),
        addresses,
        numbers,
        ports,
        states,
        small,
        owner,
    )
        .prop_map(
            |(
                kind,
                (laddr, raddr),
                (time_ns, object, cookie, related, value, cgroup),
                ports,
                states,
                small,
                owner,
            )| Fields {
                time_ns,
                object,
                laddr,
                raddr,
                netns: small.0,
                lport: ports.0.unwrap_or(0),
                rport: ports.1,
                kind,
                old: states.0,
                new: states.1,
                error: small.1,
                cpu: small.2,
                cookie,
                related,
                value,
                cgroup,
                tgid: owner.0.unwrap_or(0),
                uid: owner.1,
                comm: owner.2,
            },
        )
}

/// Kinds that are complete in the short record.
const SHORT_KINDS: &[u8] = &[
    kind::TRANSITION,
    kind::STILLBORN,
    kind::TIMEWAIT_CREATED,
    kind::TIMEWAIT_REARMED,
    kind::TIMEWAIT_ENDED,
    kind::TIMEWAIT_OVERFLOW,
    kind::TIMEWAIT_SEGMENT,
    kind::REQUEST_ENDED,
];
/// Kinds that need the long one; those of [`TIMER_KINDS`] the one between.
const LONG_KINDS: &[u8] = &[
    kind::DETAILED,
    kind::SOCKET,
    kind::TIMEWAIT,
    kind::REQUEST,
    kind::REQUEST_ADDED,
    kind::USED,
    kind::HELD,
];
const TIMEWAIT_KINDS: &[u8] = &[
    kind::TIMEWAIT,
    kind::TIMEWAIT_CREATED,
    kind::TIMEWAIT_REARMED,
    kind::TIMEWAIT_ENDED,
    kind::TIMEWAIT_SEGMENT,
    kind::TIMER_START,
    kind::TIMER_CANCEL,
    kind::TIMER_EXPIRE,
];
const TIMER_KINDS: &[u8] = &[kind::TIMER_START, kind::TIMER_CANCEL, kind::TIMER_EXPIRE];

fn state_of(number: u8) -> TcpState {
    TcpState::from_kernel(number).expect("1 to 12 are states")
}

proptest! {
    #[test]
    fn any_bytes_are_safe(bytes in vec(any::<u8>(), 0..200), tick_ns: u32) {
        let _ = decode(&bytes, tick_ns);
    }

    /// Random bytes seldom get past the kind and the family.
    #[test]
    fn any_content_of_a_known_kind_is_safe(
        mut bytes in vec(any::<u8>(), 0..200),
        kind in 0..20_u8,
        family in select(&[2, 10]),
        tick_ns: u32,
    ) {
        for (place, value) in [(56, kind), (59, family)] {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = value;
            }
        }
        let _ = decode(&bytes, tick_ns);
    }

    #[test]
    fn what_every_fact_has(mut fields in fields(SHORT_KINDS)) {
        fields.old = 7; // a state, a cause, and no reset: whatever the kind makes of it
        fields.new = 6; // a state, and a substate
        let fact = fields.decode().unwrap();
        prop_assert_eq!((fact.time_ns, fact.object, fact.netns), (fields.time_ns, fields.object, fields.netns));
        prop_assert_eq!(fact.cpu, fields.cpu);
        let lport = (fields.lport != 0).then_some(fields.lport);
        let expected = Tuple { laddr: fields.laddr, lport, raddr: fields.raddr, rport: fields.rport };
        prop_assert_eq!(fact.tuple, expected);
        // What follows a short record belongs to nobody.
        prop_assert_eq!(decode(&fields.bytes()[..SHORT], TICK_NS), Ok(fact));
    }

    #[test]
    fn a_transition(fields in fields(&[kind::TRANSITION, kind::DETAILED, kind::STILLBORN])) {
        let FactKind::Transition { old, new, error, stillborn, details } = fields.decode().unwrap().kind else {
            return Err(TestCaseError::fail("another kind"));
        };
        prop_assert_eq!((old, new, error), (state_of(fields.old), state_of(fields.new), fields.error));
        prop_assert_eq!(stillborn, fields.kind == kind::STILLBORN);
        prop_assert_eq!(details.is_some(), fields.kind == kind::DETAILED);
        if let Some(details) = details {
            prop_assert_eq!(details.cookie, fields.cookie);
            let source = match (fields.old, fields.new) {
                (_, 10) => OwnerSource::Listen,
                (7, _) => OwnerSource::Connect,
                _ => OwnerSource::Accept,
            };
            prop_assert_eq!(details.owner, fields.owner(source));
            prop_assert_eq!(details.cgroup, (fields.cgroup != 0).then_some(fields.cgroup));
            let bytes = Bytes { sent: fields.related, received: fields.value };
            prop_assert_eq!(details.bytes, (fields.new == 7).then_some(bytes));
        }
    }

    #[test]
    fn a_socket_that_exists(fields in fields(&[kind::SOCKET, kind::REQUEST])) {
        let state = if fields.kind == kind::SOCKET { state_of(fields.new) } else { TcpState::SynRecv };
        let expected = FactKind::Exists {
            state,
            cookie: fields.cookie,
            since_ns: None,
            cgroup: (fields.cgroup != 0).then_some(fields.cgroup),
        };
        prop_assert_eq!(fields.decode().unwrap().kind, expected);
    }

    /// The age of a TIME_WAIT follows from what remains of its minute; that of a FIN_WAIT2 does not.
    #[test]
    fn a_timewait_socket_that_exists(
        mut fields in fields(&[kind::TIMEWAIT]),
        substate in select(&[5, 6]),
        remaining in -1000..20_000_i64,
    ) {
        fields.new = substate;
        fields.value = remaining.cast_unsigned();
        let FactKind::Exists { state, since_ns, .. } = fields.decode().unwrap().kind else {
            return Err(TestCaseError::fail("another kind"));
        };
        prop_assert_eq!(state, state_of(substate));
        prop_assert_eq!(since_ns.is_some(), substate == 6);
        if let Some(since_ns) = since_ns {
            let age_ns = 60_000_000_000 - i128::from(remaining) * i128::from(TICK_NS);
            let expected = i128::from(fields.time_ns) - age_ns;
            prop_assert_eq!(i128::from(since_ns), expected.clamp(0, fields.time_ns.into()));
        }
    }

    #[test]
    fn a_request_is_added(fields in fields(&[kind::REQUEST_ADDED])) {
        let expected = FactKind::RequestAdded { cookie: fields.cookie, listener: fields.related };
        prop_assert_eq!(fields.decode().unwrap().kind, expected);
    }

    #[test]
    fn an_owner(fields in fields(&[kind::USED, kind::HELD])) {
        let used = fields.kind == kind::USED;
        let owner = fields.owner(if used { OwnerSource::Accept } else { OwnerSource::Snapshot });
        let expected = owner.ok_or(DecodeError::Nobody).map(|owner| {
            if used { FactKind::Used { owner } } else { FactKind::Held { owner } }
        });
        prop_assert_eq!(fields.decode().map(|fact| fact.kind), expected);
    }

    #[test]
    fn a_timer(mut fields in fields(TIMER_KINDS), timewait: bool, jiffies in -100_000..100_000_i64) {
        fields.old = if timewait { mini::TIMEWAIT } else { mini::REQUEST };
        fields.value = jiffies.cast_unsigned();
        if timewait {
            fields.new = 5 + fields.new % 2;
        }
        let FactKind::Timer(timer) = fields.decode().unwrap().kind else {
            return Err(TestCaseError::fail("another kind"));
        };
        let (mini, substate) = if timewait {
            (TcpState::TimeWait, state_of(fields.new))
        } else {
            (TcpState::SynRecv, TcpState::SynRecv)
        };
        let event = match fields.kind {
            kind::TIMER_START => TimerEvent::Start,
            kind::TIMER_CANCEL => TimerEvent::Cancel,
            _ => TimerEvent::Expire,
        };
        let expected = TimerFact {
            event,
            mini,
            substate,
            remaining_ns: jiffies * i64::from(TICK_NS),
            listener: fields.related,
            by_worker: fields.error != 0,
        };
        prop_assert_eq!(timer, expected);
    }

    /// A timewait socket is in FIN_WAIT2 or TIME_WAIT: in CLOSE, say, it would be counted as a live socket.
    #[test]
    fn a_substate_that_does_not_exist(mut fields in fields(TIMEWAIT_KINDS), number: u8) {
        fields.old = mini::TIMEWAIT;
        fields.new = number;
        let expected = if matches!(number, 5 | 6) { None } else { Some(DecodeError::State(number)) };
        prop_assert_eq!(fields.decode().err(), expected);
    }

    /// Every record cut anywhere is said to be too short, and none is read beyond its end.
    #[test]
    fn a_truncated_record(
        short in fields(SHORT_KINDS),
        timer in fields(TIMER_KINDS),
        long in fields(LONG_KINDS),
        length in 0..LONG,
    ) {
        for (whole, needed) in [(short, SHORT), (timer, MINI), (long, LONG)] {
            let cut = decode(&whole.bytes()[..length], TICK_NS);
            prop_assert_eq!(cut == Err(DecodeError::Short(length)), length < needed);
        }
    }

    #[test]
    fn what_does_not_exist(mut fields in fields(&[kind::TRANSITION]), number: u8) {
        if TcpState::from_kernel(number).is_none() {
            fields.new = number;
            prop_assert_eq!(fields.decode(), Err(DecodeError::State(number)));
            fields.new = 1;
        }
        if ![SHORT_KINDS, TIMER_KINDS, LONG_KINDS].concat().contains(&number) {
            fields.kind = number;
            prop_assert_eq!(fields.decode(), Err(DecodeError::Kind(number)));
            fields.kind = kind::TRANSITION;
        }
        if number != 2 && number != 10 {
            let mut bytes = fields.bytes();
            bytes[59] = number;
            prop_assert_eq!(decode(&bytes, TICK_NS), Err(DecodeError::Family(number)));
        }
    }
}
