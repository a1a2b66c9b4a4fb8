//! The kernel's description of its types.
use crate::source::kernel::fields;

/// Any bytes are types, with the fields that the programs need or without, or one error: for both libraries that read them.
pub fn btf(data: &[u8]) {
    if let Ok(types) = btf_rs::Btf::from_bytes(data) {
        let _ = fields::offsets(&types);
        let _ = fields::has_function(&types, "bpf_get_socket_ptr_cookie");
        let _ = fields::has_tracepoint(&types, "inet_sock_set_state");
        let _ = fields::parameters(&types, "tcp_v4_syn_recv_sock");
    }
    let _ = aya::Btf::parse(data, aya::Endianness::default());
}
