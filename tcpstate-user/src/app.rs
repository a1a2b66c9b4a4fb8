//! Composition root: which parts make up each command.
use std::process::ExitCode;

use crate::{
    cli::{Cli, Command},
    privilege,
    sink::printable,
};

/// Runs the command line. Exit status: 0 done, 1 failed (one line on stderr), 2 bad usage.
pub fn main() -> ExitCode {
    if privilege::is_helper() {
        return privilege::help();
    }
    let words = std::env::args_os().collect();
    let cli = Cli::read(words).unwrap_or_else(|error| error.exit()); // with 2 on bad usage
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Names of files, hosts and namespaces are in it, which others may have chosen.
            eprintln!("tcpstate: {}", printable(format!("{error:#}").as_bytes()));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    show_messages(cli.verbose);
    match cli.command {
        Command::Trace(args) => args.run(cli.verbose),
        Command::Life(args) => args.run(cli.verbose),
        Command::Top(args) => args.run(cli.verbose),
        Command::Hist(args) => args.run(cli.verbose),
        Command::Record(args) => args.run(cli.verbose),
        Command::Report(args) => args.run(cli.verbose),
        Command::Count(args) => args.run(cli.verbose),
        Command::Serve(args) => args.run(cli.verbose),
        Command::Doctor(args) => args.run(cli.verbose),
    }
}

/// Messages of the loader, and with `-v` of the programs in the kernel, go to stderr; `-vv` adds those of the libraries.
fn show_messages(verbose: u8) {
    let (libraries, own) = match verbose {
        0 => (log::LevelFilter::Error, log::LevelFilter::Error),
        1 => (log::LevelFilter::Info, log::LevelFilter::Debug),
        _ => (log::LevelFilter::Trace, log::LevelFilter::Trace),
    };
    env_logger::Builder::new()
        .filter_level(libraries)
        .filter_module("tcpstate", own) // and tcpstate_ebpf
        .init();
}

/// A reader that went away (`| head`) has what it wanted.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
