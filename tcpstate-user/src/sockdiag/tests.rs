//! Reading of answers that were captured, cut off, damaged or never seen in practice.
use nix::libc;
use proptest::prelude::*;

use super::*;

/// Captured on Linux 6.18: a listener, with attributes.
const LISTEN_V4: &str = "\
    7c000000120002000100000066770000020a0000ac3f0000000000000000000000000000000000000000000000000000\
    00000000000000000000000058e40500000000000000000000000000000400000000000021710f000500080000000000\
    08000f00000000000c00150001000000000000000600160052000000";
/// Captured on Linux 6.18: an IPv4-mapped connection of a dual-stack socket.
const ESTABLISHED_V6: &str = "\
    7c0000001200020001000000667700000a0100009923cad000000000000000000000ffff7f0000010000000000000000\
    0000ffff7f000001000000005ce40500000000000000000000000000000000000000000040710f000500080000000000\
    08000f00000000000c00150001000000000000000600160012000000";
/// Captured on Linux 6.18: a full socket in FIN_WAIT2 (half-closed).
const FIN_WAIT2_FULL: &str = "\
    7c00000012000200010000006677000002050000e938ac3f7f0000010000000000000000000000007f00000100000000\
    000000000000000000000000d9e40500000000000000000000000000000000000000000091720f000500080002000000\
    08000f00000000000c00150001000000000000000600160052000000";
/// Captured on Linux 6.18: a timewait mini-socket in FIN_WAIT2 (an orphan).
const FIN_WAIT2_MINI: &str = "\
    6000000012000200010000006677000002050300eaaaac3f7f0000010000000000000000000000007f00000100000000\
    00000000000000000000000001e50500000000009ce200000000000000000000000000000000000008000f0000000000";
/// Captured on Linux 6.18: a request socket.
const REQUEST: &str = "\
    6000000012000200010000006677000002030101ac3f08010a6200010000000000000000000000000a63003300000000\
    00000000000000000000000026e5050000000000000400000000000000000000000000000000000008000f0000000000";
/// Captured on Linux 6.18: a timewait mini-socket in TIME_WAIT.
const TIME_WAIT_V4: &str = "\
    60000000120002000100000066770000020603008ff8ac3f7f0000010000000000000000000000007f01000100000000\
    00000000000000000000000055e50500000000008ce200000000000000000000000000000000000008000f0000000000";
/// Captured on Linux 6.18: the end of the dump.
const END: &str = "\
    1400000003000200010000006677000000000000";

/// The bytes of `messages`, one after the other.
fn datagram(messages: &[&str]) -> Vec<u8> {
    let hex = messages.concat();
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// `message` with the netlink header's `type` or flags, or the code behind it, replaced.
fn changed(message: &str, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut changed = datagram(&[message]);
    changed[at..at + bytes.len()].copy_from_slice(bytes);
    changed
}

const TYPE: usize = 4;
const FLAGS: usize = 6;
const PAYLOAD: usize = 16;

fn read_all(bytes: &[u8]) -> Result<(Progress, Tally), CountError> {
    let mut tally = Tally::default();
    let progress = read(bytes, &mut |payload| add(payload, &mut tally))?;
    Ok((progress, tally))
}

#[test]
fn sockets_are_counted_by_state() {
    let sockets = [
        LISTEN_V4,
        ESTABLISHED_V6,
        FIN_WAIT2_FULL,
        FIN_WAIT2_MINI,
        REQUEST,
        REQUEST,
        TIME_WAIT_V4,
    ];
    let (progress, more) = read_all(&datagram(&sockets)).unwrap();
    assert_eq!(progress, Progress::More);
    let counts: Vec<_> = more
        .counts
        .iter()
        .filter(|(_, sockets)| *sockets > 0)
        .collect();
    assert_eq!(
        counts,
        [
            (TcpState::Established, 1),
            (TcpState::SynRecv, 2),
            (TcpState::FinWait2, 2),
            (TcpState::TimeWait, 1),
            (TcpState::Listen, 1),
        ]
    );
    assert_eq!(more.fin_wait2_minisockets, 1);

    let (progress, done) = read_all(&[datagram(&sockets), datagram(&[END])].concat()).unwrap();
    assert_eq!((progress, done), (Progress::Done, more));
}

#[test]
fn an_answer_to_another_request_is_passed_over() {
    let mut other = datagram(&[LISTEN_V4, END]);
    for at in [8, 124 + 8] {
        other[at] = 7; // sequence number
    }
    assert_eq!(
        read_all(&other).unwrap(),
        (Progress::More, Tally::default())
    );
}

#[test]
fn errors_of_the_kernel_are_told() {
    let missing = changed(END, PAYLOAD, &(-libc::ENOENT).to_ne_bytes());
    let mut error = missing.clone();
    error[TYPE..TYPE + 2].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
    for bytes in [missing, error] {
        let told = read_all(&bytes).unwrap_err();
        assert!(
            matches!(&told, CountError::Refused(io) if io.raw_os_error() == Some(libc::ENOENT))
        );
        assert!(told.to_string().contains("modprobe tcp_diag"), "{told}");
    }
    // Code 0 is an acknowledgement.
    let acknowledged = changed(END, TYPE, &NLMSG_ERROR.to_ne_bytes());
    assert_eq!(read_all(&acknowledged).unwrap().0, Progress::More);
}

#[test]
fn a_dump_that_lost_its_thread_is_tried_again() {
    for bytes in [
        changed(LISTEN_V4, FLAGS, &NLM_F_DUMP_INTR.to_ne_bytes()),
        changed(END, FLAGS, &NLM_F_DUMP_INTR.to_ne_bytes()),
        changed(END, TYPE, &NLMSG_OVERRUN.to_ne_bytes()),
    ] {
        assert!(matches!(read_all(&bytes), Err(CountError::Interrupted)));
    }
}

#[test]
fn what_cannot_be_read_is_an_error() {
    for bytes in [
        vec![],
        changed(LISTEN_V4, PAYLOAD, &[99]),     // address family
        changed(LISTEN_V4, PAYLOAD + 1, &[13]), // TCP_BOUND_INACTIVE, not asked for
        changed(LISTEN_V4, TYPE, &[77]),
        changed(LISTEN_V4, 0, &[0]), // a length that would never come to an end
    ] {
        assert!(
            matches!(read_all(&bytes), Err(CountError::Malformed(_))),
            "{bytes:x?}"
        );
    }
}

#[test]
fn a_datagram_that_is_cut_off_is_read_up_to_a_message_or_refused() {
    let whole = datagram(&[LISTEN_V4, FIN_WAIT2_MINI, END]);
    for length in 0..whole.len() {
        match read_all(&whole[..length]) {
            Ok((Progress::More, _)) => assert!([124, 220].contains(&length), "{length}"),
            Ok((Progress::Done, _)) => panic!("done after {length} bytes"),
            Err(error) => assert!(matches!(error, CountError::Malformed(_)), "{error}"),
        }
    }
}

proptest! {
    #[test]
    fn damage_never_panics(at in 0_usize..240, byte: u8, noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut damaged = datagram(&[LISTEN_V4, FIN_WAIT2_MINI, END]);
        damaged[at] = byte;
        let _ = read_all(&damaged);
        let _ = read_all(&noise);
    }
}

#[test]
fn the_request_asks_for_live_states() {
    let bytes = request(LIVE_STATES, 0);
    assert_eq!(
        NetlinkBuffer::new_checked(&bytes[..])
            .unwrap()
            .payload_length(),
        60
    );
    let asked = u32::from_ne_bytes(bytes[68..72].try_into().unwrap());
    for number in 0..32 {
        let live = TcpState::from_kernel(number).is_some_and(|state| state != TcpState::Close);
        assert_eq!(asked & (1 << number) != 0, live, "{number}");
    }
}

#[test]
fn minisockets_are_read_from_sockstat() {
    let text =
        "sockets: used 501\nTCP: inuse 318 orphan 0 tw 33 alloc 501 mem 269\nUDP: inuse 0 mem 0\n";
    assert_eq!(minisockets(text), Some(33));
    for text in [
        "",
        "TCP:",
        "TCP: inuse 1 tw",
        "TCP: tw x",
        "TCP6: inuse 4 tw 5",
    ] {
        assert_eq!(minisockets(text), None, "{text}");
    }
}

#[test]
fn counts_add_up_and_close_is_none() {
    let mut counts = StateCounts::default();
    counts.add(TcpState::Listen, 2);
    counts.add(TcpState::Close, 5);
    counts += counts;
    assert_eq!(
        (counts.get(TcpState::Listen), counts.get(TcpState::Close)),
        (4, 0)
    );
    assert_eq!(counts.iter().map(|(_, sockets)| sockets).sum::<u64>(), 4);
}

#[test]
fn an_own_listener_is_counted() {
    let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(count(None).unwrap().get(TcpState::Listen) >= 1);
}
