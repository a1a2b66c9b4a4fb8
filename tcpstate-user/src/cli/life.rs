//! `tcpstate life`: command line.
use super::{
    event::StateList,
    format::{FormatArgs, Kind},
    source::{Source, SourceArgs},
};
use crate::view::life::{Format, LifeView, Settings, csv::Csv, json::Json, text::Text};

const EXAMPLES: &str = "\
Examples:
  tcpstate life                     every connection, when it has ended
  tcpstate life -T -L 80,443        of these local ports, with the time of day at which they opened
  tcpstate life -w                  with the time spent in each state, in columns wide enough for IPv6
  tcpstate life --state close_wait  those that ever were in CLOSE_WAIT
  tcpstate life -J --open -d 30s    30 seconds of JSON lines, then what is still open
  tcpstate life --from docs/demo.arrows    of a recording (tcpstate record); needs no root";

/// A line for every connection that has ended: who, how long, who closed first, how it ended
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    states: StateList,
    #[command(flatten)]
    format: FormatArgs,
    /// Begin each text line with the time of day at which the connection opened
    #[arg(short = 'T', long)]
    time: bool,
    /// Columns wide enough for IPv6, with network namespace, container and the time spent in each state
    #[arg(short, long)]
    wide: bool,
    /// At the end, show the connections that are still open too
    #[arg(long)]
    open: bool,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// What kept it from running, in one line that says what to do.
    pub fn run(&self, verbose: u8) -> anyhow::Result<()> {
        let mut source = self.source.open(verbose)?;
        // A life needs every transition of its connection, so the view does the choosing.
        let mut shown = std::mem::take(&mut source.settings.shown);
        shown.either.clone_from(&self.states.states);
        let settings = Settings {
            shown,
            open: self.open,
        };
        let mut view = LifeView::new(self.format(&source), settings);
        source.show(&mut view)
    }

    fn format(&self, source: &Source) -> Box<dyn Format> {
        let clock = || source.clock();
        match self.format.kind() {
            Kind::Text => Box::new(Text::new(self.time.then(clock), self.wide)),
            Kind::Csv => Box::new(Csv::new(clock())),
            Kind::Json => Box::new(Json::new(clock())),
        }
    }
}
