//! Filters by address, owner, state and stay, each on the same two sockets: what they take they take as a whole, although
//! an accepted socket's owner is known late.
use std::{net::IpAddr, thread, time::Duration};

use tcpstate_tests::{
    Line, Namespace, Other, Tool,
    other::{self, Socket},
};

const CLIENT: [&str; 5] = [
    "CLOSE->SYN_SENT",
    "SYN_SENT->ESTABLISHED",
    "ESTABLISHED->FIN_WAIT1",
    "FIN_WAIT1->FIN_WAIT2",
    "FIN_WAIT2->CLOSE",
];
const SERVER: [&str; 5] = [
    "LISTEN->SYN_RECV",
    "SYN_RECV->ESTABLISHED",
    "ESTABLISHED->CLOSE_WAIT",
    "CLOSE_WAIT->LAST_ACK",
    "LAST_ACK->CLOSE",
];
/// How long the server stays in `CLOSE_WAIT`, and nobody anywhere else.
const STAY: Duration = Duration::from_millis(1500);

/// No test: what the other processes run.
#[test]
#[ignore = "the other processes of these tests run it"]
fn other_process() {
    other::run();
}

/// A process listens, its child accepts, and a client at another address connects.
struct Stage {
    ns: Namespace,
    parent: Other,
    child: Other,
    client: Other,
    listener: Socket,
    address: std::net::SocketAddr,
}

impl Stage {
    fn new() -> Self {
        let ns = Namespace::new();
        let mut parent = Other::start(&ns, "parent");
        let client = Other::start(&ns, "client");
        let at: IpAddr = [127, 0, 2, 1].into();
        let (listener, address) = parent.listen(at);
        let child = parent.fork("child", listener);
        let listener = child.inherited();
        Self {
            ns,
            parent,
            child,
            client,
            listener,
            address,
        }
    }

    /// The transitions that `trace` prints with `options` of a connection that stays in `CLOSE_WAIT` for `stay`.
    fn edges(&mut self, options: &[&str], stay: Duration) -> Vec<String> {
        let inode = self.ns.inode().to_string();
        let tool = Tool::trace(&[&["--raw", "-N", &inode], options].concat());
        let (client_end, _) = self.client.connect(self.address);
        let server_end = self.child.accept(self.listener);
        self.client.write(client_end);
        self.child.read(server_end);
        self.client.close(client_end);
        self.child.read(server_end);
        thread::sleep(stay);
        self.child.close(server_end);
        let run = tool.stop();
        run.summary().assert_nothing_lost();
        let mut edges: Vec<_> = run.lines_in(&self.ns).iter().map(Line::edge).collect();
        edges.sort_unstable();
        edges
    }

    fn assert_takes(&mut self, options: &[&str], expected: &[&[&str]], stay: Duration) {
        let mut expected = expected.concat();
        expected.sort_unstable();
        assert_eq!(self.edges(options, stay), expected, "{options:?}");
    }
}

#[test]
fn by_address() {
    let mut stage = Stage::new();
    for (options, expected) in [
        (&["--laddr", "127.0.2.0/24"][..], &[&SERVER[..]][..]),
        (&["--laddr", "127.0.0.1"], &[&CLIENT]),
        (&["--raddr", "127.0.2.1"], &[&CLIENT]),
        (&["--raddr", "127.0.0.0/24"], &[&SERVER]),
        (
            &["--raddr", "127.0.0.0/24,127.0.2.0/24"],
            &[&CLIENT, &SERVER],
        ),
        (&["--laddr", "127.0.2.1", "--raddr", "127.0.2.1"], &[]),
        (&["--laddr", "::/0"], &[]),
    ] {
        stage.assert_takes(options, expected, Duration::ZERO);
    }
}

#[test]
fn by_owner() {
    let mut stage = Stage::new();
    let [parent, child, client] =
        [&stage.parent, &stage.child, &stage.client].map(|process| process.pid().to_string());
    let (both, others) = (format!("{child},{client}"), std::process::id().to_string());
    for (options, expected) in [
        (&["-p", &*client][..], &[&CLIENT[..]][..]),
        (&["-p", &child], &[&SERVER]),
        (&["--pid", &both], &[&CLIENT, &SERVER]),
        (&["-p", &parent], &[]), // it listens, but has accepted nothing
        (&["-p", &others], &[]),
        (&["--comm", "client"], &[&CLIENT]),
        (&["--comm", "child"], &[&SERVER]),
        (
            &["--comm", "child", "--comm", "client"],
            &[&CLIENT, &SERVER],
        ),
        (&["--comm", "parent"], &[]),
        (&["--comm", "child", "-p", &client], &[]),
        (&["--comm", "child", "--laddr", "127.0.2.1"], &[&SERVER]),
    ] {
        stage.assert_takes(options, expected, Duration::ZERO);
    }
}

#[test]
fn by_state() {
    let mut stage = Stage::new();
    let child = stage.child.pid().to_string();
    for (options, expected) in [
        (
            &["--from-state", "established"][..],
            &["ESTABLISHED->FIN_WAIT1", "ESTABLISHED->CLOSE_WAIT"][..],
        ),
        (
            &["--to-state", "CLOSE,SYN-SENT"],
            &["CLOSE->SYN_SENT", "FIN_WAIT2->CLOSE", "LAST_ACK->CLOSE"],
        ),
        (&["--from-state", "CLOSE_WAIT", "--to-state", "CLOSE"], &[]),
        (
            &["--state", "CLOSE_WAIT", "--from-state", "ESTAB"],
            &["ESTABLISHED->CLOSE_WAIT"],
        ),
        (
            &["-p", &child, "--to-state", "ESTABLISHED"],
            &["SYN_RECV->ESTABLISHED"],
        ),
    ] {
        stage.assert_takes(options, &[expected], Duration::ZERO);
    }
}

#[test]
fn by_stay() {
    let mut stage = Stage::new();
    let waited: &[&str] = &["CLOSE_WAIT->LAST_ACK"];
    for (options, expected) in [
        (&["--min-dwell", "CLOSE_WAIT=1s"][..], &[waited][..]),
        (
            &["--min-dwell", "close-wait=1", "--min-dwell", "LAST_ACK=1m"],
            &[waited],
        ),
        (&["--min-dwell", "CLOSE_WAIT=1m"], &[]),
        (&["--min-dwell", "ESTABLISHED=1m"], &[]),
    ] {
        stage.assert_takes(options, expected, STAY);
    }
}
