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
pub(crate) mod value;

use std::{ffi::OsString, path::Path};

use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};

use crate::{
    sink::{hdr::HdrLog, printable},
    version,
};

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

impl Cli {
    /// Reads the words of a command line. What is wrong with them is said without letting them drive the terminal.
    ///
    /// # Errors
    /// They are no command line of ours, or ask for help.
    pub fn read(words: Vec<OsString>) -> Result<Self, clap::Error> {
        let harmless: Vec<String> = words
            .iter()
            .map(|word| printable(word.as_encoded_bytes()))
            .collect();
        let error = match Self::try_parse_from(words) {
            Err(error) if error.use_stderr() => error,
            result => return result,
        };
        match Self::try_parse_from(harmless) {
            Err(error) => Err(error),
            // Only what makes the word harmful is wrong with it.
            Ok(_) => {
                let text = error.to_string();
                let first = text.lines().next().unwrap_or_default();
                let why = printable(first.trim_start_matches("error: ").as_bytes());
                Err(Self::command().error(error.kind(), why))
            }
        }
    }
}

/// Ends the program for bad usage of `command`, as clap does.
fn usage(command: &str, why: &str) -> ! {
    let why = printable(why.as_bytes());
    let mut all = Cli::command();
    all.build(); // or the usage that is shown lacks the name of the program
    let error = match all.find_subcommand_mut(command) {
        Some(command) => command.error(ErrorKind::ValueValidation, why),
        None => all.error(ErrorKind::ValueValidation, why),
    };
    error.exit()
}

/// The log of histograms that was asked for. It is not the recording that the command reads or writes.
fn hdr_log(
    command: &str,
    path: Option<&Path>,
    recording: Option<&Path>,
) -> anyhow::Result<Option<HdrLog>> {
    let log = path.map(HdrLog::create).transpose()?;
    let is_recording = |log: &HdrLog| recording.is_some_and(|recording| log.is_at(recording));
    if log.as_ref().is_some_and(is_recording) {
        usage(command, "--hdr names the recording itself");
    }
    Ok(log)
}
