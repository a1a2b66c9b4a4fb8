//! The machine that figures are of, and when it is quiet enough for the next run.
use std::{
    fmt, fs,
    thread::{available_parallelism, sleep},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use nix::sys::utsname::uname;
use serde::Serialize;

/// A machine at a time.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// Seconds since 1970.
    unix_time: u64,
    cpu: String,
    cpus: usize,
    kernel: String,
    /// How busy it was before: its load averages.
    load: String,
}

/// How long a look at the CPUs takes.
const LOOK: Duration = Duration::from_millis(100);
/// Looks after which a busy machine is taken as it is.
const LOOKS: u32 = 10;
/// Share of the CPUs that may be in use on a quiet machine.
const QUIET: f64 = 0.1;

impl Machine {
    /// This one, now.
    pub fn here() -> anyhow::Result<Self> {
        let info = fs::read_to_string("/proc/cpuinfo").context("/proc/cpuinfo")?;
        let cpu = info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or("unknown CPU", |(_, name)| name);
        let load = fs::read_to_string("/proc/loadavg").context("/proc/loadavg")?;
        Ok(Self {
            unix_time: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            cpu: cpu.to_owned(),
            cpus: available_parallelism()?.get(),
            kernel: uname()?.release().to_string_lossy().into_owned(),
            load: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} CPUs ({}), Linux {}, load averages before: {}",
            self.cpus, self.cpu, self.kernel, self.load
        )
    }
}

/// Waits until the machine has little to do, but not for long: namespaces and sockets of the run before are taken down
/// by the kernel's own threads, and nothing tells when that is done.
pub fn await_quiet() -> anyhow::Result<()> {
    let mut before = cpu_ticks()?;
    for _ in 0..LOOKS {
        sleep(LOOK);
        let now = cpu_ticks()?;
        let (busy, all) = (now.0 - before.0, now.1 - before.1);
        if (busy as f64) < all as f64 * QUIET {
            break;
        }
        before = now;
    }
    Ok(())
}

/// Ticks of all CPUs so far: busy ones, and all.
fn cpu_ticks() -> anyhow::Result<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    // user nice system idle iowait irq softirq steal; what follows is in the first two already
    let ticks = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .map(str::parse)
        .collect::<Result<Vec<u64>, _>>()
        .context("/proc/stat")?;
    let all = ticks.iter().sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    Ok((all - idle, all))
}
