//! What takes hours to happen. `cargo xtask vm --hours` runs these tests, in guests whose clock leaps over idle time: the
//! kernel's own timers and ages are real, and half a minute is enough. On another machine they take as long as they say.
use std::{
    io::{Read as _, Write as _},
    thread::sleep,
    time::Duration,
};

use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    socket::{setsockopt, sockopt},
};
use tcpstate_tests::{
    Namespace, Pair, diagnosis,
    traffic::{self, V4},
};

/// What keepalive would wait by default, and so long `doctor` waits before it calls a connection quiet.
const TWO_HOURS: Duration = Duration::from_secs(7200);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_thousand_sockets_that_nobody_uses_or_watches() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("raising it as far as it goes");
    let ns = Namespace::new();
    let listener = ns.run(|| traffic::listen(V4));
    let connections = |count| -> Vec<Pair> {
        let connect = || ns.run(|| traffic::connect(&listener));
        std::iter::repeat_with(connect).take(count).collect()
    };
    // Two sockets each.
    let mut quiet = connections(500);
    let watched = connections(20);
    for end in watched.iter().flat_map(|pair| [&pair.client, &pair.server]) {
        setsockopt(end, sockopt::KeepAlive, &true).expect("setting SO_KEEPALIVE");
    }
    let mut used = connections(5);

    sleep(TWO_HOURS - MINUTE);
    for pair in &mut used {
        pair.client.write_all(b"still here").expect("sending");
        pair.server.read_exact(&mut [0; 10]).expect("reading");
    }
    let before = diagnosis::at_once(&ns);
    before.assert("established", "ok", "1,050 ESTABLISHED");

    sleep(2 * MINUTE);
    let found = diagnosis::of(&ns, "1");
    let headline = "1,000 sockets ESTABLISHED, quiet for 120 min and without keepalive";
    let pile = found.assert("established", "warning", headline);
    pile.assert_seen(
        "1,050 sockets ESTABLISHED now: 40 with a keepalive timer, 1,000 without one that have been quiet for 120 min",
    );
    let process = pile.assert_seen(&format!("[{}]", std::process::id()));
    assert!(process.contains(": 1,050 sockets"), "{process}");
    assert_eq!(found.warnings, 1, "{found:#?}");

    // A pool may keep some.
    quiet.truncate(5);
    let headline = "10 sockets ESTABLISHED, quiet for 120 min and without keepalive";
    diagnosis::at_once(&ns).assert("established", "info", headline);
    drop((quiet, watched, used));
}
