//! `tcpstate hist`: command line.
use std::{path::PathBuf, time::Duration};

use super::{event::StateList, hdr_log, source::SourceArgs, usage, value};
use crate::{
    source::kernel::Owners,
    tcp::TcpState,
    view::hist::{By, Hist, Settings, Unit},
};

const EXAMPLES: &str = "\
Examples:
  tcpstate hist                     until Ctrl-C, then dwell times of every state
  tcpstate hist 10 6                every 10 seconds, 6 times
  tcpstate hist --state time_wait   of TIME_WAIT only
  tcpstate hist -m -L 443 -d 5m     of local port 443 in 5 minutes, bars in milliseconds
  tcpstate hist --by remote --state time_wait -d 1m
                                    of TIME_WAIT, for each remote address
  tcpstate hist --json -d 60        one JSON object with HdrHistograms
  tcpstate hist --from docs/demo.arrows    of a recording (tcpstate record); needs no root";

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
    source: SourceArgs,
    #[command(flatten)]
    states: StateList,
    /// Bars in milliseconds instead of microseconds
    #[arg(short, long)]
    milliseconds: bool,
    /// One JSON object an interval, with each histogram in HdrHistogram V2 (compressed, base64)
    #[arg(short = 'J', long)]
    json: bool,
    /// What to tell apart besides the state
    #[arg(long, value_enum, default_value_t = By::State)]
    by: By,
    /// With --by: tell so many keys apart, and count the rest together
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    keys: u32,
    /// Write each interval into a HistogramLog, too, one tag a state
    #[arg(long, value_name = "FILE", value_parser = value::log_file)]
    hdr: Option<PathBuf>,
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
            by: self.by,
            keys: self.keys as usize,
        };
        if self.states.states.contains(&TcpState::Close) {
            usage(
                "hist",
                "CLOSE is the absence of a socket: nothing stays in it",
            );
        }
        let hdr = hdr_log("hist", self.hdr.as_deref(), self.source.recording())?;
        let owners = match self.by {
            By::Pid | By::Comm | By::Cgroup => Owners::Events,
            _ => Owners::Walks,
        };
        let source = self.source.open_with(owners, verbose)?;
        let mut view = Hist::new(settings, source.clock(), hdr);
        source.show(&mut view)?;
        view.result()
    }
}
