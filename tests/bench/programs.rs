//! BPF programs and maps of a process: how long they ran, how much memory they have.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use aya::programs::loaded_programs;
use serde::Serialize;

/// How often a program ran, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Runs {
    /// How often.
    pub count: u64,
    /// For how long, ns.
    pub ns: u64,
}

/// Runs by program, as the kernel calls it: the first 15 letters.
pub type ByProgram = BTreeMap<String, Runs>;

/// What the programs with these ids have done so far, while the kernel measured it.
pub fn runs(ids: &BTreeSet<u32>) -> ByProgram {
    let mut runs = ByProgram::new();
    // A program that goes while we look is another process's.
    for program in loaded_programs().flatten() {
        if ids.contains(&program.id()) {
            let name = program.name_as_str().unwrap_or("?").to_owned();
            let runs = runs.entry(name).or_default();
            runs.count += program.run_count();
            runs.ns += u64::try_from(program.run_time().as_nanos()).unwrap_or(u64::MAX);
        }
    }
    runs
}

/// What they have done since `before`.
pub fn since(before: &ByProgram, now: &ByProgram) -> ByProgram {
    let difference = now.iter().map(|(name, now)| {
        let before = before.get(name).copied().unwrap_or_default();
        let runs = Runs {
            count: now.count - before.count,
            ns: now.ns - before.ns,
        };
        (name.clone(), runs)
    });
    difference.collect()
}

/// Memory of the maps that the process `pid` has open, bytes, as the kernel accounts it.
pub fn map_bytes(pid: u32) -> u64 {
    let mut maps = BTreeMap::new();
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo"));
    for file in files.into_iter().flatten().flatten() {
        // Descriptors may go while we look.
        let text = fs::read_to_string(file.path()).unwrap_or_default();
        let field = |name: &str| -> Option<u64> {
            let mut lines = text.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            value.trim().parse().ok()
        };
        if let (Some(id), Some(bytes)) = (field("map_id"), field("memlock")) {
            maps.insert(id, bytes);
        }
    }
    maps.values().sum()
}
