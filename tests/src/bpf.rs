//! BPF objects in the kernel: what must be gone when the tool is, and which programs the kernel has skipped.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    fs,
    path::Path,
};

use aya::{
    maps::loaded_maps,
    programs::{loaded_links, loaded_programs},
};

use crate::{poll_until, privilege};

/// Ids of BPF objects, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they are called")]
pub struct Objects {
    pub programs: BTreeSet<u32>,
    pub maps: BTreeSet<u32>,
    pub links: BTreeSet<u32>,
}

impl Objects {
    /// Everything in the kernel.
    #[must_use]
    pub fn loaded() -> Self {
        privilege::demand();
        Self {
            programs: gather(loaded_programs().map(|info| info.map(|info| info.id()))),
            maps: gather(loaded_maps().map(|info| info.map(|info| info.id()))),
            links: gather(loaded_links().map(|info| info.map(|info| info.id()))),
        }
    }

    /// What the process `pid` has open.
    #[must_use]
    pub fn of_process(pid: u32) -> Self {
        let mut objects = Self::default();
        objects.add_process(Path::new(&format!("/proc/{pid}")));
        objects.add_maps();
        objects
    }

    /// What any living process has open.
    #[must_use]
    pub fn of_every_process() -> Self {
        let mut objects = Self::default();
        for process in fs::read_dir("/proc").expect("/proc").flatten() {
            objects.add_process(&process.path());
        }
        objects.add_maps();
        objects
    }

    /// What is here and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self {
            programs: &self.programs - &other.programs,
            maps: &self.maps - &other.maps,
            links: &self.links - &other.links,
        }
    }

    /// Whether there is nothing here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Every kernel that has BPF links tells the ids of open objects here.
    fn add_process(&mut self, process: &Path) {
        for text in descriptors(process) {
            for line in text.lines() {
                let Some((key, value)) = line.split_once(':') else {
                    continue;
                };
                let kind = match key {
                    "prog_id" => &mut self.programs,
                    "map_id" => &mut self.maps,
                    "link_id" => &mut self.links,
                    _ => continue,
                };
                kind.extend(value.trim().parse::<u32>());
            }
        }
    }

    /// Maps that only a program holds.
    fn add_maps(&mut self) {
        for program in loaded_programs().flatten() {
            if self.programs.contains(&program.id()) {
                self.maps
                    .extend(program.map_ids().ok().flatten().into_iter().flatten());
            }
        }
    }
}

/// How often the kernel did not run a program of the process `pid` because it was running already: by the program's name,
/// of which the kernel keeps 15 letters. Kernels from 5.12 tell.
#[must_use]
pub fn skipped(pid: u32) -> BTreeMap<String, u64> {
    let number = |text: &str, key: &str| -> Option<u64> {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        value.trim().parse().ok()
    };
    let by_id: BTreeMap<u64, u64> = descriptors(Path::new(&format!("/proc/{pid}")))
        .filter_map(|text| {
            Some((
                number(&text, "prog_id")?,
                number(&text, "recursion_misses")?,
            ))
        })
        .collect();
    let skipped = loaded_programs().flatten().filter_map(|program| {
        let times = *by_id.get(&program.id().into())?;
        let name = String::from_utf8_lossy(program.name()).into_owned();
        (times > 0).then_some((name, times))
    });
    skipped.collect()
}

/// What the kernel says of each open file of a process. Descriptors and processes may go while we look.
fn descriptors(process: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(process.join("fdinfo"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|file| fs::read_to_string(file.path()).unwrap_or_default())
}

/// What went away while it was looked at is not there: no error worth a word.
fn gather<E: Debug>(ids: impl Iterator<Item = Result<u32, E>>) -> BTreeSet<u32> {
    ids.flatten().collect()
}

/// Checks that nothing that was loaded since `before` stays, but for what other living processes have open: other
/// people may use BPF on this machine at the same time. The kernel frees maps a little later than their last user goes.
///
/// # Panics
/// Something stays.
pub fn assert_nothing_stays(before: &Objects) {
    poll_until("every BPF object to go", || {
        // In this order: what another process loads between the two is not taken for ours.
        let loaded = Objects::loaded();
        let left = loaded.without(before).without(&Objects::of_every_process());
        left.is_empty()
            .then_some(())
            .ok_or(format!("left: {left:?}"))
    });
}
