//! `serve`, running, and what it shows at `/metrics`.
use std::{collections::BTreeMap, net::SocketAddr};

use crate::{Run, Tool, http};

/// The tool, serving at a port that the kernel chose.
pub struct Served {
    tool: Tool,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Samples by series, as in `tcpstate_sockets{state="listen"}`, of Prometheus text.
#[derive(Clone, Debug)]
pub struct Samples(pub BTreeMap<String, f64>);

impl Served {
    /// Starts it with more options and waits until it is ready.
    ///
    /// # Panics
    /// It fails instead.
    #[must_use]
    pub fn start(more: &[&str]) -> Self {
        let tool = Tool::start(&[&["serve", "--listen", "127.0.0.1:0"], more].concat());
        let line = tool.wait_for_message("where it serves", |line| line.contains("http://"));
        let address = line
            .split_once("http://")
            .and_then(|(_, rest)| rest.strip_suffix("/metrics"))
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("no address: {line}"));
        Self { tool, address }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.tool.pid()
    }

    /// What it shows now.
    ///
    /// # Panics
    /// It does not answer, or not with samples.
    #[must_use]
    pub fn scrape(&self) -> Samples {
        Samples::scrape(self.address)
    }

    /// Ends it as a service manager does.
    ///
    /// # Panics
    /// It does not end.
    pub fn stop(self) -> Run {
        self.tool.signal(nix::sys::signal::Signal::SIGTERM);
        self.tool.finish()
    }
}

impl Samples {
    /// What the tool at `address` shows now.
    ///
    /// # Panics
    /// It does not answer, or not with samples.
    #[must_use]
    pub fn scrape(address: SocketAddr) -> Self {
        let answer = http::get(address, "/metrics", &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        Self::read(&answer.body)
    }

    /// Reads either text format.
    ///
    /// # Panics
    /// A line is no sample, or a series comes twice.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let sample = line.rsplit_once(' ');
            let (series, value) = sample.unwrap_or_else(|| panic!("no sample: {line}"));
            let value = value
                .parse()
                .unwrap_or_else(|error| panic!("{error}: {line}"));
            let before = samples.insert(series.to_owned(), value);
            assert_eq!(before, None, "twice: {line}");
        }
        Self(samples)
    }

    /// The sample of a series.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn of(&self, series: &str) -> f64 {
        *self
            .0
            .get(series)
            .unwrap_or_else(|| panic!("no {series} in {:#?}", self.0))
    }

    /// The samples whose series begin with `prefix` and are not 0, by what follows it.
    #[must_use]
    pub fn nonzero(&self, prefix: &str) -> BTreeMap<&str, f64> {
        self.0
            .iter()
            .filter(|(_, value)| **value != 0.0)
            .filter_map(|(series, value)| Some((series.strip_prefix(prefix)?, *value)))
            .collect()
    }

    /// Whether there is a sample of that metric.
    #[must_use]
    pub fn has(&self, metric: &str) -> bool {
        let of = |series: &str| series.split('{').next() == Some(metric);
        self.0.keys().any(|series| of(series))
    }
}
