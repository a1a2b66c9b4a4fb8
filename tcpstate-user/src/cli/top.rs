//! `tcpstate top`: command line.
use std::{
    env,
    io::{self, IsTerminal as _},
    time::Duration,
};

use anyhow::ensure;

use super::{event::StateList, source::SourceArgs, value};
use crate::view::top::{Settings, Top};

const EXAMPLES: &str = "\
Examples:
  tcpstate top                      everything; ? explains keys and columns, q ends it
  tcpstate top -i 5                 refreshed every 5 seconds
  tcpstate top --state close_wait   of CLOSE_WAIT only
  tcpstate top -L 443,8000-8010     of the connections on these local ports
  tcpstate top --from docs/demo.arrows --speed 1
                                    a recording, as it was";

/// States, rates, dwell times and the oldest sockets, live in the terminal
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub struct Args {
    /// Refresh this often
    #[arg(short, long, value_name = "DURATION", value_parser = value::duration, default_value = "1s")]
    interval: Duration,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    states: StateList,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// What kept it from running, in one line that says what to do.
    pub fn run(&self, verbose: u8) -> anyhow::Result<()> {
        ensure!(
            io::stdin().is_terminal() && io::stdout().is_terminal(),
            "top: standard input and output must be a terminal; \
             for pipes and files use 'tcpstate count --live' or 'tcpstate hist'"
        );
        let settings = Settings {
            every: self.interval,
            states: self.states.states.clone(),
            // As https://no-color.org says.
            colours: env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        let source = self.source.open(verbose)?;
        let mut top = Top::new(settings, source.clock());
        source.show(&mut top)?;
        top.result()
    }
}
