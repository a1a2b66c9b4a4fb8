//! Which facts the kernel side delivers: plain data that the user side fills in, and the decision, which the programs
//! run and the user side's tests check.
use crate::Record;

/// Values of each filter that the kernel side can hold; a longer list is left to the user side.
pub const FILTER_VALUES: usize = 8;

/// Networks of addresses, as words in network byte order; an IPv4 one uses the first word.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Net {
    /// [`FAMILY_IPV4`](crate::FAMILY_IPV4) or [`FAMILY_IPV6`](crate::FAMILY_IPV6).
    pub family: u32,
    /// Bits that must agree.
    pub mask: [u32; 4],
    /// What they must be; 0 outside of the mask.
    pub address: [u32; 4],
}

/// A range of ports, both ends included.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Ports {
    /// Lowest port.
    pub first: u32,
    /// Highest port.
    pub last: u32,
}

/// Which facts the kernel side delivers. Values of one list are alternatives, lists must all agree, an empty list admits
/// everything. What the filter cannot decide it admits: the user side decides again.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Filter {
    /// [`FAMILY_IPV4`](crate::FAMILY_IPV4) or [`FAMILY_IPV6`](crate::FAMILY_IPV6); 0 for both.
    pub family: u32,
    /// Values in each list.
    pub lengths: Lengths,
    /// Inodes of network namespaces.
    pub netns: [u32; FILTER_VALUES],
    /// Local ports.
    pub local_ports: [Ports; FILTER_VALUES],
    /// Remote ports.
    pub remote_ports: [Ports; FILTER_VALUES],
    /// Networks of the local address.
    pub local_nets: [Net; FILTER_VALUES],
    /// Networks of the remote address.
    pub remote_nets: [Net; FILTER_VALUES],
}

/// How many values each list of a [`Filter`] has.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Lengths {
    /// Of `netns`.
    pub netns: u32,
    /// Of `local_ports`.
    pub local_ports: u32,
    /// Of `remote_ports`.
    pub remote_ports: u32,
    /// Of `local_nets`.
    pub local_nets: u32,
    /// Of `remote_nets`.
    pub remote_nets: u32,
}

const _: () = assert!(size_of::<Filter>() == 24 + (4 + 2 * 8 + 2 * 36) * FILTER_VALUES);

/// `TCP_SYN_SENT`
const SYN_SENT: u8 = 2;
/// `TCP_SYN_RECV`
const SYN_RECV: u8 = 3;

impl Filter {
    /// Whether a transition of a full socket out of `old` is delivered. What was delivered before the socket had a port,
    /// or a tuple of its own, is known to the user side, which must learn that it is not wanted. For `read` see
    /// [`Filter::admits`].
    #[inline(always)]
    #[must_use]
    pub fn admits_step(&self, record: &Record, old: u8, read: impl Fn(&u32) -> u32 + Copy) -> bool {
        let mut record = *record;
        if old == SYN_SENT {
            record.lport = 0;
        } else if old == SYN_RECV {
            record.rport = 0;
        }
        self.admits(&record, read)
    }

    /// Whether a fact about a socket with the tuple and the network namespace of `record` is delivered.
    ///
    /// Every part of the filter goes through `read`, by which the kernel side lets the verifier see constants: it follows
    /// one way only of a branch on them, and takes off what is behind the other. On what is not constant there is
    /// arithmetic instead of branches, but for the last, because the verifier follows both ways of those: with one for each
    /// value it takes older kernels half a minute.
    #[inline(always)]
    #[must_use]
    pub fn admits(&self, record: &Record, read: impl Fn(&u32) -> u32 + Copy) -> bool {
        let lengths = &self.lengths;
        let family = u32::from(record.family);
        let port = |port: u16| {
            let port = u32::from(port);
            move |ports: &Ports| {
                let (first, last) = (read(&ports.first), read(&ports.last));
                (port.wrapping_sub(first) | last.wrapping_sub(port)) >> 31 // a sign
            }
        };
        let net = |address: [u32; 4]| move |net: &Net| difference(net, family, &address, read);
        let inode = |inode: &u32| read(inode) ^ record.netns;
        let netns = outside(&self.netns, read(&lengths.netns), inode);
        let lport = outside(
            &self.local_ports,
            read(&lengths.local_ports),
            port(record.lport),
        );
        let laddr = outside(
            &self.local_nets,
            read(&lengths.local_nets),
            net(record.laddr),
        );
        let rport = outside(
            &self.remote_ports,
            read(&lengths.remote_ports),
            port(record.rport),
        );
        let raddr = outside(
            &self.remote_nets,
            read(&lengths.remote_nets),
            net(record.raddr),
        );
        // A socket that connects has no local end until the kernel has found a route.
        let local = some(u32::from(record.lport)) & (lport | laddr);
        let wanted = read(&self.family);
        let family = some(wanted) & some(wanted ^ family);
        // Listeners, and until 6.12 their newborn children, have no tuple of their own; children belong to listeners.
        let tuple = some(u32::from(record.rport)) & (family | local | rport | raddr);
        netns | tuple == 0
    }
}

/// 1 if the list has values, the first `length` of `list`, and none of them agrees, else 0; one agrees where its
/// `difference` is 0.
#[inline(always)]
fn outside<T>(list: &[T; FILTER_VALUES], length: u32, difference: impl Fn(&T) -> u32) -> u64 {
    let mut outside = some(length);
    for (value, number) in list.iter().zip(1..) {
        if number <= length {
            outside &= some(difference(value));
        }
    }
    outside
}

/// 0 if `value` is 0, else 1.
#[inline(always)]
fn some(value: u32) -> u64 {
    (u64::from(value) + u64::from(u32::MAX)) >> 32
}

/// 0 if `net` holds `address`.
#[inline(always)]
fn difference(
    net: &Net,
    family: u32,
    address: &[u32; 4],
    read: impl Fn(&u32) -> u32 + Copy,
) -> u32 {
    let mut difference = read(&net.family) ^ family;
    for ((address, mask), wanted) in address.iter().zip(&net.mask).zip(&net.address) {
        difference |= (address & read(mask)) ^ read(wanted);
    }
    difference
}
