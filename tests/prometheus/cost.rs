//! What a scrape of the full set takes while there are many sockets.
use std::{
    net::{Ipv4Addr, SocketAddr},
    thread::sleep,
    time::{Duration, Instant},
};

use tcpstate_tests::{Namespace, Samples, Served, endpoint, host, http, poll_until};

/// Connections, each to a destination of its own, so that none is counted together with another.
const CONNECTIONS: u32 = 120_000;
/// The first destination: every address that begins with 127 is the host's own.
const FIRST: u32 = 0x7f10_0000;
const LISTENER: u16 = 9_000;
/// Local ports, which the connections share.
const PORTS: u32 = 20_000;
const FIRST_PORT: u16 = 10_000;
/// Live sockets that there must be.
const SOCKETS: f64 = 100_000.0;
const SCRAPES: usize = 20;
/// Longer than any scrape's numbers are used for another.
const APART: Duration = Duration::from_millis(1100);
const MOST: Duration = Duration::from_millis(10);

#[test]
fn a_scrape_takes_less_than_ten_milliseconds_with_a_hundred_thousand_sockets() {
    let ns = Namespace::new();
    // In the namespace of the tool, whose ephemeral ports are looked at.
    let served = ns.run(|| {
        host::set("tcp_max_tw_buckets", "200000");
        Served::start(&["-N", &ns.inode().to_string()]) // other tests have many sockets too
    });
    ns.run(|| {
        let anywhere = (Ipv4Addr::UNSPECIFIED, LISTENER).into();
        let listener = endpoint::listener(anywhere, 16);
        for number in 0..CONNECTIONS {
            let to = SocketAddr::from((Ipv4Addr::from_bits(FIRST + number), LISTENER));
            let local = FIRST_PORT + u16::try_from(number % PORTS).expect("below 65536");
            let client = endpoint::connected(SocketAddr::from((Ipv4Addr::LOCALHOST, local)), to);
            let (server, _) = listener.accept().expect("accepting");
            drop(client);
            drop(server);
        }
    });
    let address = served.address;
    let scrape = || ns.run(|| Samples::scrape(address));
    let samples = poll_until("a hundred thousand sockets", || {
        let samples = scrape();
        let there = samples.of("tcpstate_sockets{state=\"time_wait\"}");
        (there >= SOCKETS)
            .then_some(samples)
            .ok_or(format!("{there}"))
    });
    let used = samples.of("tcpstate_ephemeral_ports{kind=\"max_used_per_destination\"}");
    assert!(used > 0.0, "{used}");
    let mut took: Vec<Duration> = ns.run(|| {
        let scrapes = (0..SCRAPES).map(|_| {
            let begun = Instant::now();
            let answer = http::get(address, "/metrics", &[]);
            let took = begun.elapsed();
            assert_eq!(answer.status, 200);
            sleep(APART);
            took
        });
        scrapes.collect()
    });
    took.sort();
    let there = scrape().of("tcpstate_sockets{state=\"time_wait\"}");
    println!(
        "{SCRAPES} scrapes with {there} sockets in TIME_WAIT: shortest {:?}, median {:?}, longest {:?}",
        took[0],
        took[SCRAPES / 2],
        took[SCRAPES - 1]
    );
    assert!(there >= SOCKETS, "{there} sockets at the end");
    assert!(took[SCRAPES / 2] < MOST, "{took:?}");
    served.stop().assert_summary();
}
