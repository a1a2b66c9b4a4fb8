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
    pub first: u16,
    /// Highest port.
    pub last: u16,
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

const _: () = assert!(size_of::<Filter>() == 24 + 12 * FILTER_VALUES + 2 * 36 * FILTER_VALUES);

/// `TCP_SYN_SENT`
const SYN_SENT: u8 = 2;
/// `TCP_SYN_RECV`
const SYN_RECV: u8 = 3;

impl Filter {
    /// Whether a transition of a full socket out of `old` is delivered. What was delivered before the socket had a port,
    /// or a tuple of its own, is known to the user side, which must learn that it is not wanted. For `apart` see
    /// [`Filter::admits`].
    #[inline(always)]
    #[must_use]
    pub fn admits_step(&self, record: &Record, old: u8, apart: impl Fn(u64) -> u64) -> bool {
        let mut record = *record;
        if old == SYN_SENT {
            record.lport = 0;
        } else if old == SYN_RECV {
            record.rport = 0;
        }
        self.admits(&record, apart)
    }

    /// Whether a fact about a socket with the tuple and the network namespace of `record` is delivered.
    ///
    /// Arithmetic instead of comparisons, but for the last: the verifier follows both ways of every branch, and with one
    /// for each value of each list it takes older kernels half a minute. `apart` gives back the bit that it takes, and
    /// keeps the compiler from loading all values of a list at once, for which the programs' stack has no room.
    #[inline(always)]
    #[must_use]
    pub fn admits(&self, record: &Record, apart: impl Fn(u64) -> u64) -> bool {
        let lengths = &self.lengths;
        let family = u32::from(record.family);
        let port = |port: u16| {
            move |ports: &Ports| {
                let (port, first, last) = (port.into(), ports.first.into(), ports.last.into());
                (u32::wrapping_sub(port, first) | u32::wrapping_sub(last, port)) >> 31 // a sign
            }
        };
        let net = |address: [u32; 4]| move |net: &Net| difference(net, family, &address);
        let netns = outside(
            &self.netns,
            lengths.netns,
            |inode| inode ^ record.netns,
            &apart,
        );
        let lport = outside(
            &self.local_ports,
            lengths.local_ports,
            port(record.lport),
            &apart,
        );
        let laddr = outside(
            &self.local_nets,
            lengths.local_nets,
            net(record.laddr),
            &apart,
        );
        let rport = outside(
            &self.remote_ports,
            lengths.remote_ports,
            port(record.rport),
            &apart,
        );
        let raddr = outside(
            &self.remote_nets,
            lengths.remote_nets,
            net(record.raddr),
            &apart,
        );
        // A socket that connects has no local end until the kernel has found a route.
        let local = some(u32::from(record.lport)) & (lport | laddr);
        let family = some(self.family) & some(self.family ^ family);
        // Listeners, and until 6.12 their newborn children, have no tuple of their own; children belong to listeners.
        let tuple = some(u32::from(record.rport)) & (family | local | rport | raddr);
        netns | tuple == 0
    }
}

/// 1 if `list` has values and none of them agrees, else 0; one agrees where its `difference` is 0. What stands behind the
/// values of a list is 0, which agrees with nothing.
#[inline(always)]
fn outside<T>(
    list: &[T; FILTER_VALUES],
    length: u32,
    difference: impl Fn(&T) -> u32,
    apart: impl Fn(u64) -> u64,
) -> u64 {
    let mut outside = some(length);
    for value in list {
        outside = apart(outside & some(difference(value)));
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
fn difference(net: &Net, family: u32, address: &[u32; 4]) -> u32 {
    let mut difference = net.family ^ family;
    for ((address, mask), wanted) in address.iter().zip(&net.mask).zip(&net.address) {
        difference |= (address & mask) ^ wanted;
    }
    difference
}
