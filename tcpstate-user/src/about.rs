//! What a measurement is about: which host, kernel and tool, since when and how well. The same live and recorded.
use std::fs;

use jiff::tz::TimeZone;

use crate::{clock, sink::WallClock};

/// What stands in the head of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Version of the tool that measured.
    pub tool: String,
    /// Release of the kernel, as `uname -r` prints it. Of a recording untrusted, as is every text here.
    pub kernel: String,
    /// Name of the host.
    pub host: String,
    /// Which probes were attached: `fentry`, `tracepoint` or `none`.
    pub tier: String,
    /// When the measurement began, monotonic, ns.
    pub start_ns: u64,
    /// What to add to a monotonic time for ns since 1970, as of the beginning.
    pub wall_offset_ns: i64,
}

impl About {
    /// A measurement of this host that began at `start_ns`.
    #[must_use]
    pub fn here(tier: String, start_ns: u64) -> Self {
        let kernel = |file: &str| {
            let text = fs::read_to_string(format!("/proc/sys/kernel/{file}"));
            text.map_or_else(|_| "-".to_owned(), |text| text.trim_end().to_owned())
        };
        Self {
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: kernel("osrelease"),
            host: kernel("hostname"),
            tier,
            start_ns,
            // Nanoseconds since 1970 fit until the year 2262.
            wall_offset_ns: i64::try_from(clock::wall_offset_ns()).unwrap_or(0),
        }
    }

    /// The wall clock of that host.
    #[must_use]
    pub fn clock(&self) -> WallClock {
        WallClock::new(self.wall_offset_ns.into(), TimeZone::system())
    }
}
