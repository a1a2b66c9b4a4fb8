//! `tcpstate hist`: command line.
use std::time::Duration;

use jiff::tz::TimeZone;

use super::{
    event::{EventArgs, StateList},
    value,
};
use crate::{
    clock, session,
    sink::WallClock,
    view::hist::{Hist, Settings, Unit},
};

const EXAMPLES: &str = "\
Examples:
  tcpstate hist                     until Ctrl-C, then dwell times of every state
  tcpstate hist 10 6                every 10 seconds, 6 times
  tcpstate hist --state time_wait   of TIME_WAIT only
  tcpstate hist -m -L 443 -d 5m     of local port 443 in 5 minutes, bars in milliseconds
  tcpstate hist --json -d 60        one JSON object with HdrHistograms";

/// How long sockets stay in each state
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub struct Args {
    /// Print (and start anew) every so often: 10 (seconds), 1m; without it, once at the end
    #[arg(value_name = "INTERVAL", value_parser = value::duration)]
    interval: Option<Duration>,
    /// End after so many intervals
    #[arg(value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    event: EventArgs,
    #[command(flatten)]
    states: StateList,
    /// Bars in milliseconds instead of microseconds
    #[arg(short, long)]
    milliseconds: bool,
    /// One JSON object an interval, with each histogram in HdrHistogram V2 (compressed, base64)
    #[arg(short = 'J', long)]
    json: bool,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// What kept it from running, in one line that says what to do.
    pub fn run(&self, verbose: u8) -> anyhow::Result<()> {
        let settings = Settings {
            interval: self.interval,
            count: self.count,
            states: self.states.states.clone(),
            unit: if self.milliseconds {
                Unit::Msecs
            } else {
                Unit::Usecs
            },
            json: self.json,
        };
        let clock = WallClock::new(clock::wall_offset_ns(), TimeZone::system());
        session::run(
            &self.event.settings(verbose),
            &mut Hist::new(settings, clock),
        )
    }
}
