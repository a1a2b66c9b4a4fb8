//! The per-CPU ring buffers: made, waited for, and merged into one stream in order of time.
use std::{
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::Context as _;
use aya::{
    Ebpf,
    maps::{ArrayOfMaps, Map, MapData, RingBuf},
};
use memmap2::{Mmap, MmapOptions};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use tokio::io::{Interest, unix::AsyncFd};

use super::super::merge::Merge;
use crate::{clock, decode::decode, fact::Fact};

/// Kernel number of `BPF_MAP_TYPE_RINGBUF`.
const RINGBUF: u32 = 27;
/// Smallest ring of one CPU: about 7,000 records, several wake-ups' worth.
const MIN_RING_BYTES: u32 = 512 << 10;
/// Bytes of a ring for each record between two wake-ups: at most a quarter of it is full then.
const BYTES_PER_WAKE: u32 = 512;
/// Records between two wake-ups at most: more at once do not fit into the caches.
const MAX_WAKE_EVERY: u32 = 4096;
/// Bytes before each record in a ring.
const HEADER: u64 = 8;

/// All rings.
pub(super) struct Rings {
    rings: Vec<Ring>,
    merge: Merge,
    /// Length of a jiffy, ns.
    tick_ns: u32,
    /// Readable when any ring has had a wake-up.
    wakeups: AsyncFd<OwnedFd>,
    /// Programs that are loaded later find the map of rings by this descriptor.
    _outer: ArrayOfMaps<MapData, MapData>,
}

/// One CPU's ring.
struct Ring {
    records: RingBuf<MapData>,
    /// The page on which the kernel publishes how far it has reserved.
    producer: Mmap,
    /// How far we have read.
    consumed: u64,
    /// This process, as the kernel numbers it unless a container has numbers of its own.
    own_pid: u32,
}

/// How large the ring of each of `cpus` CPUs is if all of them may take `ring_bytes`: a power of two.
pub(super) fn share(ring_bytes: u32, cpus: usize) -> anyhow::Result<u32> {
    let share = (ring_bytes / u32::try_from(cpus)?).max(MIN_RING_BYTES);
    Ok(1 << share.ilog2())
}

/// What ends the number of a record that wakes the reader of a ring of so many bytes.
pub(super) fn wake_mask(bytes: u32) -> u32 {
    (bytes / BYTES_PER_WAKE).min(MAX_WAKE_EVERY) - 1
}

impl Rings {
    /// Makes a ring of so many bytes for each CPU and puts it where the programs find it.
    /// A wake-up of `logs` counts as one of the rings'.
    pub(super) fn new(
        ebpf: &mut Ebpf,
        cpus: usize,
        bytes: u32,
        tick_ns: u32,
        logs: Option<BorrowedFd<'_>>,
    ) -> anyhow::Result<Self> {
        let map = ebpf
            .take_map("RINGS")
            .context("the object has no map RINGS")?;
        let mut outer: ArrayOfMaps<MapData, MapData> = map.try_into().context("map RINGS")?;
        let epoll =
            Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("making an epoll instance")?;
        if let Some(logs) = logs {
            epoll
                .add(logs, EpollEvent::new(EpollFlags::EPOLLIN, u64::MAX))
                .context("watching the programs' messages")?;
        }
        let mut rings = Vec::with_capacity(cpus);
        for cpu in 0..cpus {
            let ring = Ring::new(&mut outer, u32::try_from(cpu)?, bytes)
                .with_context(|| format!("making the ring buffer of CPU {cpu} ({bytes} bytes)"))?;
            epoll
                .add(
                    &ring.records,
                    EpollEvent::new(EpollFlags::EPOLLIN, cpu as u64),
                )
                .with_context(|| format!("watching the ring buffer of CPU {cpu}"))?;
            rings.push(ring);
        }
        #[expect(
            unsafe_code,
            reason = "tokio asks for a promise that the descriptor stays open"
        )]
        // SAFETY: the descriptor is owned by the `AsyncFd` alone, which closes it when it is dropped.
        let wakeups = unsafe { AsyncFd::register_with_interest(epoll.0, Interest::READABLE)? };
        Ok(Self {
            merge: Merge::new(rings.len()),
            rings,
            tick_ns,
            wakeups,
            _outer: outer,
        })
    }

    /// Waits for a wake-up of any ring.
    pub(super) async fn ready(&self) -> std::io::Result<()> {
        self.wakeups.readable().await?.clear_ready();
        Ok(())
    }

    /// Holds back everything later than `time_ns` until [`Rings::add`].
    pub(super) fn hold_back(&mut self, time_ns: u64) {
        self.merge.hold_back(time_ns);
    }

    /// Takes the facts that came another way and for which others were held back.
    pub(super) fn add(&mut self, facts: Vec<Fact>) {
        for fact in facts {
            self.merge.push(fact);
        }
        self.merge.let_go();
    }

    /// Reads what the rings hold; false if there is nothing.
    pub(super) fn fetch(&mut self) -> anyhow::Result<bool> {
        let mut any = false;
        for (index, ring) in self.rings.iter_mut().enumerate() {
            let now_ns = clock::monotonic_ns();
            let before = ring.consumed;
            let whole = ring.read(&mut self.merge, self.tick_ns)?;
            if whole {
                self.merge.complete(index, now_ns);
            }
            any |= !whole || ring.consumed > before;
        }
        Ok(any)
    }

    /// Gives every fact that is complete; returns the time up to which nothing is missing.
    pub(super) fn drain(&mut self, give: impl FnMut(&Fact)) -> u64 {
        self.merge.release(give)
    }

    /// Gives everything: the programs are detached. A program that was still running on another CPU has at most
    /// microseconds left, so a ring that stops at an unfinished record is read again until it is whole.
    pub(super) fn finish(&mut self, give: impl FnMut(&Fact)) -> anyhow::Result<()> {
        for ring in &mut self.rings {
            while !ring.read(&mut self.merge, self.tick_ns)? {
                std::thread::yield_now();
            }
        }
        self.merge.finish(give);
        Ok(())
    }
}

impl Ring {
    fn new(
        outer: &mut ArrayOfMaps<MapData, MapData>,
        cpu: u32,
        bytes: u32,
    ) -> anyhow::Result<Self> {
        let definition = aya_obj::Map::new_from_params(RINGBUF, 0, 0, bytes, 0);
        let map = MapData::create(definition, "tcpstate_ring", None)?;
        outer.set(cpu, &map, 0)?;
        let records = RingBuf::try_from(Map::RingBuf(map))?;
        let page = page_bytes()?;
        #[expect(
            unsafe_code,
            reason = "the producer position is published in shared memory alone"
        )]
        // SAFETY: a read-only mapping of the ring's producer page, which the kernel keeps as long as the map; only
        // atomics look at it.
        let producer = unsafe {
            MmapOptions::new()
                .offset(page)
                .len(size_of::<u64>())
                .map(&records.as_fd())?
        };
        Ok(Self {
            records,
            producer,
            consumed: 0,
            own_pid: std::process::id(),
        })
    }

    /// Reads what was reserved up to now; false if it stops at a record that is not finished.
    fn read(&mut self, merge: &mut Merge, tick_ns: u32) -> anyhow::Result<bool> {
        let end = self.reserved();
        while self.consumed < end {
            let Some(record) = self.records.next() else {
                return Ok(false);
            };
            self.consumed += (HEADER + record.len() as u64).next_multiple_of(8);
            let mut fact = decode(&record, tick_ns).context("reading a ring buffer")?;
            fact.forget_closer(self.own_pid);
            merge.push(fact);
        }
        Ok(true)
    }

    /// How far the kernel has reserved.
    fn reserved(&self) -> u64 {
        #[expect(
            unsafe_code,
            reason = "the producer position is published in shared memory alone"
        )]
        // SAFETY: the mapping is at least eight bytes, page-aligned, and written by the kernel as one word.
        let position = unsafe { &*ptr::from_ref(&self.producer[0]).cast::<AtomicU64>() };
        position.load(Ordering::Acquire)
    }
}

fn page_bytes() -> anyhow::Result<u64> {
    let bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?;
    u64::try_from(bytes.context("the kernel has no page size")?).context("the page size")
}

#[cfg(test)]
mod tests {
    use tcpstate_ebpf::FullRecord;

    use super::*;

    #[test]
    fn the_reader_is_woken_while_most_of_a_ring_is_free() {
        for (ring_bytes, cpus) in [(16 << 20, 1), (16 << 20, 2), (5 << 20, 3), (1 << 10, 64)] {
            let bytes = share(ring_bytes, cpus).unwrap();
            let every = wake_mask(bytes) + 1;
            assert!(bytes.is_power_of_two() && every.is_power_of_two());
            let waiting = u64::from(every) * (HEADER + size_of::<FullRecord>() as u64);
            assert!(waiting <= u64::from(bytes) / 4, "{every} of {bytes} bytes");
        }
    }
}
