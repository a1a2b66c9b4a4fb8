//! A kernel that is locked down for confidentiality, which lets nobody read its memory: one clear line instead of numbers.
//! There is no way back, so in a machine of `cargo xtask vm --faults` this comes after everything else.
use std::fs;

use tcpstate_tests::{privilege, tool};

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

#[test]
fn confidentiality() {
    privilege::demand();
    fs::write(LOCKDOWN, "confidentiality")
        .unwrap_or_else(|error| panic!("locking the kernel down by {LOCKDOWN}: {error}"));
    for args in [
        &["trace"][..],
        &["hist"],
        &["serve", "--listen", "127.0.0.1:0"],
        &["count", "--live"],
    ] {
        let run = tool::run(tool::command(args));
        run.assert_status(1);
        let [line] = &run.stderr[..] else {
            panic!("one line: {run:#?}")
        };
        for word in [
            "tcpstate: ",
            "locked down",
            "confidentiality",
            "lockdown=integrity",
        ] {
            assert!(line.contains(word), "no {word}: {line}");
        }
    }
    // The kernel's tables are open to everybody all the same.
    tool::run(tool::command(&["count"])).assert_status(0);
}
