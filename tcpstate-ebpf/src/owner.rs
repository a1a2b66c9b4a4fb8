//! Owners: the tasks that connect, listen, accept, use, shut down or hold a socket. Never whoever was interrupted.
use core::ptr;

use aya_ebpf::{
    bindings::{BPF_NOEXIST, BPF_SK_STORAGE_GET_F_CREATE},
    btf_maps::{Array, LruHashMap, SkStorage},
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
        generated::{self, bpf_ktime_get_ns, bpf_seq_write, bpf_sk_storage_get},
    },
    macros::btf_map,
};
use tcpstate_ebpf::{COMM_LEN, FAMILY_IPV4, FullRecord, MiniRecord, Record, kind};

use crate::{
    counters,
    fields::{Probed, Sock, Task, Typed, in_kernel_thread},
    ring,
    sockets::IterMeta,
    wanted,
};

/// `struct bpf_iter__task_file`.
#[repr(C)]
pub struct FileContext {
    meta: *const IterMeta,
    task: *const Sock,
    fd: u64,
    file: *const Sock,
}

/// Who was last seen to use a socket.
#[repr(C)]
#[derive(Clone, Copy)]
struct User {
    tgid: u32,
    /// How often that has changed.
    changes: u32,
}

/// A socket and its user.
#[repr(C)]
#[derive(Clone, Copy)]
struct Place {
    /// 0 where there is none.
    socket: u64,
    user: User,
}

/// Number of places: as many as stay in the caches, where each transition that ends a socket looks for it.
const PLACES_COUNT: u32 = 1 << 12;

/// Most sockets are closed before others of the same place are used, and are found here: what is theirs alone takes 1.3 µs
/// to make, which is most of what short connections would cost. A place is free again when its socket closes.
#[btf_map]
static PLACES: Array<Place, { PLACES_COUNT as usize }> = Array::new();

/// The others' own. Freed with the socket.
#[btf_map]
static USERS: SkStorage<User> = SkStorage::new();

/// The same by cookie, for sockets to which the kernel gives no storage; the one that was used last stays longest.
#[btf_map]
static OTHER_USERS: LruHashMap<u64, User, 4096> = LruHashMap::new();

/// `TCP_CLOSE`
const CLOSE: u8 = 7;

/// Processes that take turns at one socket are told of this often; then the walks over open files have to do.
const MAX_CHANGES: u32 = 8;

/// The current task is the owner; a thread of the kernel is nobody's.
#[inline(always)]
pub fn fill(full: &mut FullRecord) {
    if in_kernel_thread() {
        return;
    }
    full.tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    full.uid = bpf_get_current_uid_gid() as u32;
    full.comm = current_comm();
}

/// The current task's name.
#[inline(always)]
fn current_comm() -> [u64; COMM_LEN / 8] {
    let mut comm = [0; COMM_LEN / 8];
    // SAFETY: the helper writes all of these bytes, or none.
    unsafe { generated::bpf_get_current_comm(comm.as_mut_ptr().cast(), COMM_LEN as u32) };
    comm
}

/// The current task has accepted `sk`.
#[inline(always)]
pub fn accepted(sk: *const Sock) {
    if !sk.is_null() && Sock::is_tcp::<Typed>(sk) && !in_kernel_thread() {
        emit(sk);
    }
}

/// The current task has asked to receive from the socket `sk`, of any kind. What a thread of the kernel (NFS, SMC)
/// receives tells nothing.
#[inline(always)]
pub fn received(sk: *const Sock) {
    if !sk.is_null()
        && Sock::is_inet::<Typed>(sk)
        && Sock::is_tcp::<Typed>(sk)
        && !in_kernel_thread()
    {
        uses(sk);
    }
}

/// Data was copied from `sk`: by the current task if it holds the lock; else a softirq reads for somebody in the kernel
/// (a parser of streams).
#[inline(always)]
pub fn copied(sk: *const Sock) {
    if Sock::is_tcp::<Typed>(sk) && Sock::is_owned(sk) && !in_kernel_thread() {
        uses(sk);
    }
}

/// The current task uses the TCP socket `sk`: told once a process.
#[inline(always)]
fn uses(sk: *const Sock) {
    if Sock::state(sk) == CLOSE {
        return; // it has ended, and what is left of it to read tells nothing
    }
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let user = placed(sk).or_else(|| stored(sk)).or_else(|| remembered(sk));
    let Some(user) = user else {
        return;
    };
    // SAFETY: a map's value, which stays one while the program runs. Of two processes that receive at once, either may be
    // told twice.
    let User {
        tgid: last,
        changes,
    } = unsafe { user.read() };
    if last == tgid || changes >= MAX_CHANGES {
        return;
    }
    // SAFETY: as above.
    unsafe {
        user.write(User {
            tgid,
            changes: changes + 1,
        });
    }
    emit(sk);
}

/// The place of `sk`, which another socket may have.
#[inline(always)]
fn place(sk: *const Sock) -> Option<*mut Place> {
    PLACES.get_ptr_mut(Sock::hash(sk) % PLACES_COUNT)
}

/// Who was last seen to use `sk`, if it has its place or can have it.
#[inline(always)]
fn placed(sk: *const Sock) -> Option<*mut User> {
    let place = place(sk)?;
    // SAFETY: a map's value, which stays one while the program runs. Of two sockets that come for one place at once, the
    // later one has it, and the other may be told of twice.
    unsafe {
        let socket = (&raw const (*place).socket).read_volatile();
        if socket == 0 {
            (*place).user = User {
                tgid: 0,
                changes: 0,
            };
            (&raw mut (*place).socket).write_volatile(sk as u64);
        } else if socket != sk as u64 {
            return None;
        }
        Some(&raw mut (*place).user)
    }
}

/// The full socket `sk` begins or ends: who used what was at its address before is no user of it.
#[inline(always)]
pub fn forget(sk: *const Sock) {
    if let Some(place) = place(sk) {
        // SAFETY: as in `placed`.
        unsafe {
            if (&raw const (*place).socket).read_volatile() == sk as u64 {
                (&raw mut (*place).socket).write_volatile(0);
            }
        }
    }
}

/// Who was last seen to use `sk`, in its own storage.
#[inline(always)]
fn stored(sk: *const Sock) -> Option<*mut User> {
    // SAFETY: the helper takes any full socket that BTF knows; the map is of its kind; a new value is zeroed.
    let user = unsafe {
        bpf_sk_storage_get(
            (&raw const USERS).cast_mut().cast(),
            sk.cast_mut().cast(),
            ptr::null_mut(),
            u64::from(BPF_SK_STORAGE_GET_F_CREATE),
        )
    };
    (!user.is_null()).then(|| user.cast())
}

/// The same where there is none: the socket's memory for options is used up, or the kernel (7.x) could not allocate
/// without waiting, which it never can on a processor that has no compare-and-exchange of 16 bytes.
#[inline(always)]
fn remembered(sk: *const Sock) -> Option<*mut User> {
    let cookie = Sock::cookie(sk);
    if cookie == 0 {
        return None;
    }
    OTHER_USERS.get_ptr_mut(cookie).or_else(|| {
        // Another CPU may have been quicker, or there is no room: the look that follows tells.
        let _ = OTHER_USERS.insert(
            cookie,
            User {
                tgid: 0,
                changes: 0,
            },
            BPF_NOEXIST.into(),
        );
        OTHER_USERS.get_ptr_mut(cookie)
    })
}

/// States that the current task, which is no thread of the kernel, uses `sk`.
#[inline(always)]
fn emit(sk: *const Sock) {
    if !wanted::admits::<Typed>(sk) {
        return;
    }
    let Some(counters) = counters::this_cpu() else {
        return;
    };
    let Some(room) = ring::reserve::<FullRecord>(counters) else {
        return;
    };
    let mut full = FullRecord::default();
    full.mini.record = ring::record::<Typed>(sk, kind::USED, 0, 0);
    full.cgroup = Sock::cgroup(sk);
    fill(&mut full);
    room.fill(counters, full);
}

/// Writes a record of the open file that the walk stands at, if it is a TCP socket.
#[inline(always)]
pub fn held(ctx: *const FileContext) {
    // SAFETY: the kernel passes a valid context; the verifier knows the types of its members.
    let (meta, task, file) = unsafe { ((*ctx).meta, (*ctx).task, (*ctx).file) };
    if task.is_null() || file.is_null() {
        return;
    }
    let sk = Sock::of_file(file);
    if sk.is_null() || !Sock::is_inet::<Probed>(sk) || !Sock::is_tcp::<Probed>(sk) {
        return;
    }
    let (tgid, uid, comm) = Task::identity(task);
    // The socket's address identifies it; its tuple would cost a stack that there is not.
    let record = Record {
        // SAFETY: the helper has no preconditions.
        time_ns: unsafe { bpf_ktime_get_ns() },
        object: sk as u64,
        kind: kind::HELD,
        family: FAMILY_IPV4,
        ..Record::default()
    };
    let full = FullRecord {
        mini: MiniRecord {
            record,
            ..MiniRecord::default()
        },
        tgid,
        uid,
        comm,
        ..FullRecord::default()
    };
    // SAFETY: `seq` is the iterator's own; the data lies on this program's stack. An overflow makes the kernel
    // grow its buffer and call again, so the result needs no look.
    unsafe {
        bpf_seq_write(
            (*meta).seq,
            (&raw const full).cast_mut().cast(),
            size_of::<FullRecord>() as u32,
        );
    }
}
