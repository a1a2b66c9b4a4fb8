//! `tcpstate count`: sockets by state, right now.
use std::{
    io::{self, BufWriter, Write as _},
    time::Duration,
};

use anyhow::{Context as _, bail};
use jiff::tz::TimeZone;
use nix::unistd::Uid;

use super::{event::EventArgs, usage, value};
use crate::{
    clock, netns, session,
    sink::WallClock,
    sockdiag::{self, StateCounts},
    source::kernel::{self, Owners},
    tcp::TcpState,
    view::{
        count as view,
        live::{self, Live},
    },
};

const EXAMPLES: &str = "\
Examples:
  tcpstate count                      sockets in every state, this network namespace
  tcpstate count TIME-WAIT            one integer, for scripts
  tcpstate count --json | jq .CLOSE_WAIT
  tcpstate count -N blue              the namespace that 'ip netns' calls blue
  tcpstate count -N 4711              the namespace of process 4711
  sudo tcpstate count --live 1        counts, rates and drift, every second
  sudo tcpstate count --all-netns     all namespaces together, containers too
  UserParameter=tcp.discovery,tcpstate count --zabbix-discovery
  UserParameter=tcp.state[*],tcpstate count $1";

/// Command line of `count`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub struct Args {
    /// Print one integer, the sockets in STATE (any usual spelling: TIME_WAIT, time-wait, ESTAB)
    pub state: Option<TcpState>,
    /// Print one JSON object on one line
    #[arg(short = 'J', long)]
    pub json: bool,
    /// Print the states as low-level discovery data of Zabbix
    #[arg(long, conflicts_with_all = ["state", "json", "all_netns", "netns"])]
    pub zabbix_discovery: bool,
    /// Sum over all network namespaces (root)
    #[arg(long, conflicts_with = "netns")]
    pub all_netns: bool,
    /// Follow every transition and print the tracker's own counts, with rates and drift, every INTERVAL (default 1 s),
    /// COUNT times (root)
    #[arg(long, num_args = 0..=2, value_names = ["INTERVAL", "COUNT"], conflicts_with = "zabbix_discovery")]
    pub live: Option<Vec<String>>,
    #[command(flatten)]
    event: EventArgs,
}

impl Args {
    /// Counts and prints.
    pub fn run(&self, verbose: u8) -> anyhow::Result<()> {
        if let Some(live) = &self.live {
            return self.follow(live, verbose);
        }
        if let Some(option) = self.event.given() {
            usage(
                "count",
                &format!(
                    "{option} needs --live: without it the kernel's own tables are read, once"
                ),
            );
        }
        let counts = if self.zabbix_discovery {
            None
        } else {
            Some(self.counts()?)
        };
        let mut out = BufWriter::new(io::stdout().lock());
        match (counts, self.state) {
            (None, _) => view::zabbix_discovery(&mut out),
            (Some(counts), state) if self.json => view::json(&mut out, &counts, state),
            (Some(counts), Some(state)) => view::integer(&mut out, &counts, state),
            (Some(counts), None) => view::table(&mut out, &counts),
        }
        .and_then(|()| out.flush())
        .context("standard output")
    }

    /// `--live`: runs a measurement.
    fn follow(&self, live: &[String], verbose: u8) -> anyhow::Result<()> {
        let or_usage = |result: Result<_, String>| {
            result.unwrap_or_else(|error: String| usage("count", &error))
        };
        let interval = live.first().map_or(Duration::from_secs(1), |text| {
            or_usage(value::duration(text).map_err(|why| format!("INTERVAL '{text}': {why}")))
        });
        let count = live.get(1).map(|text| match text.parse() {
            Ok(count) if count > 0 => count,
            _ => usage(
                "count",
                &format!("COUNT '{text}': expected a number above zero"),
            ),
        });
        let settings = live::Settings {
            interval,
            count,
            state: self.state,
            json: self.json,
        };
        let clock = WallClock::new(clock::wall_offset_ns(), TimeZone::system());
        let mut session = self.event.settings_with(Owners::None, verbose)?;
        if self.event.netns().is_none() && !self.all_netns {
            let own = netns::current().context("own network namespace")?.inode;
            session.tracker.selection.netns = vec![own];
            session.kernel.filter = kernel::in_kernel(&session.tracker.selection);
        }
        session::run(&session, &mut Live::new(settings, clock))
    }

    fn counts(&self) -> anyhow::Result<StateCounts> {
        match self.event.netns() {
            Some(selector) => {
                let ns = selector.find()?;
                netns::check(&ns)?;
                Ok(sockdiag::count(Some(&ns))?)
            }
            None if self.all_netns => count_all(),
            None => Ok(sockdiag::count(None)?),
        }
    }
}

/// Sums over every namespace. What is missing from the sum is said on stderr; a sum that could take in none but the
/// own namespace is an error, not a number.
fn count_all() -> anyhow::Result<StateCounts> {
    let own = netns::current().context("own network namespace")?.inode;
    let found = netns::all();
    let mut sum = StateCounts::default();
    let mut entered = 0;
    let mut failed = Vec::new();
    for ns in &found.namespaces {
        match netns::check(ns) {
            Ok(()) => {
                sum += sockdiag::count(Some(ns)).with_context(|| ns.to_string())?;
                entered += usize::from(ns.inode != own);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // ended meanwhile, and its sockets with it
            Err(error) => failed.push(error.to_string()),
        }
    }
    // To root, what cannot be looked at is the business of another container; to others, it is most of the host.
    let refused = !failed.is_empty() || found.unseen > 0 && !Uid::effective().is_root();
    if let Some(why) = found.unseen_why {
        failed.push(format!(
            "tasks that could not be looked at: {}, first {why}; run as root with CAP_SYS_PTRACE",
            found.unseen
        ));
    }
    if refused && entered == 0 {
        bail!(
            "all network namespaces: none but the own one could be entered: {}",
            failed[0]
        );
    }
    for failure in failed {
        eprintln!("tcpstate: not counted: {failure}");
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use clap::{Parser as _, error::ErrorKind};

    use crate::{
        cli::{Cli, Command},
        tcp::TcpState,
    };

    fn parse(line: &str) -> Result<super::Args, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(|cli| match cli.command {
            Command::Count(args) => args,
            other => panic!("{line} is {other:?}"),
        })
    }

    #[test]
    fn a_state_is_read_in_any_spelling() {
        for (line, state) in [
            ("tcpstate count", None),
            ("tcpstate count TIME-WAIT", Some(TcpState::TimeWait)),
            ("tcpstate count estab --json", Some(TcpState::Established)),
            ("tcpstate count CLOSE", Some(TcpState::Close)),
        ] {
            assert_eq!(parse(line).unwrap().state, state, "{line}");
        }
    }

    #[test]
    fn bad_usage() {
        for (line, kind) in [
            ("tcpstate count TIME", ErrorKind::ValueValidation),
            ("tcpstate count LISTEN CLOSE", ErrorKind::UnknownArgument),
            ("tcpstate count -N no-such-name", ErrorKind::ValueValidation),
            (
                "tcpstate count --all-netns -N /proc/self/ns/net",
                ErrorKind::ArgumentConflict,
            ),
            (
                "tcpstate count --json --zabbix-discovery",
                ErrorKind::ArgumentConflict,
            ),
            (
                "tcpstate count LISTEN --zabbix-discovery",
                ErrorKind::ArgumentConflict,
            ),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, 2), "{line}");
        }
    }

    #[test]
    fn help_begins_with_examples() {
        for line in ["tcpstate count --help", "tcpstate count -h"] {
            let help = parse(line).unwrap_err().to_string();
            assert!(help.starts_with("Examples:\n"), "{help}");
        }
    }
}
