//! The programs' per-CPU counters, summed.
use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::Context as _;
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
    programs::ProgramFd,
};
use tcpstate_ebpf::{Counters, Loss, STATES};

use crate::tcp::TcpState;

/// [`Counters`] as aya reads them.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct CountersPod(Counters);

#[expect(
    unsafe_code,
    reason = "aya reads map values of types that promise to be plain data"
)]
// SAFETY: `repr(C)` integers only, no padding, every bit pattern is valid.
unsafe impl aya::Pod for CountersPod {}

/// The map of counters.
pub(super) struct CounterMap(PerCpuArray<MapData, CountersPod>);

/// What the kernel side counted, over all CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Transitions of TCP sockets that the tracepoint reported, by state left and entered.
    transitions: [[u64; STATES]; STATES],
    /// Facts that found no room in a ring.
    pub ring_full: u64,
    /// Transitions in an interrupt inside the main program that the second program has stated.
    pub nested: u64,
}

impl Counted {
    /// Transitions that the tracepoint reported from one state to another.
    #[must_use]
    pub fn transitions(&self, from: TcpState, to: TcpState) -> u64 {
        self.transitions[from.index()][to.index()]
    }
}

impl CounterMap {
    pub(super) fn new(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let map = ebpf
            .take_map("COUNTERS")
            .context("the object has no map COUNTERS")?;
        Ok(Self(PerCpuArray::try_from(map).context("map COUNTERS")?))
    }

    pub(super) fn read(&self) -> anyhow::Result<Counted> {
        let per_cpu = self
            .0
            .get(&0, 0)
            .context("reading the programs' counters")?;
        let mut counted = Counted {
            transitions: [[0; STATES]; STATES],
            ring_full: 0,
            nested: 0,
        };
        for CountersPod(cpu) in per_cpu.iter() {
            for (row, cells) in counted
                .transitions
                .iter_mut()
                .zip(cpu.transitions.chunks(STATES))
            {
                for (sum, cell) in row.iter_mut().zip(cells) {
                    *sum += cell;
                }
            }
            counted.nested += cpu.nested;
            counted.ring_full += cpu.lost[Loss::RingFull as usize];
        }
        Ok(counted)
    }
}

/// Runs of a program that the kernel skipped because it was already running on that CPU. Kernels from 5.12 tell; 0
/// elsewhere, where nested runs are not skipped.
pub(super) fn recursion_misses(program: &ProgramFd) -> u64 {
    let path = format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd());
    misses(&std::fs::read_to_string(path).unwrap_or_default()).unwrap_or(0)
}

/// What a program's `fdinfo` says about it: `recursion_misses: 0`.
pub(crate) fn misses(fdinfo: &str) -> Option<u64> {
    let mut lines = fdinfo.lines();
    let value = lines.find_map(|line| line.strip_prefix("recursion_misses:"))?;
    value.trim().parse().ok()
}
