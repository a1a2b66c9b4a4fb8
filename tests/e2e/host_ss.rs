//! What needs programs of a host: `count` against `ss`, and `bpftool` after the tool's end.
use std::{collections::BTreeSet, process::Command};

use serde_json::Value;
use tcpstate_tests::{
    Namespace, Tool,
    bpf::{self, Objects},
    poll_until,
    sockets::{self, ByState},
    tool,
    zoo::Zoo,
};

/// Standard output of a program of the host.
fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| {
            panic!("{program}: {error}; `cargo xtask setup` installs what the tests need")
        });
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Sockets by state as `ss -tan` lists them, under the tool's names.
fn ss() -> ByState {
    let mut counts = sockets::none();
    for line in output("ss", &["-tan"]).lines().skip(1) {
        let word = line.split_whitespace().next().expect("a state");
        let name = match word {
            "ESTAB" => "ESTABLISHED".to_owned(),
            "FIN-WAIT-1" => "FIN_WAIT1".to_owned(),
            "FIN-WAIT-2" => "FIN_WAIT2".to_owned(),
            other => other.replace('-', "_"),
        };
        *counts
            .get_mut(&name)
            .unwrap_or_else(|| panic!("{word}: {line}")) += 1;
    }
    counts
}

#[test]
fn count_agrees_with_ss() {
    let ns = Namespace::new();
    let _zoo = ns.run(Zoo::new);
    ns.run(Zoo::settle);
    let (listed, run) = ns.run(|| (ss(), tool::run(tool::command(&["count", "--json"]))));
    run.assert_status(0);
    let counted: ByState = serde_json::from_str(&run.stdout[0]).expect("an object of numbers");
    assert_eq!(counted, listed);
    assert!(listed.values().all(|count| *count > 0), "{listed:?}");
}

/// Ids that `bpftool KIND show` lists.
fn listed(kind: &str) -> BTreeSet<u32> {
    let list: Value = serde_json::from_str(&output("bpftool", &["--json", kind, "show"]))
        .expect("bpftool prints JSON");
    let ids = list.as_array().expect("a list").iter();
    ids.map(|object| {
        let id = object["id"].as_u64().expect("an id");
        u32::try_from(id).expect("ids have 32 bits")
    })
    .collect()
}

#[test]
fn bpftool_finds_nothing_of_it_afterwards() {
    let before = Objects::loaded();
    let tool = Tool::start(&["trace"]);
    let own = Objects::of_process(tool.pid());
    assert!(listed("prog").is_superset(&own.programs), "{own:?}");
    assert!(listed("map").is_superset(&own.maps), "{own:?}");
    tool.stop().assert_summary();
    poll_until("bpftool to list none of ours", || {
        let left = (&listed("prog") & &own.programs, &listed("map") & &own.maps);
        (left.0.is_empty() && left.1.is_empty())
            .then_some(())
            .ok_or(format!("{left:?}"))
    });
    bpf::assert_nothing_stays(&before);
}
