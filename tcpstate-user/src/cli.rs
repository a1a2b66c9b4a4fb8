//! What was typed: the command line of every command, read by clap. What it means is settled in each command's file.
pub mod count;
pub mod doctor;
pub mod event;
pub mod hist;
pub mod trace;
mod value;

use clap::{Parser, Subcommand};

/// TCP state transitions, live counts and dwell times, as they really are
#[derive(Debug, Parser)]
#[command(name = "tcpstate", version, about, arg_required_else_help = true)]
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
    /// How long sockets stay in each state
    Hist(hist::Args),
    /// Sockets by state, right now
    Count(count::Args),
    /// Can this host run it, and how well
    Doctor(doctor::Args),
}
