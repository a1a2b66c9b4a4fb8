//! Options that every event command shares.
use std::time::Duration;

use anyhow::bail;
use hashbrown::HashSet;
use ipnet::IpNet;

use super::value;
use crate::{
    netns::{self, Selector},
    places::CgroupFilter,
    session::Settings,
    shown::{MinDwell, Shown},
    source::kernel::{self, Owners},
    tcp::{Comm, TcpState},
    tracker::{self, Port, Selection},
};

/// What every event command takes.
#[derive(Debug, clap::Args)]
pub struct EventArgs {
    /// IPv4 connections only (an IPv4-mapped connection of a dual-stack socket is one)
    #[arg(short = '4', long = "ipv4", help_heading = "Filters")]
    ipv4: bool,
    /// IPv6 connections only
    #[arg(short = '6', long = "ipv6", help_heading = "Filters")]
    ipv6: bool,
    /// Local ports: 443 or 80,8000-8010
    #[arg(short = 'L', long = "localport", value_name = "LIST", value_delimiter = ',', value_parser = value::port, help_heading = "Filters")]
    local_ports: Vec<Port>,
    /// Remote ports, likewise
    #[arg(short = 'D', long = "remoteport", value_name = "LIST", value_delimiter = ',', value_parser = value::port, help_heading = "Filters")]
    remote_ports: Vec<Port>,
    /// Networks of the local address: 10.0.0.0/8 or an address
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = value::network, help_heading = "Filters")]
    laddr: Vec<IpNet>,
    /// Networks of the remote address, likewise
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = value::network, help_heading = "Filters")]
    raddr: Vec<IpNet>,
    /// Processes that own the socket
    #[arg(short, long, value_name = "LIST", value_delimiter = ',', value_parser = value::pid, help_heading = "Filters")]
    pid: Vec<u32>,
    /// Name of the task that owns the socket (15 bytes at most; may be repeated)
    #[arg(long, value_name = "NAME", value_parser = value::comm, help_heading = "Filters")]
    comm: Vec<Comm>,
    /// Cgroup of the socket with its subtree: /system.slice/nginx.service (may be repeated)
    #[arg(long, value_name = "PATH", value_parser = CgroupFilter::parse, help_heading = "Filters")]
    cgroup: Vec<CgroupFilter>,
    /// Network namespace (default: all)
    #[arg(short = 'N', long, value_name = "NAME|PATH|PID|INUM", value_parser = netns::selector, help_heading = "Filters")]
    netns: Option<Selector>,
    /// State left
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    from_state: Vec<TcpState>,
    /// State entered
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    to_state: Vec<TcpState>,
    /// Shortest time in the state left, of any or of one state: 2s or CLOSE_WAIT=10s (may be repeated)
    #[arg(long, value_name = "[STATE=]DURATION", value_parser = value::min_dwell, help_heading = "Filters")]
    min_dwell: Vec<MinDwell>,
    /// End after this long: 5 (seconds), 30s, 5m
    #[arg(short, long, value_name = "DURATION", value_parser = value::duration)]
    duration: Option<Duration>,
    /// The tracepoint's own view: no TIME_WAIT, self-transitions included
    #[arg(long)]
    raw: bool,
    /// Compare the live counts with the kernel's socket tables this often
    #[arg(long, value_name = "DURATION", value_parser = value::duration, default_value = RECONCILE)]
    reconcile: Duration,
    /// End with a summary record: transitions by kind, the kernel's own counters, losses, cost
    #[arg(long)]
    summary: bool,
    /// No 'ready' line on stderr
    #[arg(short, long)]
    quiet: bool,
    /// Memory of all ring buffers together
    #[arg(long, value_name = "BYTES", value_parser = value::bytes, default_value = RING_SIZE)]
    ring_size: u32,
    /// Measure the programs' run time (needs CAP_SYS_ADMIN, costs about 40 ns a run)
    #[arg(long)]
    bpf_stats: bool,
}

/// How often live counts are compared, unless the user says otherwise.
const RECONCILE: &str = "30s";
/// Memory of all rings, unless the user says otherwise.
const RING_SIZE: &str = "16M";

impl EventArgs {
    /// One of these options that was given; not `-N`, which commands without a measurement know too.
    pub(super) fn given(&self) -> Option<&'static str> {
        let shown = self.shown();
        let options = [
            ("--ipv4", self.ipv4),
            ("--ipv6", self.ipv6),
            ("--localport", !self.local_ports.is_empty()),
            ("--remoteport", !self.remote_ports.is_empty()),
            ("--laddr", !self.laddr.is_empty()),
            ("--raddr", !self.raddr.is_empty()),
            ("--pid", !self.pid.is_empty()),
            ("--comm", !self.comm.is_empty()),
            ("--cgroup", !self.cgroup.is_empty()),
            ("--from-state", !shown.from.is_empty()),
            ("--to-state", !shown.to.is_empty()),
            ("--min-dwell", !shown.min_dwell.is_empty()),
            ("--duration", self.duration.is_some()),
            ("--raw", self.raw),
            (
                "--reconcile",
                value::duration(RECONCILE) != Ok(self.reconcile),
            ),
            ("--summary", self.summary),
            ("--quiet", self.quiet),
            ("--ring-size", value::bytes(RING_SIZE) != Ok(self.ring_size)),
            ("--bpf-stats", self.bpf_stats),
        ];
        let given = options.into_iter().find(|(_, given)| *given);
        given.map(|(name, _)| name)
    }

    /// The network namespace that was asked for.
    pub(super) fn netns(&self) -> Option<&Selector> {
        self.netns.as_ref()
    }

    fn shown(&self) -> Shown {
        Shown {
            either: Vec::new(),
            from: self.from_state.clone(),
            to: self.to_state.clone(),
            min_dwell: self.min_dwell.clone(),
        }
    }

    fn selection(&self, recorded: bool) -> anyhow::Result<Selection> {
        let inode = |selector: &Selector| match selector {
            Selector::Inode(inode) if recorded => Ok(*inode), // it may be gone by now
            selector => Ok(selector.find()?.inode),
        };
        let netns = self
            .netns
            .iter()
            .map(inode)
            .collect::<anyhow::Result<_>>()?;
        Ok(Selection {
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            local_ports: self.local_ports.clone(),
            remote_ports: self.remote_ports.clone(),
            local_nets: self.laddr.clone(),
            remote_nets: self.raddr.clone(),
            netns,
            pids: self.pid.clone(),
            comms: self.comm.clone(),
            cgroups: (!self.cgroup.is_empty()).then(HashSet::new),
        })
    }

    /// What was meant.
    ///
    /// # Errors
    /// The network namespace cannot be looked at.
    pub fn settings(&self, verbose: u8) -> anyhow::Result<Settings> {
        Ok(self.settings_of(self.selection(false)?, verbose))
    }

    /// What was meant, for a recording, which knows cgroups by number only.
    ///
    /// # Errors
    /// A cgroup is not given by its number, or the network namespace cannot be looked at.
    pub fn recorded_settings(&self, verbose: u8) -> anyhow::Result<Settings> {
        if let Some(CgroupFilter::Path(path)) = self
            .cgroup
            .iter()
            .find(|cgroup| matches!(cgroup, CgroupFilter::Path(_)))
        {
            bail!(
                "--cgroup {path}: a recording knows no paths; give the cgroup's number, as in its column cgroup"
            );
        }
        Ok(self.settings_of(self.selection(true)?, verbose))
    }

    fn settings_of(&self, selection: Selection, verbose: u8) -> Settings {
        Settings {
            kernel: kernel::Config {
                filter: kernel::in_kernel(&selection),
                ring_bytes: self.ring_size,
                minis: !self.raw,
                owners: Owners::Events,
                verbose: verbose > 0,
                bpf_stats: self.bpf_stats,
            },
            tracker: tracker::Config {
                selection,
                raw: self.raw,
                ..tracker::Config::default()
            },
            cgroups: self.cgroup.clone(),
            shown: self.shown(),
            duration: self.duration,
            reconcile: self.reconcile,
            summary: self.summary,
            quiet: self.quiet,
        }
    }

    /// What was meant, for a command that needs to know less of the owners, unless a filter asks for them.
    ///
    /// # Errors
    /// The network namespace cannot be looked at.
    pub fn settings_with(&self, owners: Owners, verbose: u8) -> anyhow::Result<Settings> {
        let mut settings = self.settings(verbose)?;
        if !settings.tracker.selection.asks_for_owner() {
            settings.kernel.owners = owners;
        }
        Ok(settings)
    }
}

/// A list of states, as every `--state` takes it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct StateList {
    /// States: TIME_WAIT,close-wait in any usual spelling
    #[arg(
        long = "state",
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    pub states: Vec<TcpState>,
}
