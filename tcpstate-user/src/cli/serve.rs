//! `tcpstate serve`: command line.
use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::{event::EventArgs, usage, value};
use crate::{
    netns, session,
    shown::Shown,
    source::kernel::Owners,
    tracker::Selection,
    view::metrics::{Buckets, Followed, Metrics, Server},
};

const EXAMPLES: &str = "\
Examples:
  tcpstate serve                                 http://127.0.0.1:9817/metrics, until Ctrl-C
  tcpstate serve --listen '[::]:9817'            on every address, IPv4 and IPv6
  tcpstate serve --buckets 1ms,10ms,0.1,1,60,61,64,7200
  tcpstate serve -L 443 --bpf-stats              local port 443 only, with the cost of each BPF program
  curl -s http://127.0.0.1:9817/metrics | grep '^tcpstate_sockets'";

/// Serve the measurement to Prometheus: live counts, transitions and dwell times at /metrics
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub struct Args {
    /// Address and port to listen at; encryption and passwords are a reverse proxy's (docs/monitoring.md)
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9817", value_parser = value::listen)]
    listen: SocketAddr,
    /// Upper bounds of the dwell histograms' buckets, ascending: 1ms,10ms,0.1,1,60,61,64,7200 (a bare number is seconds)
    #[arg(long, value_name = "LIST", default_value_t, value_parser = value::buckets)]
    buckets: Buckets,
    #[command(flatten)]
    event: EventArgs,
}

/// Scrapes that may wait to be looked at by the measurement; more wait before it.
const WISHES: usize = 16;

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// What kept it from running, in one line that says what to do.
    pub fn run(&self, verbose: u8) -> anyhow::Result<()> {
        let settings = self.event.settings_with(Owners::None, verbose)?;
        if settings.tracker.raw {
            usage(
                "serve",
                "serve counts effective transitions; --raw is for trace",
            );
        }
        if settings.shown != Shown::default() {
            usage(
                "serve",
                "serve counts every transition; --from-state, --to-state and --min-dwell are for trace",
            );
        }
        let netns = match self.event.netns() {
            Some(selector) => selector.find()?,
            None => netns::current().context("own network namespace")?,
        };
        let selection = &settings.tracker.selection;
        let whole_namespaces = Selection {
            netns: selection.netns.clone(),
            ..Selection::default()
        };
        // The kernel's counters know no other filter.
        let followed = (*selection == whole_namespaces).then(|| match self.event.netns() {
            Some(_) => Followed::In(netns.clone()),
            None => Followed::Everywhere,
        });
        let (wishes, asked) = mpsc::channel(WISHES);
        let mut view = Metrics::new(asked, &self.buckets, netns.inode);
        let server = Server::start(self.listen, netns, followed, wishes)?;
        if !settings.quiet {
            view = view.announce(server.address());
        }
        let measured = session::run(&settings, &mut view);
        server.stop()?;
        measured
    }
}
