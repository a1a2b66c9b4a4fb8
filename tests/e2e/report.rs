//! `report`: its numbers are those of the traffic, its file is there when it is whole, names do no harm in it.
use std::{env, fs, path::PathBuf};

use serde_json::Value;
use tcpstate_tests::{
    Namespace, Pair, Tool, host, poll_until, sockets,
    tool::{command, run},
    traffic::{self, V4},
};

/// Connections that both ends close.
const CLOSED: u64 = 20;
/// Connections of which the server's end stays open.
const LEAKED: u64 = 3;

/// A folder that goes with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("tcpstate-report-{name}-{}", std::process::id()));
        fs::create_dir(&path).expect("making a folder");
        Self(path)
    }

    fn files(&self) -> Vec<String> {
        let files = fs::read_dir(&self.0).expect("reading the folder");
        let names = files.map(|file| file.expect("a file").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The connections, and one that is refused; what is leaked is returned.
fn make_traffic(ns: &Namespace) -> Vec<Pair> {
    ns.run(|| {
        let listener = traffic::listen(V4);
        for _ in 0..CLOSED {
            traffic::connect(&listener).close_client_first();
        }
        let leak = || {
            let pair = traffic::connect(&listener);
            pair.client
                .shutdown(std::net::Shutdown::Write)
                .expect("closing one way");
            traffic::await_end(&pair.server);
            pair
        };
        let leaked = (0..LEAKED).map(|_| leak()).collect();
        let nobody = traffic::address(&listener);
        drop(listener);
        std::net::TcpStream::connect(nobody).expect_err("nobody listens");
        leaked
    })
}

#[test]
fn numbers_are_those_of_the_traffic() {
    let ns = Namespace::new();
    let inode = ns.inode().to_string();
    let tool = Tool::start(&["report", "--json", "-N", &inode]);
    let leaked = make_traffic(&ns);
    ns.run(|| {
        poll_until("the connections to settle", || {
            let counts = sockets::by_state();
            // The peer's kernel may take its time to acknowledge the FIN of what is leaked.
            let settled = counts["TIME_WAIT"] == CLOSED
                && counts["LAST_ACK"] == 0
                && counts["FIN_WAIT2"] == LEAKED;
            settled.then_some(()).ok_or(format!("{counts:?}"))
        });
    });
    let run = tool.stop();
    run.assert_summary();
    let [line] = &run.stdout[..] else {
        panic!("one line: {run:#?}")
    };
    let object: Value = serde_json::from_str(line).expect("JSON");
    let all = CLOSED + LEAKED;
    let expected = [
        ("CLOSE", "LISTEN", 1),
        ("CLOSE", "SYN_SENT", all + 1),
        ("CLOSE_WAIT", "LAST_ACK", CLOSED),
        ("ESTABLISHED", "CLOSE_WAIT", all),
        ("ESTABLISHED", "FIN_WAIT1", all),
        ("FIN_WAIT1", "FIN_WAIT2", all),
        ("FIN_WAIT2", "TIME_WAIT", CLOSED),
        ("LAST_ACK", "CLOSE", CLOSED),
        ("LISTEN", "CLOSE", 1),
        ("LISTEN", "SYN_RECV", all),
        ("SYN_RECV", "ESTABLISHED", all),
        ("SYN_SENT", "CLOSE", 1),
        ("SYN_SENT", "ESTABLISHED", all),
    ];
    let edges = object["edges"].as_array().expect("a list");
    let mut seen: Vec<_> = edges
        .iter()
        .map(|edge| {
            let state = |key: &str| edge[key].as_str().expect("a state");
            (
                state("from"),
                state("to"),
                edge["count"].as_u64().expect("a count"),
            )
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, expected);
    let sum: u64 = expected.iter().map(|(.., count)| count).sum();
    assert_eq!(object["transitions"], sum);
    let state = |name: &str| &object["states"][name];
    assert_eq!(state("TIME_WAIT")["open"]["sockets"], CLOSED);
    assert_eq!(state("CLOSE_WAIT")["open"]["sockets"], LEAKED);
    assert_eq!(state("FIN_WAIT2")["open"]["sockets"], LEAKED);
    assert_eq!(state("CLOSE_WAIT")["dwell"]["count"], CLOSED);
    assert_eq!(
        state("CLOSE_WAIT")["slowest"][0]["to"],
        Value::Null,
        "the leak is the slowest"
    );
    let holders = &object["ranked"]["CLOSE_WAIT"]["processes"]["first"];
    assert_eq!(holders[0]["sockets"], LEAKED, "{holders}");
    assert_eq!(holders[0]["pid"], std::process::id(), "{holders}");
    let refused = object["ends"].as_array().expect("a list").iter();
    let mut refused = refused.filter(|end| end["reason"] == "refused");
    assert_eq!(refused.next().expect("one was refused")["count"], 1);
    drop(leaked);
}

#[test]
fn a_recording_gives_the_numbers_of_hist() {
    let folder = Folder::new("from");
    let file = folder.0.join("tcp.arrows");
    let file = file.to_str().expect("text");
    let ns = Namespace::new();
    let tool = Tool::start(&["record", "-N", &ns.inode().to_string(), file]);
    drop(make_traffic(&ns));
    tool.stop().assert_summary();
    let show = |view: &str| -> Value {
        let run = run(command(&[view, "--json", "--from", file]));
        run.assert_summary();
        serde_json::from_str(&run.stdout[0]).expect("JSON")
    };
    let (report, hist) = (show("report"), show("hist"));
    assert_eq!(report, show("report"), "it is the same each time");
    for (state, figures) in hist["states"].as_object().expect("states") {
        let dwell = &report["states"][state]["dwell"];
        for (figure, name) in [
            ("count", "count"),
            ("min", "min_us"),
            ("mean", "mean_us"),
            ("p50", "p50_us"),
            ("p99", "p99_us"),
            ("max", "max_us"),
        ] {
            assert_eq!(figures[figure], dwell[name], "{figure} of {state}");
        }
    }
    assert_eq!(hist["states"]["CLOSE_WAIT"]["count"], CLOSED + LEAKED);
}

#[test]
fn a_signal_ends_the_measurement_and_writes_the_file() {
    let folder = Folder::new("file");
    let file = folder.0.join("tcp.html");
    let ns = Namespace::new();
    let inode = ns.inode().to_string();
    let path = file.to_str().expect("text");
    let tool = Tool::start(&["report", "-N", &inode, "-o", path]);
    assert!(!file.exists(), "there before it is whole");
    ns.run(|| {
        nix::sys::prctl::set_name(c"<script>\x1b[2J").expect("taking a name");
        let listener = traffic::listen(V4);
        traffic::connect(&listener).close_client_first();
    });
    let run = tool.stop();
    run.assert_summary();
    assert_eq!(run.stdout, [""; 0]);
    assert_eq!(folder.files(), ["tcp.html"]);
    let page = fs::read_to_string(&file).expect("a page");
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert!(page.contains("&lt;script&gt;\\x1b[2J"));
    assert!(!page.contains("<script") && !page.contains('\x1b'));
    assert!(page.contains("ESTABLISHED → FIN_WAIT1: this end closes: FIN sent; 1 times"));
}

#[test]
fn standard_output_takes_the_page() {
    let run = run(command(&["report", "-d", "0.2"]));
    run.assert_summary();
    assert_eq!(
        run.stdout.first().map(|line| &line[..15]),
        Some("<!DOCTYPE html>")
    );
}

#[test]
fn a_file_that_cannot_be_written_is_known_at_once() {
    let folder = Folder::new("none");
    let path = folder.0.join("none/tcp.html");
    let run = run(command(&["report", "-o", path.to_str().expect("text")]));
    run.assert_status(1);
    let [line] = &run.stderr[..] else {
        panic!("one line: {run:#?}")
    };
    assert!(line.starts_with("tcpstate: writing "), "{line}");
}

/// The rules of `doctor` look at the namespace that is measured.
#[test]
fn advice_is_about_the_namespace() {
    let ns = Namespace::new();
    ns.run(|| host::set("tcp_syncookies", "0"));
    let inode = ns.inode().to_string();
    let live = Tool::start(&["report", "--json", "-N", &inode]).stop();
    live.assert_status(0);
    let object: Value = serde_json::from_str(&live.stdout[0]).expect("an object");
    let advice = object["advice"].as_array().expect("a list");
    let [finding] = &advice[..] else {
        panic!("one setting was changed: {advice:#?}")
    };
    assert_eq!(finding["rule"], "tcp_syncookies", "{finding:#}");
    assert_eq!(finding["severity"], "warning", "{finding:#}");
}
