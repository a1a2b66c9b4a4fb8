//! The kernel at hand: its clock, its settings in a namespace, and what the tool can see of it.
use std::{fs, ops::RangeInclusive, time::Duration};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::utsname::uname,
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use serde::Deserialize;

use crate::tool;

/// The longest jiffy: a timer begins to count at the last one.
pub const TICK: Duration = Duration::from_millis(10);
/// How late a timer may run or a segment be processed on a busy machine.
pub const LATENESS: Duration = Duration::from_millis(50);

/// How long a timer of the kernel may take that is set to `timeout`: its wheel rounds up, by no more than an eighth.
#[must_use]
pub fn timer(timeout: Duration) -> RangeInclusive<Duration> {
    timeout - TICK..=timeout + timeout / 8 + LATENESS
}

/// How long a `TIME_WAIT` takes: a minute, which the wheel makes up to 4.1 s longer where a jiffy is a millisecond.
#[must_use]
pub fn time_wait() -> RangeInclusive<Duration> {
    Duration::from_secs(60) - TICK..=Duration::from_millis(64_200)
}

/// Now, on the clock of `mono_ns`.
///
/// # Panics
/// There is no such clock.
#[must_use]
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("reading the clock");
    u64::try_from(Duration::from(now).as_nanos()).expect("the machine has not run for centuries")
}

/// Sets `net.ipv4.NAME` of the calling thread's network namespace.
///
/// # Panics
/// The kernel refuses.
pub fn set(name: &str, value: &str) {
    write(&format!("/proc/sys/net/ipv4/{name}"), value);
}

/// Sets `net.core.NAME` likewise.
///
/// # Panics
/// The kernel refuses.
pub fn set_core(name: &str, value: &str) {
    write(&format!("/proc/sys/net/core/{name}"), value);
}

fn write(path: &str, value: &str) {
    fs::write(path, value).unwrap_or_else(|error| panic!("writing {value} to {path}: {error}"));
}

/// The CPUs that the calling thread may run on.
///
/// # Panics
/// The kernel does not tell.
#[must_use]
pub fn cpus() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).expect("a set of CPUs");
    (0..CpuSet::count())
        .filter(|cpu| set.is_set(*cpu).expect("a CPU"))
        .collect()
}

/// Keeps the calling thread on one CPU: what it sends on loopback is received there, too.
///
/// # Panics
/// There is no such CPU.
pub fn stay_on(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu).expect("a CPU");
    sched_setaffinity(Pid::from_raw(0), &set).expect("staying on one CPU");
}

/// Resident memory of a process, in bytes.
///
/// # Panics
/// It has ended.
#[must_use]
pub fn resident_bytes(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_else(|| panic!("no VmRSS in {path}")) << 10
}

/// A setting of the whole host that is changed for as long as this value lives. Others use the host at the same time.
#[derive(Debug)]
pub struct Borrowed {
    path: String,
    before: String,
}

impl Borrowed {
    /// Sets `net.ipv4.NAME`, one that only the initial network namespace has.
    ///
    /// # Panics
    /// This is another namespace, or the kernel refuses.
    #[must_use]
    pub fn set(name: &str, value: &str) -> Self {
        let path = format!("/proc/sys/net/ipv4/{name}");
        let before = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{path}, in the initial namespace: {error}"));
        let borrowed = Self { path, before };
        write(&borrowed.path, value);
        borrowed
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // While unwinding there is nobody to tell of an error.
        let _ = fs::write(&self.path, &self.before);
    }
}

/// Whether this is a kernel 5.x, as the oldest of the matrix is.
///
/// # Panics
/// The kernel has no name.
#[must_use]
pub fn is_5() -> bool {
    let name = uname().expect("asking the kernel its name");
    name.release().to_string_lossy().starts_with("5.")
}

/// What the tool can see on this kernel, as its `doctor` says.
#[derive(Debug, Deserialize)]
pub struct Sight {
    tier: String,
    probes: Vec<Probe>,
}

#[derive(Debug, Deserialize)]
struct Probe {
    program: String,
    attached: bool,
}

impl Sight {
    /// Asks the tool.
    ///
    /// # Panics
    /// It does not say.
    #[must_use]
    pub fn of_tool() -> Self {
        let run = tool::run(tool::command(&["doctor", "--probes", "--json"]));
        run.assert_status(0);
        let sight: Self = serde_json::from_str(&run.stdout[0]).expect("an object");
        assert!(
            ["fentry", "tracepoint"].contains(&&*sight.tier),
            "mini-sockets cannot be followed here: {run:#?}"
        );
        sight
    }

    /// Kernel functions can be traced: every reason is known.
    #[must_use]
    pub fn has_fentry(&self) -> bool {
        self.tier == "fentry"
    }

    /// A FIN for a timewait socket is seen when it comes. Otherwise `FIN_WAIT2 -> TIME_WAIT` may be recovered at the end.
    #[must_use]
    pub fn has_segments(&self) -> bool {
        self.has_fentry() || self.has("kfree_skb")
    }

    /// Why a reset ends a timewait socket, as far as can be told: only its segment says so.
    #[must_use]
    pub fn reset_of_timewait(&self) -> Option<&'static str> {
        self.has_segments().then_some("reset")
    }

    /// Who receives from a socket is seen when it does: from 5.11.
    #[must_use]
    pub fn sees_receives(&self) -> bool {
        self.has("socket_received") || self.has("socket_copied")
    }

    fn has(&self, program: &str) -> bool {
        self.probes
            .iter()
            .any(|probe| probe.program == program && probe.attached)
    }

    /// Checks a reason that only the fentry tier always knows.
    ///
    /// # Panics
    /// It is another.
    pub fn assert_reason(&self, reason: Option<&str>, expected: &str) {
        let unknown = reason.is_none() && !self.has_fentry();
        assert!(
            unknown || reason == Some(expected),
            "{reason:?} instead of {expected} with {self:#?}"
        );
    }
}
