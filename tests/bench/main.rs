//! What the tool costs: a load of real connections on loopback, untraced and traced in turn on the same machine.
//!
//! `cargo xtask bench` builds this with the tool and starts it as root; docs/performance.md says what its tables mean.
mod command;
mod counting;
mod load;
mod machine;
mod programs;
mod rounds;
mod scene;
mod subject;
mod table;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};

use self::{
    command::Command,
    load::{Close, Load},
    machine::Machine,
    rounds::Row,
    scene::Scene,
    subject::Kind,
};

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench                                      every command, both ways to close (about 25 minutes)
  cargo xtask bench record --pairs 1 --close rst         a look at one command (about 6 seconds)
  cargo xtask bench --pairs 1 --seconds 30               what is lost in half a minute
  cargo xtask bench hist --peer 'tcpstates-bpfcc'        another tool beside it";

/// What tcpstate costs, measured: connections/s kept, ns per transition, memory, loss
///
/// Each round is three runs of the same load, each in a network namespace of its own: without the tool, with it, and
/// with it while the kernel measures the run time of BPF programs (which itself costs).
#[derive(Parser)]
#[command(bin_name = "cargo xtask bench", after_help = EXAMPLES)]
struct Args {
    /// Commands to measure under load [default: all, unless a scene is chosen]
    #[arg(value_name = "COMMAND", value_enum)]
    commands: Vec<Command>,
    /// Other measurements to make [default: all, unless a command is chosen]
    #[arg(long, value_enum, value_delimiter = ',')]
    scene: Vec<Scene>,
    /// Rounds of each; figures are medians
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// How long each load runs
    #[arg(long, value_name = "S", default_value = "1")]
    seconds: f64,
    /// Threads that make connections
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    threads: u8,
    /// How connections end: by a reset, or by FINs, which leaves one end in TIME_WAIT [default: both]
    #[arg(long, value_enum)]
    close: Option<Close>,
    /// Addresses that each thread connects to in turn
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=50_000))]
    addresses: u16,
    /// Connections that a load with FINs makes at most: every one leaves a TIME_WAIT
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    max_fin: u64,
    /// Another tool to measure in the same way, as a shell takes it (may be repeated); its output goes to a file
    #[arg(long, value_name = "CMD")]
    peer: Vec<String>,
    /// Write every figure of every run, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    if let Some(load) = Load::of_this_process()? {
        return load.run();
    }
    let args = Args::parse();
    ensure!(
        args.seconds > 0.0 && args.seconds <= 3600.0,
        "--seconds: {} is not between 0 and 3600",
        args.seconds
    );
    tcpstate_tests::privilege::demand();
    let machine = Machine::here()?;
    println!("{machine}");
    if !args.commands.is_empty() || args.scene.is_empty() {
        commands(&args, &machine)?;
    }
    if !args.scene.is_empty() || args.commands.is_empty() {
        let scenes = some_or_all(&args.scene);
        for scene in scenes {
            println!("{}", scene.play().with_context(|| format!("{scene:?}"))?);
        }
    }
    Ok(())
}

/// Those that were chosen, or all if none was.
fn some_or_all<T: Clone + ValueEnum>(chosen: &[T]) -> &[T] {
    if chosen.is_empty() {
        T::value_variants()
    } else {
        chosen
    }
}

/// Measures commands under load.
fn commands(args: &Args, machine: &Machine) -> anyhow::Result<()> {
    let closes = args
        .close
        .map_or(vec![Close::Rst, Close::Fin], |close| vec![close]);
    let peers = args.peer.iter().cloned().chain(subject::bpftrace());
    let kinds: Vec<Kind> = some_or_all(&args.commands)
        .iter()
        .map(|command| Kind::Tool(*command))
        .chain(peers.map(Kind::Peer))
        .collect();
    let mut rows: Vec<Row> = Vec::new();
    for kind in &kinds {
        for close in &closes {
            let load = Load {
                threads: args.threads,
                duration: Duration::from_secs_f64(args.seconds),
                close: *close,
                addresses: args.addresses,
                most: match close {
                    Close::Rst => u64::MAX,
                    Close::Fin => args.max_fin,
                },
            };
            match rounds::measure(kind, &load, args.pairs) {
                Ok(row) => {
                    println!("{}", table::line_of(&row));
                    rows.push(row);
                }
                // What was measured stays, where another tool does not work here.
                Err(error) if matches!(kind, Kind::Peer(_)) => eprintln!("not measured: {error:#}"),
                Err(error) => return Err(error),
            }
        }
    }
    print!("{}", table::of(&rows));
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&table::Report {
            machine,
            rows: &rows,
        })?;
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
