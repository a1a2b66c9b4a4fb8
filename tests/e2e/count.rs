//! `count` against the kernel's own `/proc/net/tcp`, in a namespace with a socket in every state.
use std::process::Command;

use tcpstate_tests::{
    Namespace, Run,
    sockets::{self, ByState},
    tool::{self, PublicCopy},
    zoo::Zoo,
};

/// A namespace with its zoo.
fn with_zoo() -> (Namespace, Zoo) {
    let ns = Namespace::new();
    let zoo = ns.run(Zoo::new);
    ns.run(Zoo::settle);
    (ns, zoo)
}

/// Runs `command` in the namespace, while `/proc/net/tcp` shows the same sockets before and after.
fn counted(ns: &Namespace, command: impl Fn() -> Command + Sync) -> (Run, ByState) {
    ns.run(|| {
        let before = sockets::by_state();
        let run = tool::run(command());
        assert_eq!(before, sockets::by_state(), "the zoo stands still");
        run.assert_status(0);
        assert!(run.stderr.is_empty(), "{run:#?}");
        (run, before)
    })
}

fn table(run: &Run) -> ByState {
    let [header, lines @ ..] = &run.stdout[..] else {
        panic!("a table: {run:#?}")
    };
    let words: Vec<_> = header.split_whitespace().collect();
    assert_eq!(words, ["STATE", "SOCKETS"]);
    lines
        .iter()
        .map(|line| {
            let (state, count) = line.split_once(' ').expect("two columns");
            (state.to_owned(), count.trim().parse().expect("a number"))
        })
        .collect()
}

#[test]
fn table_json_and_integers_agree_with_the_kernel() {
    let (ns, _zoo) = with_zoo();
    let (run, expected) = counted(&ns, || tool::command(&["count"]));
    assert_eq!(table(&run), expected);
    let (run, expected) = counted(&ns, || tool::command(&["count", "--json"]));
    let [object] = &run.stdout[..] else {
        panic!("one line: {run:#?}")
    };
    let json: ByState = serde_json::from_str(object).expect("an object of numbers");
    assert_eq!(json, expected);
    for (state, count) in &expected {
        assert!(*count > 0, "the zoo has no socket in {state}");
        let spelled = state.replace('_', "-").to_lowercase();
        let (run, _) = counted(&ns, || tool::command(&["count", &spelled]));
        assert_eq!(run.stdout, [count.to_string()], "{run:#?}");
    }
}

#[test]
fn one_integer_where_there_is_nothing() {
    let ns = Namespace::new();
    let (run, _) = counted(&ns, || tool::command(&["count", "TIME-WAIT"]));
    assert_eq!(run.stdout, ["0"]);
    let (run, expected) = counted(&ns, || tool::command(&["count"]));
    assert_eq!(table(&run), expected);
}

#[test]
fn another_namespace() {
    let (ns, _zoo) = with_zoo();
    let inode = ns.inode().to_string();
    let run = tool::run(tool::command(&["count", "--netns", &inode]));
    run.assert_status(0);
    assert_eq!(table(&run), ns.run(sockets::by_state));

    let name = format!("tcpstate-e2e-{}", std::process::id());
    let named = Namespace::named(&name);
    let _zoo = named.run(Zoo::new);
    named.run(Zoo::settle);
    let run = tool::run(tool::command(&["count", "-N", &name]));
    run.assert_status(0);
    assert_eq!(table(&run), named.run(sockets::by_state));
}

#[test]
fn an_ordinary_user_sees_the_same() {
    let (ns, _zoo) = with_zoo();
    let copy = PublicCopy::new();
    let as_nobody = |args: &[&str]| copy.command_for_nobody(args);
    let (run, expected) = counted(&ns, || as_nobody(&["count"]));
    assert_eq!(table(&run), expected);
    let (run, expected) = counted(&ns, || as_nobody(&["count", "TIME-WAIT"]));
    assert_eq!(run.stdout, [expected["TIME_WAIT"].to_string()]);
}
