//! `tcpstate trace`: command line.
use super::{
    event::StateList,
    format::{FormatArgs, Kind},
    source::{Source, SourceArgs},
};
use crate::{
    sink::{
        Format, WallClock,
        csv::Csv,
        journal::Journal,
        json::Json,
        text::{Text, Times},
    },
    view::trace::Trace,
};

const EXAMPLES: &str = "\
Examples:
  tcpstate trace                    every transition, as it happens
  tcpstate trace -T -L 80,443       of these local ports, with the time of day
  tcpstate trace --state close_wait  into and out of CLOSE_WAIT
  tcpstate trace -J -d 30s          30 seconds of JSON lines
  tcpstate trace -6 -w              IPv6, in columns wide enough
  tcpstate trace -x                 with namespace, container, role and reason
  tcpstate trace -Y > /dev/null     into the systemd journal only
  tcpstate trace --from docs/demo.arrows   a recording (tcpstate record); needs no root";

/// A line for every transition, as it happens
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    states: StateList,
    #[command(flatten)]
    format: FormatArgs,
    /// Begin each text line with the time of day
    #[arg(short = 'T', long)]
    time: bool,
    /// Begin each text line with the seconds since the start
    #[arg(short, long)]
    timestamp: bool,
    /// Columns wide enough for IPv6
    #[arg(short, long)]
    wide: bool,
    /// More text columns: network namespace, container, role, and why it ended
    #[arg(short = 'x', long)]
    extended: bool,
    /// Log each transition to the systemd journal too, in structured fields
    #[arg(short = 'Y', long, conflicts_with = "from")]
    journal: bool,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// What kept it from running, in one line that says what to do.
    pub fn run(&self, verbose: u8) -> anyhow::Result<()> {
        let mut source = self.source.open(verbose)?;
        source.settings.shown.either.clone_from(&self.states.states);
        // One for both, so that a line and its entry show the same time.
        let clock = source.clock();
        let journal = self
            .journal
            .then(|| Journal::connect(clock.clone()))
            .transpose()?;
        let mut view = Trace::new(self.format(&source, clock), journal);
        source.show(&mut view)
    }

    fn format(&self, source: &Source, clock: WallClock) -> Box<dyn Format> {
        match self.format.kind() {
            Kind::Csv => Box::new(Csv::new(clock)),
            Kind::Json => Box::new(Json::new(clock)),
            Kind::Text => {
                let times = Times {
                    wall: self.time.then_some(clock),
                    since_ns: self.timestamp.then(|| source.start_ns()),
                };
                Box::new(Text::new(times, self.wide, self.extended))
            }
        }
    }
}
