//! What was typed: the command line of every command, read by clap. What it means is settled in each command's file.
pub mod count;
pub mod doctor;
pub mod event;
pub mod format;
pub mod hist;
pub mod life;
pub mod record;
pub mod report;
pub mod serve;
pub mod source;
pub mod top;
pub mod trace;
mod value;

use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};

use crate::version;

/// TCP state transitions, live counts and dwell times, as they really are
#[derive(Debug, Parser)]
#[command(name = "tcpstate", version = version::version(), about, arg_required_else_help = true)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// Messages of the programs and the loader on stderr (-vv: more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A line for every transition, as it happens
    Trace(trace::Args),
    /// A line for every connection that has ended
    Life(life::Args),
    /// States, rates, dwell times and the oldest sockets, live in the terminal
    Top(top::Args),
    /// How long sockets stay in each state
    Hist(hist::Args),
    /// Transitions into a file, for '--from' and for other people's tools
    Record(record::Args),
    /// One HTML page of a whole measurement
    Report(report::Args),
    /// Sockets by state, right now
    Count(count::Args),
    /// Serve the numbers to Prometheus
    Serve(serve::Args),
    /// What is wrong with TCP here, what to do about it, and what this host can measure
    Doctor(doctor::Args),
}

/// Ends the program for bad usage, as clap does.
fn usage(why: &str) -> ! {
    Cli::command().error(ErrorKind::ValueValidation, why).exit()
}
