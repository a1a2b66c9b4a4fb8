//! `top` on a terminal: its numbers are the kernel's, it follows the terminal's size, and it gives the terminal back.
use std::{
    collections::BTreeMap,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    ops::RangeInclusive,
    process,
};

use nix::sys::signal::Signal;
use tcpstate_tests::{
    Namespace, Pair, endpoint,
    sockets::{self, ByState},
    terminal::{PROMPT, Terminal},
    tool,
    traffic::{self, V4},
};

/// Local ports of these tests.
const PORTS: RangeInclusive<u16> = 24_000..=24_999;
const LISTENER: u16 = 24_000;
const LIST: &str = "24000-24999";

/// Connections that stand still in known states.
struct Traffic {
    listener: TcpListener,
    next_port: u16,
    open: Vec<Pair>,
    kept: Vec<TcpStream>,
}

impl Traffic {
    fn new() -> Self {
        Self {
            listener: endpoint::listener(SocketAddr::new(V4, LISTENER), 128),
            next_port: LISTENER,
            open: Vec::new(),
            kept: Vec::new(),
        }
    }

    fn pair(&mut self) -> Pair {
        self.next_port += 1;
        let local = SocketAddr::new(V4, self.next_port);
        let client = endpoint::connected(local, traffic::address(&self.listener));
        let (server, _) = self.listener.accept().expect("accepting");
        for stream in [&client, &server] {
            stream
                .set_read_timeout(Some(tcpstate_tests::PATIENCE))
                .expect("a stream takes a time limit");
        }
        Pair { client, server }
    }

    /// Pairs in `ESTABLISHED`; in `FIN_WAIT2` and `CLOSE_WAIT`; and clients in `TIME_WAIT`.
    fn add(&mut self, open: usize, half: usize, closed: usize) {
        for _ in 0..open {
            let pair = self.pair();
            self.open.push(pair);
        }
        for _ in 0..half {
            let Pair { client, server } = self.pair();
            client.shutdown(Shutdown::Write).expect("closing one way");
            traffic::await_end(&server);
            self.kept.extend([client, server]);
        }
        for _ in 0..closed {
            self.pair().close_client_first();
        }
    }
}

/// Live sockets by state, as the screen shows them; `None` if it is not the table of states.
fn counts(lines: &[String]) -> Option<ByState> {
    let mut counts = BTreeMap::new();
    for state in sockets::none().into_keys() {
        let row = lines.iter().find_map(|line| {
            let mut words = line.trim_start_matches(['>', ' ']).split_whitespace();
            (words.next() == Some(&state)).then(|| words.next())
        })??;
        counts.insert(state, row.replace(',', "").parse().ok()?);
    }
    Some(counts)
}

fn assert_shows(terminal: &Terminal, ns: &Namespace) {
    let truth = ns.run(|| {
        tcpstate_tests::poll_until("the traffic to stand still", || {
            let before = sockets::by_state_at(PORTS);
            let moving = ["SYN_SENT", "SYN_RECV", "FIN_WAIT1", "LAST_ACK", "CLOSING"];
            let still = moving.iter().all(|state| before[*state] == 0);
            still.then(|| before.clone()).ok_or(format!("{before:?}"))
        })
    });
    terminal.wait_for(&format!("{truth:?}"), |lines| {
        (counts(lines)? == truth).then_some(())
    });
}

fn start(columns: u16, rows: u16) -> Terminal {
    let terminal = Terminal::start(&["top", "-i", "0.2", "-L", LIST], columns, rows);
    terminal.wait_for("table of states", counts);
    terminal
}

#[test]
fn top_shows_the_kernels_numbers_and_who_has_the_sockets() {
    let ns = Namespace::new();
    let mut traffic = ns.run(Traffic::new);
    ns.run(|| traffic.add(6, 3, 4));
    let mut terminal = start(80, 24);
    assert!(terminal.is_taken());
    assert_shows(&terminal, &ns);
    // Those that were there before: nobody knows since when.
    terminal.wait_for("lower bound", |lines| {
        let row = lines.iter().find(|line| line.contains("CLOSE_WAIT  "))?;
        row.contains(">=").then_some(())
    });

    ns.run(|| traffic.add(2, 5, 2));
    assert_shows(&terminal, &ns);
    // The clients belong to this process, whatever name of a thread it goes by.
    let mine = process::id().to_string();
    terminal.press("j"); // FIN_WAIT1
    terminal.press("j"); // FIN_WAIT2
    terminal.wait_for_words("FIN_WAIT2 by [process]");
    terminal.wait_for("all of them under this process", |lines| {
        let words = |line: &String| -> Vec<String> {
            let words = line.trim_start_matches(['>', ' ']).split_whitespace();
            words.map(str::to_owned).collect()
        };
        let mut rows = lines.iter().map(words);
        let row = rows.find(|row| row.first() == Some(&mine))?;
        (row.iter().rev().nth(2)? == "8").then_some(())
    });

    terminal.press("\t\t");
    let lines = terminal.wait_for_words("FIN_WAIT2 oldest first");
    assert!(
        lines.iter().any(|line| line.contains("8 of 8")),
        "{lines:#?}"
    );
    terminal.press(&format!("/:{}\r", traffic.next_port - 2));
    terminal.wait_for("the one socket with this port", |lines| {
        lines
            .iter()
            .find(|line| line.ends_with(" 1 of 1"))
            .map(drop)
    });
    terminal.press("\r");
    let lines = terminal.wait_for_words("a socket in FIN_WAIT2");
    let netns = ns.inode().to_string();
    assert!(lines.iter().any(|line| line.contains(&netns)), "{lines:#?}");
    terminal.press("\x1bm");
    terminal.wait_for("seven transitions", |lines| {
        let row = lines.iter().find(|line| line.starts_with(" FIN_WAIT1"))?;
        (row.split_whitespace().filter(|word| *word == "7").count() == 1).then_some(())
    });
    terminal.press("q");
    terminal.finish();
    drop(traffic);
    ns.run(sockets::await_end);
}

#[test]
fn top_follows_the_size_of_the_terminal() {
    let mut terminal = start(80, 24);
    terminal.resize(200, 60);
    terminal.wait_for("both lists side by side", |lines| {
        let both = |line: &&String| line.contains("by [process]") && line.contains("oldest first");
        lines.iter().find(both).map(drop)
    });
    terminal.resize(20, 5);
    terminal.wait_for("a small table", |lines| {
        (lines.len() == 5 && lines[1].contains("STATE")).then_some(())
    });
    terminal.resize(80, 24);
    terminal.wait_for("the table again", |lines| {
        counts(lines).filter(|_| lines[23].contains("help"))
    });
    terminal.press("q");
    terminal.finish();
}

#[test]
fn top_gives_the_terminal_back_whatever_ends_it() {
    enum End {
        Keys(&'static str),
        Signal(Signal),
    }
    for end in [
        End::Keys("q"),
        End::Keys("\x03"),
        End::Keys("?\x1b[21~"), // F10 on the help
        End::Signal(Signal::SIGTERM),
        End::Signal(Signal::SIGINT),
        End::Signal(Signal::SIGHUP),
    ] {
        let mut terminal = Terminal::start(&["top", "-i", "0.2", "-L", LIST], 80, 24);
        // Of the new terminal, or already of the tool: what counts is what an unused one has.
        let unused = Terminal::start(&["--version"], 80, 24).modes();
        terminal.wait_for("table of states", counts);
        assert!(terminal.is_taken());
        assert!(terminal.modes() != unused, "raw mode");
        match end {
            End::Keys(keys) => terminal.press(keys),
            End::Signal(signal) => terminal.signal(signal),
        }
        let left = terminal.finish();
        assert_eq!(terminal.modes(), unused);
        assert_eq!(left.status.exit_code(), 0, "{left:#?}");
        let text = left.lines.concat();
        let after = text.strip_prefix(PROMPT).unwrap_or_default();
        assert!(after.starts_with("tcpstate: ready"), "{left:#?}");
        let (_, summary) = after.rsplit_once("tcpstate: ").unwrap_or_default();
        assert!(summary.contains(" transitions, "), "{left:#?}");
        assert!(!after.contains("STATE "), "{left:#?}");
    }
}

#[test]
fn top_wants_a_terminal() {
    let run = tool::run(tool::command(&["top"]));
    run.assert_status(1);
    let [message] = &run.stderr[..] else {
        panic!("{run:#?}")
    };
    assert!(message.starts_with("tcpstate: top: "), "{message}");
    assert!(message.contains("count --live"), "{message}");
}
