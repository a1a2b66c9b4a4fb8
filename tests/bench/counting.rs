//! The least that a program at the main tracepoint can do: it adds one to a counter of its CPU. What the tool's program
//! there costs is compared with it. Eleven instructions, so there is no object to build and ship for them.
#![expect(
    unsafe_code,
    reason = "bpf(2): aya loads objects, and these instructions are none"
)]
use std::{
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use anyhow::Context as _;
use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_insn, bpf_map_type, bpf_prog_type};
use nix::libc;

/// The program, attached until this value goes.
pub struct Counting {
    _map: OwnedFd,
    program: OwnedFd,
    _link: OwnedFd,
}

impl Counting {
    /// Attaches it. It runs before programs that are attached later.
    pub fn attach() -> anyhow::Result<Self> {
        let map = map().context("making a counter")?;
        let program = program(map.as_raw_fd()).context("loading the program that counts")?;
        let link = link(program.as_raw_fd()).context("attaching the program that counts")?;
        Ok(Self {
            _map: map,
            program,
            _link: link,
        })
    }

    /// The kernel's number of the program.
    pub fn id(&self) -> anyhow::Result<u32> {
        let fdinfo = format!("/proc/self/fdinfo/{}", self.program.as_raw_fd());
        let text = std::fs::read_to_string(fdinfo)?;
        let line = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
        Ok(line.context("the program has no id")?.trim().parse()?)
    }
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

fn program(map: RawFd) -> io::Result<OwnedFd> {
    let instructions = [
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
    ];
    let mut attr = empty();
    // SAFETY: every field of the union's variants is plain data, and the whole of it is zero.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT as u32;
    load.insns = instructions.as_ptr() as u64;
    load.insn_cnt = instructions.len() as u32;
    load.license = c"GPL".as_ptr() as u64;
    for (to, from) in load.prog_name.iter_mut().zip(*b"counting") {
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
