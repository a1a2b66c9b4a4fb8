//! What the kernel gives: files of `/proc`, `/sys` and netlink datagrams. In a container names in it are another's choice.
use std::collections::BTreeMap;

use procfs::FromRead as _;

use super::assert_harmless;
use crate::{
    doctor::{collect, evidence::Settings},
    netns, netstat, places,
    sink::printable,
    sockdiag::{self, each},
    source::kernel::{counters, symbols},
    view::metrics::ports,
};

/// Every parser of a file takes any text; two files that are read together are apart by a zero.
pub fn kernel_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data); // what is not UTF-8 is refused where the file is read
    let _ = netstat::section(&text, "TcpExt:");
    let _ = netstat::section(&text, "Tcp:");
    let _ = sockdiag::minisockets(&text);
    let _ = collect::tcp_line(&text);
    let _ = netns::inode_in(&text);
    let _ = counters::misses(&text);
    if let Ok(handlers) = symbols::find(data) {
        assert!(handlers.timewait != 0 && handlers.request != 0);
    }
    let _ = places::container(&text);
    assert_harmless(&printable(data));
    settings(&text);
    let _ = procfs::process::MountInfos::from_read(data);
    // The library takes the form of this file for granted; only the name in it is anybody's choice.
    let [before, after] = STAT;
    let stat = [before, data, after].concat();
    let _ = procfs::process::Stat::from_read(&stat[..]);
}

/// `/proc/PID/stat` before the name and after it.
const STAT: [&[u8]; 2] = [
    b"77 (",
    b") S 1 77 77 0 -1 4194560 1054 0 0 0 3 2 0 0 20 0 1 0 5012 8765432 640 18446744073709551615 1 1 0 0 0 0 0 4096 \
    0 0 0 0 17 1 0 0 0 0 0 1 1 1 1 1 1 1 0\n",
];

fn settings(text: &str) {
    let (range, reserved) = text.split_once('\0').unwrap_or((text, ""));
    let settings = Settings(BTreeMap::from([
        ("ip_local_port_range".to_owned(), range.to_owned()),
        ("ip_local_reserved_ports".to_owned(), reserved.to_owned()),
    ]));
    let _ = settings.number("ip_local_port_range");
    if reserved.len() > 1 << 10 {
        return; // a test of each port against each range takes its time
    }
    if let Some((usable, number)) = settings.usable_ports() {
        let _ = usable(0);
        assert!(number <= 65_535);
    }
    if let Some(available) = ports::count(range, reserved) {
        assert!(available <= 65_535);
    }
}

/// Any datagram is an answer of `sock_diag`, or one error.
pub fn sock_diag(data: &[u8]) {
    let mut tally = sockdiag::Tally::default();
    let counted = sockdiag::read(data, &mut |payload| sockdiag::add(payload, &mut tally));
    let mut sockets = 0_u64;
    let described = sockdiag::read(data, &mut |payload| {
        sockets += u64::from(each::Socket::read(payload)?.state != crate::tcp::TcpState::Close);
        Ok(())
    });
    if let (Ok(_), Ok(_)) = (counted, described) {
        let all: u64 = tally.counts.iter().map(|(_, sockets)| sockets).sum();
        assert_eq!(all, sockets, "both readers see the same sockets");
    }
}
