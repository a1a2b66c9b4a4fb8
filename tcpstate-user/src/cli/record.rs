//! `tcpstate record`: command line.
use std::{
    io::{IsTerminal as _, stdout},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{event::EventArgs, hdr_log, usage, value};
use crate::{
    recording::{Rotation, Target, Writer},
    session,
    shown::Shown,
    view::record::Record,
};

const EXAMPLES: &str = "\
Examples:
  tcpstate record today.arrows                 until Ctrl-C; then: tcpstate hist --from today.arrows
  tcpstate record -d 1h -L 443 https.arrows    one hour of local port 443
  tcpstate record - | ssh me@desk tcpstate trace --from -
  tcpstate record /var/log/tcp.arrows --rotate-size 100M --keep 10
                                               /var/log/tcp-20261121T074500Z.arrows and so on, 1 GB in all
  tcpstate record today.arrows --hdr today.hlog
                                               dwell times as a HistogramLog, too";

/// Transitions into a file in the Arrow IPC stream format
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub struct Args {
    /// File to write, overwritten if it exists; '-' is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    event: EventArgs,
    /// Begin a new file after so many bytes: 100M, 1G
    #[arg(long, value_name = "BYTES", value_parser = value::bytes, help_heading = "Rotation")]
    rotate_size: Option<u32>,
    /// Begin a new file this often: 1h, 1d
    #[arg(long, value_name = "DURATION", value_parser = value::duration, help_heading = "Rotation")]
    rotate_every: Option<Duration>,
    /// Keep so many files, those of earlier runs included; the oldest is removed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Rotation")]
    keep: Option<u32>,
    /// Write dwell times as a HistogramLog, too, one tag a state
    #[arg(long, value_name = "FILE", value_parser = value::log_file)]
    hdr: Option<PathBuf>,
    /// Record kernel addresses of sockets; they help an attacker, so do not share such a file
    #[arg(long)]
    kernel_addresses: bool,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// What kept it from running, in one line that says what to do.
    pub fn run(&self, verbose: u8) -> anyhow::Result<()> {
        let settings = self.event.settings(verbose)?;
        if settings.shown != Shown::default() {
            usage(
                "record",
                "a recording has every transition of its connections; choose states when you read it with --from",
            );
        }
        let rotation = Rotation {
            size: self.rotate_size.map(u64::from),
            every: self.rotate_every,
            keep: self.keep.map(|keep| keep as usize),
        };
        let rotates = rotation.size.is_some() || rotation.every.is_some();
        if rotation.keep.is_some() && !rotates {
            usage("record", "--keep needs --rotate-size or --rotate-every");
        }
        let target = if self.file == Path::new("-") {
            if rotates {
                usage("record", "standard output cannot be rotated; name a file");
            }
            if settings.summary {
                usage(
                    "record",
                    "--summary would stand in the middle of the recording; record into a file",
                );
            }
            if stdout().is_terminal() {
                usage(
                    "record",
                    "a recording is not for a terminal; redirect it, or name a file",
                );
            }
            Target::Stdout
        } else {
            Target::File(self.file.clone())
        };
        let hdr = hdr_log("record", self.hdr.as_deref(), Some(&self.file))?;
        let writer = Writer::create(target, rotation, self.kernel_addresses)?;
        let mut view = Record::new(writer, rotation, hdr);
        session::run(&settings, &mut view)?;
        view.result()
    }
}
