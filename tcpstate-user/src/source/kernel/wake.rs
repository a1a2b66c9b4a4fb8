//! The word by which a reader that goes to sleep asks the programs to wake it at the next record. Memory that both share,
//! as a call that changes maps is one that a confined process may not make.
use std::{
    os::fd::AsFd as _,
    ptr,
    sync::atomic::{AtomicU32, Ordering, fence},
};

use anyhow::Context as _;
use aya::{
    Ebpf,
    maps::{Map, MapData},
};
use memmap2::{MmapMut, MmapOptions};

/// It.
pub(super) struct WakeNext {
    word: MmapMut,
    /// Programs that are loaded later find the map by this descriptor.
    _map: MapData,
}

impl WakeNext {
    pub(super) fn new(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        let Some(Map::Array(map)) = ebpf.take_map("WAKE_NEXT") else {
            anyhow::bail!("the object has no map WAKE_NEXT");
        };
        #[expect(unsafe_code, reason = "the word is published in shared memory alone")]
        // SAFETY: the kernel keeps the memory as long as it is mapped; only atomics look at it.
        let word = unsafe {
            MmapOptions::new()
                .len(size_of::<u32>())
                .map_mut(&map.fd().as_fd())
        };
        Ok(Self {
            word: word.context("mapping WAKE_NEXT")?,
            _map: map,
        })
    }

    /// From now on the next record wakes the reader. One that has its room already does not: it is found by a fetch after
    /// this.
    pub(super) fn ask(&self) {
        #[expect(unsafe_code, reason = "the word is published in shared memory alone")]
        // SAFETY: the mapping is at least four bytes, page-aligned, and written by both sides as one word.
        let word = unsafe { &*ptr::from_ref(&self.word[0]).cast::<AtomicU32>() };
        word.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst); // before the look at how far the rings are reserved
    }
}
