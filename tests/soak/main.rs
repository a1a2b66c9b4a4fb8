//! A soak: `serve` and `trace -J` follow a namespace in which connections of every kind come and go, minute after minute.
//! Memory has to stay flat, drift and loss 0, and at the end every number has to be the kernel's.
//!
//! `cargo xtask soak` builds this with the tool and starts it as root, on the host or, with `--kernel`, in a virtual machine;
//! docs/reliability.md has the figures.
mod churn;
mod lines;
mod verdict;
mod watched;

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    utsname::uname,
};
use tcpstate_tests::Namespace;

use self::{churn::Churn, verdict::Verdict, watched::Watched};

const MINUTE: Duration = Duration::from_secs(60);
/// Between two scrapes. `serve` compares its counts with the kernel's a little less often: no drift passes unseen.
const LOOK_EVERY: Duration = Duration::from_secs(4);

const EXAMPLES: &str = "\
Examples:
  cargo xtask soak --minutes 30
  cargo xtask soak --minutes 5 --connections 2000
  cargo xtask soak --kernel newest-6 --minutes 30 --connections 100   (in a virtual machine; --kernel comes first)";

/// Connections of every kind that come and go while serve and trace -J run: memory flat, drift 0, loss 0
///
/// They live in a network namespace of their own, which is all that both tools follow. Every minute has a line; the
/// exit status is the verdict.
#[derive(Parser)]
#[command(bin_name = "cargo xtask soak", after_help = EXAMPLES)]
struct Args {
    /// How long
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(i64::from(verdict::STEADY) + 1..))]
    minutes: u32,
    /// Connections a second
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(50..=20_000))]
    connections: u32,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    tcpstate_tests::privilege::demand();
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    println!(
        "Linux {}, {} CPUs, {} connections/s for {} minutes",
        uname()?.release().display(),
        thread::available_parallelism()?,
        args.connections,
        args.minutes
    );

    let ns = Namespace::new();
    // Before any traffic, so that both see all of it.
    let watched = Watched::start(&ns)?;
    let churn = Churn::new(args.connections);
    let mut verdict = Verdict::default();
    thread::scope(|scope| {
        // However this ends, or the scope would wait for ever.
        let stop = churn.stop_with();
        let load = churn.start(scope, &ns);
        println!("{}", verdict::HEADER);
        let began = Instant::now();
        'minutes: for minute in 1..=args.minutes {
            let end = began + MINUTE * minute;
            loop {
                let left = end.saturating_duration_since(Instant::now());
                thread::sleep(left.min(LOOK_EVERY));
                let look = watched.look();
                verdict.look(&look);
                if load.iter().any(thread::ScopedJoinHandle::is_finished) {
                    break 'minutes; // it failed, as joining it tells
                }
                if left <= LOOK_EVERY {
                    println!("{}", verdict.minute(minute, churn.made(), &look));
                    break;
                }
            }
        }
        drop(stop);
        for thread in load {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    println!("{}", churn.kinds());
    watched.end(&ns, &mut verdict)?;
    print!("{verdict}");
    Ok(if verdict.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
