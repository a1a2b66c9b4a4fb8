//! Options that every event command shares.
use std::time::Duration;

use super::value;
use crate::{
    session::Settings,
    source::kernel,
    tcp::TcpState,
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
    /// Whether none of these options was given.
    pub(super) fn is_unset(&self) -> bool {
        let given =
            self.ipv4 || self.ipv6 || self.raw || self.summary || self.quiet || self.bpf_stats;
        !given
            && self.local_ports.is_empty()
            && self.remote_ports.is_empty()
            && self.duration.is_none()
            && value::duration(RECONCILE).is_ok_and(|default| default == self.reconcile)
            && value::bytes(RING_SIZE).is_ok_and(|default| default == self.ring_size)
    }

    /// What was meant.
    #[must_use]
    pub fn settings(&self, verbose: u8) -> Settings {
        Settings {
            tracker: tracker::Config {
                selection: Selection {
                    ipv4: self.ipv4,
                    ipv6: self.ipv6,
                    local_ports: self.local_ports.clone(),
                    remote_ports: self.remote_ports.clone(),
                },
                raw: self.raw,
                ..tracker::Config::default()
            },
            kernel: kernel::Config {
                ring_bytes: self.ring_size,
                minis: !self.raw,
                verbose: verbose > 0,
                bpf_stats: self.bpf_stats,
            },
            duration: self.duration,
            reconcile: self.reconcile,
            summary: self.summary,
            quiet: self.quiet,
        }
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
