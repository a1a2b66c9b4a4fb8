//! Delivery: one ring buffer for each CPU, so that producers never wait for each other, and a wake-up only for one record in
//! thousands; the reader's timer fetches the rest. A reader that sleeps, as nothing happens, is woken by the next record.
use aya_ebpf::{
    Global,
    bindings::{BPF_F_MMAPABLE, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    btf_maps::{Array, ArrayOfMaps, RingBuf},
    helpers::{bpf_get_smp_processor_id, generated::bpf_ktime_get_ns},
    macros::btf_map,
    maps::ring_buf::RingBufEntry,
};
use tcpstate_ebpf::{Counters, Loss, Record};

use crate::{
    counters,
    fields::{Access, Sock},
};

/// The loader sizes both: one entry a CPU, each with a ring of the configured size.
#[btf_map]
static RINGS: ArrayOfMaps<RingBuf<Record, 4096>, 1> = ArrayOfMaps::new();

/// Not 0 where the next record wakes the reader, whichever it is. User space writes it without a call.
#[btf_map]
static WAKE_NEXT: Array<u32, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// The record whose number on its CPU ends in these bits wakes the reader: the loader knows how many a ring holds.
#[unsafe(no_mangle)]
static WAKE_MASK: Global<u32> = Global::new(0);

/// Room for a record of type `T`, which must be [filled](Room::fill): what it says is taken after it was reserved.
pub struct Room<T: 'static>(RingBufEntry<T>);

/// Reserves room for a record; counts the record as lost if the ring is full.
#[inline(always)]
pub fn reserve<T: 'static>(counters: *mut Counters) -> Option<Room<T>> {
    // SAFETY: the helper has no preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let room = RINGS.get(cpu).and_then(|ring| ring.reserve_untyped::<T>(0));
    if room.is_none() {
        counters::lost(counters, Loss::RingFull);
    }
    room.map(Room)
}

impl<T: 'static> Room<T> {
    /// Writes the record and submits it.
    #[inline(always)]
    pub fn fill(mut self, counters: *mut Counters, record: T) {
        self.0.write(record);
        let mask = u64::from(WAKE_MASK.load());
        let wake = counters::written(counters) & mask == mask || is_awaited();
        self.0.submit(u64::from(if wake {
            BPF_RB_FORCE_WAKEUP
        } else {
            BPF_RB_NO_WAKEUP
        }));
    }
}

/// Whether the reader sleeps until the next record; it does not any more. Asked once the record has its room: a reader that
/// asks to be woken and does not see that room then is seen here. (Where a CPU may look here first, as 64-bit ARM, the record
/// may have to wait for the reader's timer.)
#[inline(always)]
fn is_awaited() -> bool {
    let Some(awaited) = WAKE_NEXT.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: a word of the map, which stays one. Of two records at once each may wake the reader, which does no harm.
    unsafe {
        let is = awaited.read_volatile() != 0;
        if is {
            awaited.write_volatile(0);
        }
        is
    }
}

/// A record of `object`, which begins with a `struct sock_common`, now and here.
#[inline(always)]
pub fn record<A: Access>(object: *const Sock, kind: u8, old: u8, new: u8) -> Record {
    // SAFETY: neither helper has preconditions.
    let (time_ns, cpu) = unsafe { (bpf_ktime_get_ns(), bpf_get_smp_processor_id()) };
    let mut record = Record {
        time_ns,
        object: object as u64,
        kind,
        old,
        new,
        cpu: cpu as u16,
        ..Record::default()
    };
    Sock::describe::<A>(object, &mut record);
    record
}
