//! A process chooses its own name, so that a name must not drive the terminal, break a row, or forge a line.
use std::ffi::CStr;

use tcpstate_tests::{
    Line, Namespace, Run, Tool,
    traffic::{self, V4},
};

/// Colours, markup, and what ends a field or a row.
const EVIL: &CStr = c"\x1b[31m<b>,\"\n\r";
/// The same, harmless.
const SHOWN: &str = r#"\x1b[31m<b>,"\x0a\x0d"#;

/// `trace` beside a connection that a thread called `name` opens; returns the run and the listener's port.
fn beside(name: &CStr, options: &[&str]) -> (Run, Namespace, u16) {
    let ns = Namespace::new();
    let tool = Tool::start(&[&["trace", "--raw"], options].concat());
    let port = ns.run(|| {
        nix::sys::prctl::set_name(name).expect("taking a name");
        let listener = traffic::listen(V4);
        traffic::connect(&listener).close_client_first();
        traffic::address(&listener).port()
    });
    let run = tool.stop();
    run.assert_summary();
    (run, ns, port)
}

fn assert_harmless(run: &Run) {
    for line in &run.stdout {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

#[test]
fn in_text() {
    let (run, _, port) = beside(EVIL, &[]);
    assert_harmless(&run);
    let port = port.to_string();
    let mut lines = run
        .stdout
        .iter()
        .filter(|line| line.split_whitespace().any(|word| word == port));
    // The column is narrow: the name is cut, after it was made harmless.
    assert!(lines.any(|line| line.contains(&SHOWN[..10])), "{run:#?}");
    let (run, _, _) = beside(EVIL, &["--wide"]);
    assert_harmless(&run);
}

#[test]
fn in_csv() {
    let (run, ns, _) = beside(EVIL, &["--csv"]);
    assert_harmless(&run);
    let text = run.stdout.join("\n");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let column = |name| {
        header
            .iter()
            .position(|word| word == name)
            .expect("a column")
    };
    let names: Vec<_> = reader
        .records()
        .map(|row| row.expect("a row"))
        .filter(|row| row[column("netns")] == ns.inode().to_string())
        .map(|row| row[column("comm")].to_owned())
        .collect();
    assert!(names.iter().any(|name| name == SHOWN), "{names:?}");
    assert!(
        names.iter().all(|name| name == SHOWN || name.is_empty()),
        "{names:?}"
    );
}

#[test]
fn csv_disarms_formulas() {
    let (run, ns, _) = beside(c"=1+2", &["--csv"]);
    let inode = format!(",{},", ns.inode());
    let mut lines = run.stdout.iter().filter(|line| line.contains(&inode));
    assert!(lines.any(|line| line.contains(",'=1+2,")), "{run:#?}");
    assert!(
        !run.stdout.iter().any(|line| line.contains(",=1+2")),
        "{run:#?}"
    );
}

#[test]
fn in_json() {
    // JSON escapes by itself, so that the name arrives as it is.
    let name = EVIL.to_str().expect("UTF-8");
    for (name, expected) in [(EVIL, name), (c"a\xff\xfeb", "a\u{fffd}\u{fffd}b")] {
        let (run, ns, _) = beside(name, &["--json"]);
        assert_harmless(&run);
        let lines = run.lines_in(&ns);
        let names: Vec<_> = lines
            .iter()
            .filter_map(|line: &Line| line.comm.as_deref())
            .collect();
        assert!(names.contains(&expected), "{names:?}");
        assert!(names.iter().all(|name| *name == expected), "{names:?}");
    }
}
