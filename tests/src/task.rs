//! What the tasks of a process may do, as the kernel tells in `/proc/PID/task/TID/status`.
use std::{fs, io};

/// Sets of capabilities, as bits.
pub mod set {
    /// CAP_DAC_OVERRIDE.
    pub const DAC_OVERRIDE: u64 = 1 << 1;
    /// CAP_PERFMON and CAP_BPF: to load the programs.
    pub const LOAD: u64 = 1 << 38 | 1 << 39;
    /// And CAP_SYSLOG, for addresses of kernel functions.
    pub const MEASURE: u64 = LOAD | 1 << 34;
    /// CAP_SYS_PTRACE and CAP_SYS_ADMIN: to look into other namespaces. The helper's.
    pub const LOOK: u64 = 1 << 19 | 1 << 21;
    /// CAP_BPF.
    pub const BPF: u64 = 1 << 39;
}

/// One task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its name.
    pub name: String,
    status: String,
}

impl Task {
    /// Every task of a process; one that ends meanwhile is none.
    ///
    /// # Panics
    /// There is no such process.
    #[must_use]
    pub fn all(pid: u32) -> Vec<Self> {
        let folder = format!("/proc/{pid}/task");
        let tasks = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
        let tasks: Vec<Self> = tasks
            .filter_map(|task| {
                let status = fs::read_to_string(task.ok()?.path().join("status")).ok()?;
                let name = field(&status, "Name:")?.to_owned();
                Some(Self { name, status })
            })
            .collect();
        assert!(!tasks.is_empty(), "{folder} is empty");
        tasks
    }

    /// A field as it stands there, without its name.
    ///
    /// # Panics
    /// The kernel does not tell it.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        field(&self.status, name).unwrap_or_else(|| panic!("no {name} in {}", self.status))
    }

    /// A set of capabilities: `CapEff:` and the like.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn set(&self, name: &str) -> u64 {
        u64::from_str_radix(self.field(name), 16).expect("a bit set")
    }

    /// It has none beyond `documented`, can gain none, and a filter of system calls.
    ///
    /// A thread may have less: those that were there before the probes give up what only the first one keeps.
    ///
    /// # Panics
    /// It has more.
    pub fn assert_confined(&self, documented: u64) {
        for (name, most) in [
            ("CapEff:", documented),
            ("CapPrm:", documented),
            ("CapInh:", 0),
            ("CapAmb:", 0),
        ] {
            let beyond = self.set(name) & !most;
            assert_eq!(beyond, 0, "{name} {beyond:x} beyond {most:x}: {self:#?}");
        }
        assert_eq!(self.field("NoNewPrivs:"), "1", "{self:#?}");
        assert_eq!(self.field("Seccomp:"), "2", "{self:#?}");
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.map(str::trim)
}

/// What a measurement holds: nothing, but on kernels that ask for CAP_BPF at every call of bpf(2).
///
/// # Panics
/// The kernel does not tell its release.
#[must_use]
pub fn measuring() -> u64 {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's release");
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().ok());
    let mut next = || -> u32 { numbers.next().flatten().expect("a number") };
    let version = (next(), next());
    let closed = match fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled") {
        Ok(text) => text.trim() != "0",
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => panic!("kernel.unprivileged_bpf_disabled: {error}"),
    };
    if version < (5, 19) && closed {
        set::BPF
    } else {
        0
    }
}

/// The helper of the process `pid`: its only child.
///
/// # Panics
/// It has several children.
#[must_use]
pub fn helper(pid: u32) -> Option<u32> {
    let parent = pid.to_string();
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let children: Vec<u32> = processes
        .filter_map(|process| {
            let number = process.file_name().to_str()?.parse().ok()?;
            let status = fs::read_to_string(process.path().join("status")).ok()?;
            (field(&status, "PPid:")? == parent).then_some(number)
        })
        .collect();
    assert!(children.len() < 2, "one helper: {children:?}");
    children.first().copied()
}

/// Whether a process lives, and is not just what nobody has waited for.
#[must_use]
pub fn lives(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    status.is_ok_and(|status| !field(&status, "State:").is_some_and(|state| state.starts_with('Z')))
}
