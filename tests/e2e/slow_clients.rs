//! `serve` among a thousand clients that are slow or broken: a scrape gets through at once, memory and file descriptors
//! stay bounded, and the measurement goes on.
use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tcpstate_tests::{Namespace, Served, host, poll_until, traffic};

const CLIENTS: usize = 1000;
/// A scrape may take this long, on a busy machine. The clients stay for as long as the test does.
const PROMPT: Duration = Duration::from_secs(2);
/// Connections that the server keeps at most, as it documents.
const CONNECTIONS: usize = 128;
/// Descriptors that come and go: a walk over the kernel's tables, a connection that is being closed for the next.
const PASSING: usize = 8;
/// What its memory may grow by.
const GROWTH: u64 = 64 << 20;

/// A client that never finishes what it began.
fn client(number: usize, server: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(server).expect("connecting");
    let long = "x".repeat(64 << 10);
    let said = match number % 6 {
        0 => String::new(),
        1 => "GET /metr".to_owned(),
        2 => "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ".to_owned(),
        3 => "\u{0}\u{1}no HTTP at all\r\n\r\n".to_owned(),
        4 => format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: {long}"),
        // It asks again and again, and never reads an answer.
        _ => "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200),
    };
    // The server may have closed it already: it has better to do.
    let _ = stream.write_all(said.as_bytes());
    stream
}

fn descriptors(served: &Served) -> usize {
    let path = format!("/proc/{}/fd", served.pid());
    fs::read_dir(path).expect("it is running").count()
}

fn prompt_scrape(served: &Served) {
    let asked = Instant::now();
    let samples = served.scrape();
    let took = asked.elapsed();
    assert!(samples.has("tcpstate_sockets"), "{samples:#?}");
    assert!(took < PROMPT, "a scrape took {took:?}");
}

#[test]
fn a_thousand_slow_and_broken_clients() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("raising it as far as it goes");
    let ns = Namespace::new();
    let served = Served::start(&[]);
    prompt_scrape(&served);
    let before = host::resident_bytes(served.pid());
    let most = descriptors(&served) + CONNECTIONS + PASSING;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(client(number, served.address));
        if number % 100 == 0 {
            prompt_scrape(&served);
        }
    }
    for _ in 0..10 {
        prompt_scrape(&served);
        let grown = host::resident_bytes(served.pid()).saturating_sub(before);
        assert!(grown < GROWTH, "{grown} bytes more than before");
        let open = descriptors(&served);
        assert!(open <= most, "{open} file descriptors, at most {most}");
    }

    // The measurement has not stood still.
    let listener = ns.run(|| traffic::listen(traffic::V4));
    let pair = ns.run(|| traffic::connect(&listener));
    pair.reset_by_client();
    poll_until("a reset in the metrics", || {
        let samples = served.scrape();
        let seen = samples.of("tcpstate_ended_total{state=\"established\",reason=\"aborted\"}");
        (seen >= 1.0).then_some(()).ok_or(format!("{seen}"))
    });
    drop(clients);
    prompt_scrape(&served);
    served.stop().assert_summary();
}
