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
//! | `beside TEST` | the test begins, and others run at the same time |
//! | `says TEST LINE` | it has printed this; told only if it fails |
//! | `ok TEST MS`, `failed TEST MS WHY` | its verdict |
//! | `broken WHY` | the machine cannot be made ready: nothing was run |
//! | `done status=S tests=N` | the end; S is 0 if N is more than none and all have passed |
//!
//! The kernel calls it with what follows `--` on its command line: the seconds that a test may take, and a filter.
mod kmsg;
mod machine;
mod run;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::reboot::{RebootMode, reboot};

/// One line for the host.
fn say(words: &str) {
    println!("tcpstate-vm: {words}");
}

fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("init: this is the init of the test machine; use `cargo xtask vm`");
        return ExitCode::from(2);
    }
    match tests() {
        Ok(tally) => {
            let status = u8::from(tally.failed > 0 || tally.run == 0);
            say(&format!("done status={status} tests={}", tally.run));
        }
        Err(error) => say(&format!("broken {error:#}")),
    }
    let Err(error) = reboot(RebootMode::RB_POWER_OFF);
    // An init that returns is a kernel panic, so the host sees it.
    eprintln!("init: cannot power off: {error}");
    ExitCode::FAILURE
}

fn tests() -> anyhow::Result<run::Tally> {
    let mut args = std::env::args().skip(1);
    let seconds = args
        .next()
        .context("the kernel's command line gives no time limit")?;
    let limit = Duration::from_secs(seconds.parse().context("the time limit is no number")?);
    let filter = args.next().unwrap_or_default();

    machine::mount_all()?;
    say(&format!("hello {}", machine::release()?));
    machine::quiet_console()?;
    machine::load_modules()?;
    machine::loopback_up()?;
    run::all(&filter, limit)
}
