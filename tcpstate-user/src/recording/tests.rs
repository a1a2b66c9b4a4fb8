//! Round trips, and what becomes of a recording that is cut, changed, or made to harm.
use std::{
    io::Cursor,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use proptest::prelude::*;

use super::{Damage, Recording, Row, encode::Encoder, frame};
use crate::{
    about::About,
    source::Lost,
    tcp::{
        Bytes, Comm, ConnectionId, ContainerId, Owner, OwnerSource, Reason, Role, TcpState,
        Transition, Tuple,
    },
    tracker::Open,
};

fn about() -> About {
    About {
        tool: "0.1.0".to_owned(),
        kernel: "6.18.0".to_owned(),
        host: "a host\u{1b}[31m".to_owned(),
        tier: "fentry".to_owned(),
        start_ns: 5,
        wall_offset_ns: 1_700_000_000_000_000_000,
    }
}

/// A recording of `batches`, with or without its end mark.
fn file(batches: &[Vec<Row>], addresses: bool, end: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::begin(&about(), addresses, &mut bytes).unwrap();
    for batch in batches {
        encoder.rows(batch, &mut bytes).unwrap();
    }
    if end {
        frame::write_end(&mut bytes);
    }
    bytes
}

/// The batches that can be read, and why there are no more.
fn read(bytes: Vec<u8>) -> (Vec<Vec<Row>>, Result<(), Damage>) {
    let mut recording = match Recording::open(Box::new(Cursor::new(bytes))) {
        Ok(recording) => recording,
        Err(damage) => return (Vec::new(), Err(damage)),
    };
    let mut batches = Vec::new();
    loop {
        match recording.next_batch() {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => return (batches, Ok(())),
            Err(damage) => return (batches, Err(damage)),
        }
    }
}

fn any_tuple() -> impl Strategy<Value = Tuple> {
    let v4 = any::<[Ipv4Addr; 2]>().prop_map(|ends| ends.map(IpAddr::from));
    let v6 = any::<[Ipv6Addr; 2]>().prop_map(|ends| ends.map(IpAddr::from));
    let ends = prop_oneof![v4, v6];
    (ends, any::<Option<u16>>(), any::<u16>()).prop_map(|([laddr, raddr], lport, rport)| Tuple {
        laddr,
        lport,
        raddr,
        rport,
    })
}

fn any_owner() -> impl Strategy<Value = Owner> {
    let source = proptest::sample::select(OwnerSource::ALL.to_vec());
    (any::<u32>(), any::<u32>(), "[\\PC\\\\\u{1b}]{0,3}", source).prop_map(
        |(pid, uid, name, source)| {
            let mut comm = Comm::default();
            comm.0[..name.len().min(15)].copy_from_slice(&name.as_bytes()[..name.len().min(15)]);
            Owner {
                pid,
                uid,
                comm,
                source,
            }
        },
    )
}

fn any_transition() -> impl Strategy<Value = Transition> {
    let state = || proptest::sample::select(TcpState::ALL.to_vec());
    let time = 0..u64::MAX / 4;
    let ends = (
        proptest::option::of(any_tuple()),
        any::<u32>(),
        any::<(u64, u64)>(),
        any::<u64>(),
    );
    let step = (
        time.clone(),
        state(),
        state(),
        proptest::option::of(time),
        any::<bool>(),
    );
    let rest = (
        proptest::option::of(proptest::sample::select(Reason::ALL.to_vec())),
        proptest::option::of(proptest::sample::select(Role::ALL.to_vec())),
        proptest::option::of(any_owner()),
        any::<Option<u64>>(),
        any::<Option<[u8; 32]>>(),
        any::<Option<(u64, u64)>>(),
    );
    (ends, step, rest).prop_map(|(ends, step, rest)| {
        let (tuple, netns, (cookie, serial), skaddr) = ends;
        let (mono_ns, from, to, dwell_ns, estimated) = step;
        let (reason, role, owner, cgroup, container, bytes) = rest;
        Transition {
            mono_ns,
            id: ConnectionId { cookie, serial },
            skaddr,
            netns,
            tuple,
            from,
            to,
            dwell_ns,
            estimated,
            reason,
            role,
            owner,
            cgroup,
            container: container.map(ContainerId),
            bytes: bytes.map(|(sent, received)| Bytes { sent, received }),
        }
    })
}

fn any_row() -> impl Strategy<Value = Row> {
    let causes = Lost::default().by_cause().map(|(cause, _)| cause);
    let cause = proptest::sample::select(causes.to_vec());
    let time = || 0..u64::MAX / 4;
    prop_oneof![
        8 => (any::<u64>(), any_transition())
            .prop_map(|(seq, transition)| Row::Transition { seq, transition }),
        2 => (any_transition(), time(), time(), any::<bool>()).prop_map(snapshot),
        1 => (time(), cause, any::<u64>())
            .prop_map(|(mono_ns, cause, lost)| Row::Loss { mono_ns, cause, lost }),
        1 => time().prop_map(|mono_ns| Row::End { mono_ns }),
    ]
}

/// A socket as it was found, with what a transition and a socket have in common.
fn snapshot((of, age_ns, seen, known): (Transition, u64, u64, bool)) -> Row {
    let mono_ns = of.mono_ns;
    let there = of.to != TcpState::Close;
    Row::Snapshot {
        mono_ns,
        socket: Open {
            id: of.id,
            skaddr: of.skaddr,
            netns: of.netns,
            tuple: of.tuple,
            state: of.to,
            since_ns: known.then(|| mono_ns.saturating_sub(age_ns)),
            seen_ns: mono_ns - if there { seen.min(mono_ns) } else { 0 },
            role: of.role,
            owner: of.owner,
            cgroup: of.cgroup,
            bytes: None,
        },
    }
}

proptest! {
    #[test]
    fn every_field_and_every_null_comes_back(
        batches in proptest::collection::vec(proptest::collection::vec(any_row(), 1..40), 0..4),
        addresses: bool,
    ) {
        let (mut read, end) = read(file(&batches, addresses, true));
        end.unwrap();
        let mut expected = batches;
        for row in expected.iter_mut().chain(&mut read).flatten() {
            match row {
                Row::Transition { transition, .. } if !addresses => transition.skaddr = 0,
                Row::Snapshot { socket, .. } if !addresses => socket.skaddr = 0,
                _ => {}
            }
        }
        prop_assert_eq!(read, expected);
    }

    /// A file that was made to harm: its bytes are changed, and its checksums fit.
    #[test]
    fn a_forged_recording_is_refused_without_a_panic(
        rows in proptest::collection::vec(any_row(), 1..40),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let whole = file(&[rows], true, true);
        let mut forged = whole.clone();
        for (place, byte) in changes {
            let place = place.index(forged.len());
            forged[place] = byte;
        }
        reseal(&mut forged);
        // Whatever comes out: it came out, and an allocation beyond the limit would have ended this process.
        let _ = read(forged);
    }
}

/// Puts a fitting checksum into every message that still has its shape.
fn reseal(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let start = at + 8;
        let Some(metadata) = bytes.get(start..start + length) else {
            return;
        };
        let Ok(message) = arrow_ipc::root_as_message(metadata) else {
            return;
        };
        let Some(end) = usize::try_from(message.bodyLength())
            .ok()
            .and_then(|body| (start + length).checked_add(body))
            .filter(|end| *end <= bytes.len() && length >= 8)
        else {
            return;
        };
        let mut crc = crc32fast::Hasher::new();
        crc.update(&bytes[at + 4..start + length - 8]);
        crc.update(&bytes[start + length..end]);
        bytes[start + length - 4..start + length].copy_from_slice(&crc.finalize().to_le_bytes());
        at = end;
    }
}

/// Ordinary rows: what a file of some thousand transitions has.
fn ordinary(count: u64) -> Vec<Vec<Row>> {
    let rows: Vec<Row> = (0..count)
        .map(|number| Row::Transition {
            seq: number,
            transition: Transition {
                mono_ns: 1000 * number,
                id: ConnectionId {
                    cookie: number / 5,
                    serial: number / 5 + 1,
                },
                skaddr: 0,
                netns: 4_026_531_840,
                tuple: Some(Tuple {
                    laddr: Ipv4Addr::from(0x0a00_0000 + u32::try_from(number % 300).unwrap())
                        .into(),
                    lport: Some(443),
                    raddr: Ipv4Addr::LOCALHOST.into(),
                    rport: u16::try_from(number * 7 % 60_000).unwrap(),
                }),
                from: TcpState::Established,
                to: TcpState::CloseWait,
                dwell_ns: Some(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 30),
                estimated: false,
                reason: None,
                role: Some(Role::Server),
                owner: None,
                cgroup: None,
                container: None,
                bytes: None,
            },
        })
        .collect();
    vec![rows]
}

/// A small batch, and one that is longer than any cut.
fn small_and_long() -> Vec<Vec<Row>> {
    let mut batches = ordinary(5000);
    let long = batches[0].split_off(10);
    batches.push(long);
    batches
}

/// What can be read of damaged bytes is the beginning of what was written, and the end is never taken for a good one.
fn assert_beginning(batches: &[Vec<Row>], damaged: Vec<u8>, what: &str) {
    let (read, end) = read(damaged);
    assert!(read.len() <= batches.len(), "{what}");
    assert!(
        read == batches[..read.len()],
        "{what}: other rows than were written"
    );
    assert!(end.is_err(), "{what}: silence");
    let message = end.unwrap_err().to_string();
    assert!(
        !message.contains('\n') && message.len() < 200,
        "{what}: {message}"
    );
}

#[test]
fn cut_at_any_byte_gives_what_is_whole_and_one_message() {
    let batches = small_and_long();
    let whole = file(&batches, false, true);
    assert!(whole.len() > 64 << 10, "{} bytes", whole.len());
    assert!(read(whole.clone()).1.is_ok());
    let begins = beginnings(&whole);
    for length in whole.len() - (64 << 10)..whole.len() {
        let cut = &whole[..length];
        // Where each message begins, the last of them cut: the same as without the cut.
        let expected = begins.iter().rfind(|begin| **begin <= length);
        assert_eq!(expected, beginnings(cut).last(), "cut at {length}");
        // Decoding as well would take minutes in a debug build, and changes only from message to message.
        if length % 101 == 0 || begins.contains(&length) || begins.contains(&(length + 1)) {
            assert_beginning(&batches, cut.to_vec(), &format!("cut at {length}"));
        }
    }
}

/// Where messages begin, up to the end mark or to the first that is cut off.
fn beginnings(bytes: &[u8]) -> Vec<usize> {
    let mut frames = frame::Frames::new(bytes);
    let mut begins = Vec::new();
    loop {
        begins.push(usize::try_from(frames.position()).unwrap());
        match frames.next() {
            Ok(Some(_)) => {}
            Ok(None) => return begins,
            Err(Damage::Cut(at)) => {
                assert_eq!(Some(at), begins.last().map(|at| *at as u64));
                return begins;
            }
            Err(error) => panic!("a cut is no change: {error}"),
        }
    }
}

#[test]
fn a_killed_writer_leaves_every_whole_batch() {
    let batches = [ordinary(100), ordinary(50)].concat();
    let (read, end) = read(file(&batches, false, false));
    assert_eq!(read, batches);
    assert!(matches!(end, Err(Damage::Cut(_))), "{end:?}");
}

proptest! {
    #[test]
    fn any_change_is_noticed(changes in proptest::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4)) {
        let batches = [ordinary(100), ordinary(50)].concat();
        let whole = file(&batches, false, true);
        let mut changed = whole.clone();
        for (place, flip) in &changes {
            changed[place.index(whole.len())] ^= flip;
        }
        if changed != whole {
            assert_beginning(&batches, changed, &format!("{changes:?}"));
        }
    }
}

#[test]
fn what_is_no_recording_is_refused_in_one_line() {
    for bytes in [
        &b""[..],
        b"time,mono_ns\n",
        &[0; 4096],
        b"ARROW1\0\0\xff\xff\xff\xff",
    ] {
        let (_, end) = read(bytes.to_vec());
        let error = end.unwrap_err().to_string();
        assert!(error.starts_with("not a recording"), "{error}");
    }
}

#[test]
fn nothing_comes_after_the_end() {
    let mut bytes = file(&ordinary(10), false, true);
    bytes.push(0);
    assert!(matches!(read(bytes).1, Err(Damage::Changed { .. })));
}
