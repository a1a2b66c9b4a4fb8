//! The part of a selection that the kernel side can decide.
use std::net::IpAddr;

use aya::Pod;
use ipnet::IpNet;
use tcpstate_ebpf::{FAMILY_IPV4, FAMILY_IPV6, FILTER_VALUES, Filter, Lengths, Net, Ports};

use crate::tracker::{Port, Selection};

/// What of `selection` the kernel side decides: a list that is too long for it is left out.
#[must_use]
pub fn in_kernel(selection: &Selection) -> Filter {
    let (netns, netns_length) = list(&selection.netns, |inode| *inode);
    let (local_ports, local_ports_length) = list(&selection.local_ports, ports);
    let (remote_ports, remote_ports_length) = list(&selection.remote_ports, ports);
    let (local_nets, local_nets_length) = list(&selection.local_nets, net);
    let (remote_nets, remote_nets_length) = list(&selection.remote_nets, net);
    Filter {
        family: match (selection.ipv4, selection.ipv6) {
            (true, false) => FAMILY_IPV4.into(),
            (false, true) => FAMILY_IPV6.into(),
            _ => 0,
        },
        lengths: Lengths {
            netns: netns_length,
            local_ports: local_ports_length,
            remote_ports: remote_ports_length,
            local_nets: local_nets_length,
            remote_nets: remote_nets_length,
        },
        netns,
        local_ports,
        remote_ports,
        local_nets,
        remote_nets,
    }
}

/// The filter as the loader hands it to the programs.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Bytes(pub(super) Filter);

#[expect(
    unsafe_code,
    reason = "aya asks for a promise that a value is plain bytes"
)]
// SAFETY: repr(C), integers only, and no padding: the ABI's sizes are asserted.
unsafe impl Pod for Bytes {}

fn list<T, U: Copy + Default>(
    values: &[T],
    convert: impl Fn(&T) -> U,
) -> ([U; FILTER_VALUES], u32) {
    let mut list = [U::default(); FILTER_VALUES];
    if values.len() > FILTER_VALUES {
        return (list, 0);
    }
    for (slot, value) in list.iter_mut().zip(values) {
        *slot = convert(value);
    }
    (list, values.len() as u32)
}

fn ports(port: &Port) -> Ports {
    Ports {
        first: port.first.into(),
        last: port.last.into(),
    }
}

fn net(net: &IpNet) -> Net {
    Net {
        family: match net {
            IpNet::V4(_) => FAMILY_IPV4.into(),
            IpNet::V6(_) => FAMILY_IPV6.into(),
        },
        mask: words(net.netmask()),
        address: words(net.network()),
    }
}

/// An address as the programs compare it: words in memory order.
fn words(address: IpAddr) -> [u32; 4] {
    match address {
        IpAddr::V4(v4) => [u32::from_ne_bytes(v4.octets()), 0, 0, 0],
        IpAddr::V6(v6) => {
            let bytes = v6.octets();
            std::array::from_fn(|word| {
                let at = 4 * word;
                u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
            })
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
