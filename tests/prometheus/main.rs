//! `serve` with a real Prometheus: its server, its promtool, the rules and the dashboard of contrib/prometheus. Needs
//! Debian's package `prometheus`, so `cargo xtask prometheus` runs these and nothing else does.
mod cost;
mod kit;
mod minute;
mod server;

use std::path::PathBuf;

/// A file of contrib/prometheus.
fn contrib(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../contrib/prometheus")
        .join(name)
}
