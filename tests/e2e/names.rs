//! A process chooses its own name, so that a name must not drive the terminal, break a row, or forge a line.
use std::ffi::CStr;

use tcpstate_tests::{
    Line, Namespace, Run, Tool, tool,
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
    for line in run.stdout.iter().chain(&run.stderr) {
        let drives = |c: char| c.is_control() || ('\u{200b}'..='\u{202e}').contains(&c);
        assert!(!line.chars().any(drives), "{line:?}");
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
    // JSON has escapes of its own, so that the name arrives as it is.
    let name = EVIL.to_str().expect("UTF-8");
    for (name, expected) in [
        (EVIL, name),
        (c"a\xff\xfeb", "a\u{fffd}\u{fffd}b"),
        (c"\xc2\x9b2J\x7f\xe2\x80\xae", "\u{9b}2J\u{7f}\u{202e}"),
    ] {
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

#[test]
fn in_errors_about_files_and_options() {
    const WORD: &str = "/no/\u{1b}[31m\n\u{9b}2J\u{202e}x";
    const SHOWN: &str = r"/no/\x1b[31m\x0a\xc2\x9b2J\xe2\x80\xaex";
    for (args, status) in [
        (&["trace", "--from", WORD][..], 1),
        (&["report", "--from", "/dev/null", "-o", WORD], 1),
        (&["trace", "-N", WORD], 2),
        (&["hist", "--by", WORD], 2),
        (&["count", WORD], 2),
        (&[WORD], 2),
    ] {
        let run = tool::run(tool::command(args));
        run.assert_status(status);
        assert_harmless(&run);
        let names_it = run.stderr.iter().any(|line| line.contains(SHOWN));
        assert!(names_it || args.contains(&"/dev/null"), "{run:#?}");
    }
}
