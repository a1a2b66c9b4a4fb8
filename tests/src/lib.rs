//! Harness of the end-to-end tests: network namespaces with real sockets in them, the tool as a child process, and what
//! its output has to look like. It knows the tool only from outside (product.md), never its code.
//!
//! It needs root and BPF and nothing else: no external program, so that the tests run in a bare virtual machine too.
//! Whatever is missing makes a test fail with a message that says so; no test passes by skipping.
pub mod bpf;
pub mod cgroup;
pub mod crowd;
pub mod diagnosis;
pub mod endpoint;
pub mod history;
pub mod host;
pub mod http;
pub mod journal;
pub mod line;
pub mod live;
pub mod load;
mod loopback;
pub mod mounts;
pub mod namespace;
mod netlink;
pub mod other;
pub mod privilege;
pub mod scene;
pub mod served;
pub mod sockets;
pub mod task;
pub mod terminal;
pub mod tool;
pub mod traffic;
pub mod tun;
pub mod watch;
pub mod whole;
pub mod zoo;

pub use self::{
    history::History,
    host::Sight,
    line::{Line, Summary},
    namespace::Namespace,
    other::Other,
    served::{Samples, Served},
    tool::{Run, Tool},
    traffic::Pair,
    watch::Watch,
    whole::Whole,
};

/// How long something may take that happens at once on an idle machine: an emulated, busy one is two orders slower.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Looks again and again, for what sends no event when it happens, until `look` finds it or [`PATIENCE`] is over.
///
/// # Panics
/// It did not happen; `what` and the last look say what.
pub fn poll_until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = std::time::Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(
                start.elapsed() < PATIENCE,
                "waited {PATIENCE:?} in vain for {what}: {seen}"
            ),
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
