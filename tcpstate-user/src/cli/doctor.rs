//! `tcpstate doctor`: command line.
use std::io::Write as _;

use anyhow::Context as _;

use crate::{
    source::kernel::{self, KernelSource},
    view::doctor,
};

const EXAMPLES: &str = "\
Examples:
  tcpstate doctor                   what this host can measure, probe by probe
  tcpstate doctor --json            the same as one JSON object";

/// Can this host run it, and how well
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub struct Args {
    /// One JSON object
    #[arg(short = 'J', long)]
    json: bool,
}

impl Args {
    /// Attaches every probe, says how that went, and takes them off again.
    ///
    /// # Errors
    /// Not even full sockets can be followed; says what to do.
    pub fn run(&self, verbose: u8) -> anyhow::Result<()> {
        let config = kernel::Config {
            ring_bytes: 1,
            minis: true,
            verbose: verbose > 0,
            bpf_stats: false,
        };
        // The rings are watched through the runtime, which therefore exists before they do.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the runtime")?;
        let _entered = runtime.enter();
        let source = KernelSource::start(config)?;
        let mut out = Vec::new();
        if self.json {
            doctor::json(&mut out, source.plan());
        } else {
            doctor::text(&mut out, source.plan());
        }
        drop(source);
        std::io::stdout()
            .write_all(&out)
            .context("writing to standard output")
    }
}
