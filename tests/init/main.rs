//! PID 1 of the test machine: makes a small Linux of it, runs every test, reports on the console, and powers off.
//!
//! The host, `cargo xtask vm`, reads the console. What is meant for it begins with `tcpstate-vm: `, and goes on with
//!
//! | words | meaning |
//! |---|---|
//! | `hello RELEASE` | this kernel has come as far as its init |
//! | `plan TEST` | the test will be run |
//! | `ignored TEST` | the test is marked as ignored, and will not be run |
//! | `run TEST` | the test begins, and prints on the console what it prints |
//! | `ok TEST MS`, `failed TEST MS WHY` | its verdict |
//! | `broken WHY` | the machine cannot be made ready: nothing was run |
//! | `done status=S tests=N` | the end; S is 0 if N is more than none and all have passed |
//!
//! The kernel calls it with what follows `--` on its command line: the seconds that a test may take, and a filter. With
//! `soak` and the soak's own options instead it runs that as its only test, for as long as it takes. With `switch` it goes
//! over to the system on the disk, whose init is systemd; a unit there calls it again, as `runner` with the words for the
//! tests, when everything is ready for them.
mod kmsg;
mod machine;
mod run;
mod switch;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::reboot::{RebootMode, reboot};

/// One line for the host.
fn say(words: &str) {
    println!("tcpstate-vm: {words}");
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match (std::process::id(), &words[..]) {
        (1, ["switch", ..]) => match ready_machine().and_then(|()| switch::to_disk()) {
            Ok(never) => match never {},
            Err(error) => say(&format!("broken {error:#}")),
        },
        (1, ["soak", options @ ..]) => report(ready_machine().and_then(|()| soak(options))),
        (1, words) => report(ready_machine().and_then(|()| tests(words))),
        // Whoever called it powers the machine off.
        (_, ["runner", words @ ..]) => {
            report(machine::quiet_console().and_then(|()| tests(words)));
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("init: this is the init of the test machine; use `cargo xtask vm`");
            return ExitCode::from(2);
        }
    }
    let Err(error) = reboot(RebootMode::RB_POWER_OFF);
    // An init that returns is a kernel panic, so the host sees it.
    eprintln!("init: cannot power off: {error}");
    ExitCode::FAILURE
}

/// The last word for the host.
fn report(tally: anyhow::Result<run::Tally>) {
    match tally {
        Ok(tally) => {
            let status = u8::from(tally.failed > 0 || tally.run == 0);
            say(&format!("done status={status} tests={}", tally.run));
        }
        Err(error) => say(&format!("broken {error:#}")),
    }
}

/// Makes a small Linux of a bare kernel.
fn ready_machine() -> anyhow::Result<()> {
    machine::mount_all()?;
    machine::quiet_console()?;
    machine::load_modules()?;
    machine::loopback_up()
}

fn tests(words: &[&str]) -> anyhow::Result<run::Tally> {
    let seconds = words
        .first()
        .context("the command line gives no time limit")?;
    let limit = Duration::from_secs(seconds.parse().context("the time limit is no number")?);
    let filter = words.get(1).copied().unwrap_or_default();
    hello()?;
    run::all(filter, limit)
}

fn soak(options: &[&str]) -> anyhow::Result<run::Tally> {
    hello()?;
    run::soak(options)
}

/// The first word for the host.
fn hello() -> anyhow::Result<()> {
    say(&format!("hello {}", machine::release()?));
    Ok(())
}
