//! `tcpstate trace`: command line.
use jiff::tz::TimeZone;

use super::event::{EventArgs, StateList};
use crate::{
    clock,
    session::{self, Settings},
    sink::{
        Format, WallClock,
        csv::Csv,
        json::Json,
        text::{Text, Times},
    },
    view::trace::Trace,
};

const EXAMPLES: &str = "\
Examples:
  tcpstate trace                    every transition, as it happens
  tcpstate trace -T -L 80,443       of these local ports, with the time of day
  tcpstate trace --state close_wait into and out of CLOSE_WAIT
  tcpstate trace -J -d 30s          30 seconds of JSON lines
  tcpstate trace -6 -w              IPv6, in columns wide enough";

/// A line for every transition, as it happens
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    event: EventArgs,
    #[command(flatten)]
    states: StateList,
    /// Format of the lines
    #[arg(long, value_enum, default_value_t = Kind::Text)]
    format: Kind,
    /// Comma-separated values with a header; the same as --format csv
    #[arg(short = 's', long, conflicts_with_all = ["json", "format"])]
    csv: bool,
    /// One JSON object a line; the same as --format json
    #[arg(short = 'J', long, conflicts_with = "format")]
    json: bool,
    /// Begin each text line with the time of day
    #[arg(short = 'T', long)]
    time: bool,
    /// Begin each text line with the seconds since the start
    #[arg(short, long)]
    timestamp: bool,
    /// Columns wide enough for IPv6
    #[arg(short, long)]
    wide: bool,
}

/// Formats of `trace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Columns, as bcc's tcpstates prints them
    Text,
    /// Comma-separated values
    Csv,
    /// JSON lines
    Json,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// What kept it from running, in one line that says what to do.
    pub fn run(&self, verbose: u8) -> anyhow::Result<()> {
        let settings: Settings = self.event.settings(verbose);
        session::run(
            &settings,
            &mut Trace::new(self.format(), self.states.states.clone()),
        )
    }

    fn format(&self) -> Box<dyn Format> {
        let clock = || WallClock::new(clock::wall_offset_ns(), TimeZone::system());
        match (self.format, self.csv, self.json) {
            (Kind::Csv, ..) | (_, true, _) => Box::new(Csv::new(clock())),
            (Kind::Json, ..) | (.., true) => Box::new(Json::new(clock())),
            (Kind::Text, ..) => {
                let times = Times {
                    wall: self.time.then(clock),
                    since_ns: self.timestamp.then(clock::monotonic_ns),
                };
                Box::new(Text::new(times, self.wide))
            }
        }
    }
}
