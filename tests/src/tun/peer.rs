//! The far end of one connection: says what it is told to say, keeps the sequence numbers, and answers nothing by itself.
use super::{ACK, FIN, KERNEL, PEER, SYN, Segment, Tun};

/// First sequence number of a peer.
const FIRST: u32 = 1_000_000;

/// One end of a connection, at [`PEER`].
#[derive(Debug)]
pub struct Peer<'a> {
    tun: &'a Tun,
    port: u16,
    kernel_port: u16,
    /// Number of the next octet that it sends.
    next: u32,
    /// Number of the next octet that it acknowledges to expect.
    expected: u32,
}

impl<'a> Peer<'a> {
    /// At `port`, about to talk to the kernel's `kernel_port`. Nothing is sent yet.
    #[must_use]
    pub fn new(tun: &'a Tun, port: u16, kernel_port: u16) -> Self {
        Self {
            tun,
            port,
            kernel_port,
            next: FIRST,
            expected: 0,
        }
    }

    /// Connects to a listener, up to the kernel's SYN-ACK: the kernel's end is half open.
    #[must_use]
    pub fn half_open(tun: &'a Tun, port: u16, listener: u16) -> Self {
        let mut peer = Self::new(tun, port, listener);
        peer.send(SYN);
        peer.take(SYN | ACK);
        peer
    }

    /// Connects to a listener.
    #[must_use]
    pub fn connected(tun: &'a Tun, port: u16, listener: u16) -> Self {
        let mut peer = Self::half_open(tun, port, listener);
        peer.send(ACK);
        peer
    }

    /// Waits until the kernel connects to `port`, and does not answer.
    #[must_use]
    pub fn called(tun: &'a Tun, port: u16) -> Self {
        let syn = tun.receive("SYN", |segment| {
            segment.destination == port && segment.flags == SYN
        });
        let mut peer = Self::new(tun, port, syn.source);
        peer.expected = syn.sequence.wrapping_add(1);
        peer
    }

    /// Port of the kernel's end.
    #[must_use]
    pub fn kernel_port(&self) -> u16 {
        self.kernel_port
    }

    /// Sends a segment with these flags.
    pub fn send(&mut self, flags: u8) {
        self.send_data(flags, &[]);
    }

    /// Sends a segment with these flags and data.
    pub fn send_data(&mut self, flags: u8, data: &[u8]) {
        let length = u32::try_from(data.len()).expect("short data")
            + u32::from(flags & SYN != 0)
            + u32::from(flags & FIN != 0);
        self.put(self.next, flags, length, data);
        self.next = self.next.wrapping_add(length);
    }

    /// Sends the last octet, a SYN or a FIN, again.
    pub fn resend(&self, flags: u8) {
        self.put(self.next.wrapping_sub(1), flags, 1, &[]);
    }

    /// Goes on at a sequence number so much higher, as a new connection from the same port does.
    pub fn skip(&mut self, octets: u32) {
        self.next = self.next.wrapping_add(octets);
    }

    /// Acknowledges so many more octets from now on: what was only seen before.
    pub fn expect_more(&mut self, octets: u32) {
        self.expected = self.expected.wrapping_add(octets);
    }

    /// Waits for a segment with exactly these flags, and will acknowledge it from now on.
    ///
    /// # Panics
    /// It does not come.
    pub fn take(&mut self, flags: u8) {
        let segment = self.see(flags);
        self.expected = segment.sequence.wrapping_add(segment.length);
    }

    /// Waits for a segment with exactly these flags, and goes on as if it had not come.
    ///
    /// # Panics
    /// It does not come.
    pub fn see(&self, flags: u8) -> Segment {
        let what = format!("flags {flags:#04x} to port {}", self.port);
        self.tun.receive(&what, |segment| {
            (segment.source, segment.destination) == (self.kernel_port, self.port)
                && segment.flags == flags
        })
    }

    /// Waits for a FIN, acknowledges it, and sends its own: the kernel's end was closed first and is in `TIME_WAIT` then.
    ///
    /// # Panics
    /// The FIN does not come.
    pub fn close_second(&mut self) {
        self.take(FIN | ACK);
        self.send(ACK);
        self.send(FIN | ACK);
        self.see(ACK);
    }

    fn put(&self, sequence: u32, flags: u8, length: u32, data: &[u8]) {
        let segment = Segment {
            source: self.port,
            destination: self.kernel_port,
            sequence,
            acknowledgment: if flags & ACK == 0 { 0 } else { self.expected },
            flags,
            length,
        };
        self.tun.send(&segment.packet(PEER, KERNEL, data));
    }
}
