//! The least that programs at the main tracepoint can do: one adds one to a counter of its CPU, and what the tool's
//! programs there cost is compared with it; one does nothing, so that what it costs is the measuring itself. A few
//! instructions, so there is no object to build and ship for them.
#![expect(
    unsafe_code,
    reason = "bpf(2): aya loads objects, and these instructions are none"
)]
use std::{
    fs, io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use anyhow::Context as _;
use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_insn, bpf_map_type, bpf_prog_type};
use nix::libc;

/// Name of the program that counts.
pub const COUNTING: &str = "counting";
/// Name of the program that does nothing.
pub const EMPTY: &str = "empty";

/// Both programs, attached until this value goes.
pub struct Yardsticks {
    _map: OwnedFd,
    programs: [OwnedFd; 2],
    _links: [OwnedFd; 2],
}

impl Yardsticks {
    /// Attaches them. They run before programs that are attached later, the one that counts first: as one that is alone
    /// there, it meets cold caches.
    pub fn attach() -> anyhow::Result<Self> {
        let map = map().context("making a counter")?;
        let load = |name, instructions: &[bpf_insn]| {
            program(name, instructions).with_context(|| format!("loading the program {name}"))
        };
        let attach = |program: &OwnedFd| link(program.as_raw_fd()).context("attaching it");
        let counting = load(COUNTING, &count_in(map.as_raw_fd()))?;
        let empty = load(EMPTY, &nothing())?;
        Ok(Self {
            _links: [attach(&counting)?, attach(&empty)?],
            programs: [counting, empty],
            _map: map,
        })
    }

    /// The kernel's numbers of the programs.
    pub fn ids(&self) -> anyhow::Result<Vec<u32>> {
        self.programs.iter().map(id).collect()
    }
}

fn id(program: &OwnedFd) -> anyhow::Result<u32> {
    let fdinfo = format!("/proc/self/fdinfo/{}", program.as_raw_fd());
    let text = fs::read_to_string(fdinfo)?;
    let line = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
    Ok(line.context("the program has no id")?.trim().parse()?)
}

/// One counter a CPU.
fn map() -> io::Result<OwnedFd> {
    let mut attr = empty();
    attr.__bindgen_anon_1.map_type = bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY as u32;
    attr.__bindgen_anon_1.key_size = 4;
    attr.__bindgen_anon_1.value_size = 8;
    attr.__bindgen_anon_1.max_entries = 1;
    bpf(bpf_cmd::BPF_MAP_CREATE, &mut attr)
}

/// Instructions that do nothing.
fn nothing() -> [bpf_insn; 2] {
    [
        instruction(0xb7, 0, 0, 0, 0), // r0 = 0
        instruction(0x95, 0, 0, 0, 0), // exit
    ]
}

/// Instructions that count in `map`.
fn count_in(map: RawFd) -> [bpf_insn; 11] {
    [
        instruction(0x62, 10, 0, -4, 0), // *(u32 *)(r10 - 4) = 0
        instruction(0xbf, 2, 10, 0, 0),  // r2 = r10
        instruction(0x07, 2, 0, 0, -4),  // r2 += -4
        instruction(0x18, 1, 1, 0, map), // r1 = map
        instruction(0, 0, 0, 0, 0),      // (its second half)
        instruction(0x85, 0, 0, 0, 1),   // r0 = bpf_map_lookup_elem(r1, r2)
        instruction(0x15, 0, 0, 2, 0),   // if r0 == 0 goto +2
        instruction(0xb7, 1, 0, 0, 1),   // r1 = 1
        instruction(0xdb, 0, 1, 0, 0),   // lock *(u64 *)(r0 + 0) += r1
        instruction(0xb7, 0, 0, 0, 0),   // r0 = 0
        instruction(0x95, 0, 0, 0, 0),   // exit
    ]
}

fn program(name: &str, instructions: &[bpf_insn]) -> io::Result<OwnedFd> {
    let mut attr = empty();
    // SAFETY: every field of the union's variants is plain data, and the whole of it is zero.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT as u32;
    load.insns = instructions.as_ptr() as u64;
    load.insn_cnt = instructions.len() as u32;
    load.license = c"GPL".as_ptr() as u64;
    for (to, from) in load.prog_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)
}

fn link(program: RawFd) -> io::Result<OwnedFd> {
    let mut attr = empty();
    attr.raw_tracepoint.name = c"inet_sock_set_state".as_ptr() as u64;
    attr.raw_tracepoint.prog_fd = program as u32;
    bpf(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr)
}

fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> bpf_insn {
    bpf_insn {
        code,
        _bitfield_align_1: [],
        _bitfield_1: bpf_insn::new_bitfield_1(to, from),
        off: offset,
        imm: value,
    }
}

fn empty() -> bpf_attr {
    // SAFETY: a union of plain data, for which all zeros are a value.
    unsafe { mem::zeroed() }
}

/// A command that returns a new descriptor.
fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: `attr` has the layout and the size that the kernel is told, and what it points to outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_int,
            std::ptr::from_mut(attr),
            mem::size_of::<bpf_attr>(),
        )
    };
    match RawFd::try_from(fd) {
        // SAFETY: the kernel has just returned it, and nobody else knows of it.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
