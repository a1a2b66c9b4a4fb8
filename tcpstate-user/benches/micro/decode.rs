//! Bytes of a ring into facts.
use divan::{Bencher, black_box, counter::ItemsCount};
use tcpstate::decode::decode;
use tcpstate_ebpf::{COMM_LEN, FAMILY_IPV4, FAMILY_IPV6, FullRecord, Record, kind};

const TICK_NS: u32 = 4_000_000;

#[divan::bench(args = [FAMILY_IPV4, FAMILY_IPV6], sample_size = 1_000)]
fn record(bencher: Bencher, family: u8) {
    decoded(
        bencher,
        &bytes(kind::TRANSITION, family)[..size_of::<Record>()],
    );
}

#[divan::bench(args = [FAMILY_IPV4, FAMILY_IPV6], sample_size = 1_000)]
fn full_record(bencher: Bencher, family: u8) {
    decoded(bencher, &bytes(kind::DETAILED, family));
}

fn decoded(bencher: Bencher, bytes: &[u8]) {
    assert!(decode(bytes, TICK_NS).is_ok());
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench(|| decode(black_box(bytes), TICK_NS));
}

/// A full record as the kernel side writes it; a short one is its beginning.
fn bytes(kind: u8, family: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(123_456_789_u64.to_ne_bytes()); // time
    bytes.extend(0xffff_8880_1234_5678_u64.to_ne_bytes()); // object
    bytes.extend([10; 32]); // both addresses
    bytes.extend(4_026_531_840_u32.to_ne_bytes()); // namespace
    bytes.extend(40_000_u16.to_ne_bytes());
    bytes.extend(443_u16.to_ne_bytes());
    bytes.extend([kind, 7, 2, family]); // CLOSE to SYN_SENT
    bytes.extend([0; 4]); // no error, first CPU
    bytes.extend(77_u64.to_ne_bytes()); // cookie
    bytes.extend([0; 16]); // related, value
    bytes.extend(4_242_u64.to_ne_bytes()); // cgroup
    bytes.extend(4_711_u32.to_ne_bytes()); // process
    bytes.extend(1_000_u32.to_ne_bytes());
    bytes.extend([b'x'; COMM_LEN]);
    assert_eq!(bytes.len(), size_of::<FullRecord>());
    bytes
}
