//! This process's own use of the system, under the names that every exporter has.
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use procfs::ProcResult;
use prometheus::proto::{MetricFamily, MetricType};

use super::families::{Row, family};

/// What the process uses.
pub struct Usage {
    cpu_seconds: f64,
    open_fds: u64,
    /// `None` where there is no limit.
    max_fds: Option<u64>,
    virtual_bytes: u64,
    resident_bytes: u64,
    threads: u64,
    /// Seconds since 1970.
    start_seconds: f64,
}

impl Usage {
    /// Of this process, now.
    ///
    /// # Errors
    /// Its folder in /proc cannot be read.
    pub fn read() -> ProcResult<Self> {
        let process = procfs::process::Process::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        Ok(Self {
            cpu_seconds: crate::summary::cpu_seconds(),
            open_fds: process.fd_count()? as u64,
            max_fds: getrlimit(Resource::RLIMIT_NOFILE)
                .ok()
                .map(|(soft, _)| soft)
                .filter(|fds| *fds != RLIM_INFINITY),
            virtual_bytes: stat.vsize,
            resident_bytes: stat.rss * procfs::page_size(),
            threads: u64::try_from(stat.num_threads).unwrap_or(0),
            start_seconds: procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks,
        })
    }
}

/// The families of `usage`.
pub fn families(usage: &Usage) -> Vec<MetricFamily> {
    let (counter, gauge) = (MetricType::COUNTER, MetricType::GAUGE);
    let values = [
        (
            "process_cpu_seconds_total",
            "User and system CPU time that tcpstate has used, without its BPF programs.",
            counter,
            Some(usage.cpu_seconds),
        ),
        (
            "process_open_fds",
            "Open file descriptors.",
            gauge,
            Some(usage.open_fds as f64),
        ),
        (
            "process_max_fds",
            "File descriptors that may be open at most.",
            gauge,
            usage.max_fds.map(|fds| fds as f64),
        ),
        (
            "process_virtual_memory_bytes",
            "Size of virtual memory.",
            gauge,
            Some(usage.virtual_bytes as f64),
        ),
        (
            "process_resident_memory_bytes",
            "Size of resident memory.",
            gauge,
            Some(usage.resident_bytes as f64),
        ),
        (
            "process_threads",
            "Threads.",
            gauge,
            Some(usage.threads as f64),
        ),
        (
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
            gauge,
            Some(usage.start_seconds),
        ),
    ];
    values
        .into_iter()
        .filter_map(|(name, help, kind, value)| {
            Some(family(name, help, kind, vec![Row::new(&[], value?)]))
        })
        .collect()
}
