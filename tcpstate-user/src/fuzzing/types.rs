//! The kernel's description of its types.
use crate::source::kernel::fields::Types;

/// Any bytes are types, with the fields that the programs need or without, or one error: for both libraries that read them.
pub fn btf(data: &[u8]) {
    let functions = ["bpf_get_socket_ptr_cookie", "tcp_v4_syn_recv_sock"];
    let tracepoints = ["inet_sock_set_state"];
    let _ = Types::read(data, functions.into_iter(), tracepoints.into_iter());
    let _ = aya::Btf::parse(data, aya::Endianness::default());
}
