//! `tcpstate report`: command line.
use std::{
    env,
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use super::{event::StateList, source::SourceArgs, usage};
use crate::{
    doctor::collect,
    sink::{NewFile, printable},
    view::report::{Advice, Report, Settings},
};

const EXAMPLES: &str = "\
Examples:
  tcpstate report -d 30s -o tcp.html             measure for 30 seconds
  tcpstate report -o tcp.html                    until Ctrl-C
  tcpstate report -d 5m -L 443 > tcp.html        of local port 443
  tcpstate report -d 60 --json | jq .states.TIME_WAIT
  tcpstate report --from docs/demo.arrows -o demo.html
                                                 of a recording (tcpstate record); needs no root";

/// One HTML page of a whole measurement: state diagram with counts and dwell times, rates, owners, slowest connections
///
/// The page has everything in it: no script, nothing from the network. It opens in any browser, light or dark, and prints.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub struct Args {
    /// Write to this file, once it is whole ('-', the default: standard output)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The same numbers as one JSON object
    #[arg(short = 'J', long)]
    json: bool,
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
        let path = self
            .output
            .as_deref()
            .filter(|path| path.as_os_str() != "-");
        if path.is_none() && !self.json && io::stdout().is_terminal() {
            usage(
                "report",
                "standard output is a terminal, which shows no HTML; name a file: -o tcp.html",
            );
        }
        let mut source = self.source.open(verbose)?;
        source.settings.shown.either.clone_from(&self.states.states);
        let subject = self
            .source
            .netns_here()?
            .map(|netns| collect::Subject::begin(netns).map(Advice::about))
            .transpose()?;
        let settings = Settings {
            advice: subject,
            command: command_line(),
            file: path.map(NewFile::create).transpose()?,
            json: self.json,
            duration: source.settings.duration,
            progress: source.is_live() && !source.settings.quiet,
        };
        let mut report = Report::new(settings, source.clock());
        source.show(&mut report)?;
        report.written()
    }
}

/// The command line, as one line that drives no terminal.
fn command_line() -> String {
    let words = env::args_os().skip(1);
    let words = words.map(|word| printable(word.as_encoded_bytes()));
    let words: Vec<String> = ["tcpstate".to_owned()].into_iter().chain(words).collect();
    words.join(" ")
}
