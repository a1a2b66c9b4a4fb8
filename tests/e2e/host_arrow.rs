//! Recordings in other people's hands: pyarrow, and DuckDB through it, compute what `hist` shows.
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tcpstate_tests::{
    Namespace, Tool, sockets, tool,
    traffic::{self, V4},
};

/// What reads the recording, of these versions or later.
const PACKAGES: [&str; 3] = ["pyarrow>=20", "duckdb>=1.2", "numpy"];

/// A Python with [`PACKAGES`], in a virtual environment below the target directory, made when it is first needed.
fn python() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let python = folder.join("bin/python");
    let complete = folder.join("complete");
    if !complete.exists() {
        let mut venv = Command::new("python3");
        succeed(
            venv.args(["-m", "venv", "--clear"]).arg(&folder),
            "apt-get install python3-venv",
        );
        let mut pip = Command::new(&python);
        let install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ];
        succeed(
            pip.args(install).args(PACKAGES),
            "pip needs a package index",
        );
        std::fs::write(complete, "").expect("marking the environment as complete");
    }
    python
}

/// Runs a command, which must succeed; `remedy` says what it needs.
fn succeed(command: &mut Command, remedy: &str) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; {remedy}"));
    assert!(
        output.status.success(),
        "{command:?} failed ({remedy}): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

#[test]
fn pyarrow_and_duckdb_compute_the_quantiles_of_hist() {
    let python = python();
    let ns = Namespace::new();
    let inode = ns.inode().to_string();
    let file = std::env::temp_dir().join(format!("tcpstate-arrow-{}.arrows", std::process::id()));
    let file = file.to_str().expect("a plain path");
    let listener = ns.run(|| traffic::listen(V4));
    let recorder = Tool::start(&["record", file, "-N", &inode]);
    for number in 0..2000 {
        let pair = ns.run(|| traffic::connect(&listener));
        match number % 3 {
            0 => pair.close_client_first(),
            1 => pair.close_server_first(),
            _ => pair.reset_by_client(),
        }
    }
    ns.run(sockets::await_end);
    recorder.stop().assert_summary();
    let hist = tool::run(tool::command(&["hist", "--json", "--from", file]));
    hist.assert_status(0);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/quantiles.py");
    let read = succeed(
        Command::new(python).args([script, file]),
        "it reads the recording",
    );
    std::fs::remove_file(file).expect("removing the recording");

    let hist: Value = serde_json::from_str(&hist.stdout[0]).expect("JSON");
    let read: Value = serde_json::from_slice(&read.stdout).expect("JSON");
    assert_eq!(read["schema"], "1");
    assert_eq!(read["time"], "timestamp[ns, tz=UTC]");
    assert_eq!(read["sockets"], 1, "the listener: {read}");
    let states = hist["states"].as_object().expect("states");
    let mut compared = 0;
    for reader in ["pyarrow", "duckdb"] {
        for (state, shown) in states {
            let theirs = &read[reader][state];
            if shown["count"] == 0 {
                assert!(theirs.is_null(), "{reader} {state}: {theirs}");
                continue;
            }
            assert_eq!(theirs[0], shown["count"], "{reader} {state}");
            for (place, quantile) in [(1, "p50"), (2, "p99")] {
                let [theirs, ours] = [&theirs[place], &shown[quantile]]
                    .map(|value| value.as_f64().expect("a number"));
                // Three significant digits, as the highest value of its bucket.
                let near = ours >= theirs && ours <= theirs * 1.001 + 1.0;
                assert!(
                    near,
                    "{reader} {state} {quantile}: {theirs}, hist shows {ours}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared >= 24, "{hist}");
}
