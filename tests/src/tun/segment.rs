//! One TCP segment as it stands on the wire.
use std::net::Ipv4Addr;

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TcpHeader, TransportSlice};

/// Flags of a segment, as RFC 9293 has them.
pub const FIN: u8 = 0x01;
/// See [`FIN`].
pub const SYN: u8 = 0x02;
/// See [`FIN`].
pub const RST: u8 = 0x04;
/// See [`FIN`].
pub const ACK: u8 = 0x10;

/// Room that a peer has for data.
const WINDOW: u16 = 65_000;
/// How many routers a segment may pass.
const TIME_TO_LIVE: u8 = 64;

/// A segment without what no test looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Port of the sender.
    pub source: u16,
    /// Port of the receiver.
    pub destination: u16,
    /// Number of its first octet.
    pub sequence: u32,
    /// Number of the octet that its sender expects next, where [`ACK`] is set.
    pub acknowledgment: u32,
    /// Of [`FIN`], [`SYN`], [`RST`], [`ACK`].
    pub flags: u8,
    /// How far it moves the sequence number: its data, and one each for [`SYN`] and [`FIN`].
    pub length: u32,
}

impl Segment {
    /// Reads an IPv4 packet; `None` if it is no TCP segment.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let sliced = SlicedPacket::from_ip(packet).ok()?;
        let (Some(NetSlice::Ipv4(_)), Some(TransportSlice::Tcp(tcp))) =
            (sliced.net, sliced.transport)
        else {
            return None;
        };
        let flags = [
            (FIN, tcp.fin()),
            (SYN, tcp.syn()),
            (RST, tcp.rst()),
            (ACK, tcp.ack()),
        ]
        .into_iter()
        .filter_map(|(flag, set)| set.then_some(flag))
        .sum();
        let data = u32::try_from(tcp.payload().len()).expect("a packet is short");
        Some(Self {
            source: tcp.source_port(),
            destination: tcp.destination_port(),
            sequence: tcp.sequence_number(),
            acknowledgment: tcp.acknowledgment_number(),
            flags,
            length: data + u32::from(tcp.syn()) + u32::from(tcp.fin()),
        })
    }

    /// The packet that carries it, with `data`, checksums included.
    pub(super) fn packet(&self, from: Ipv4Addr, to: Ipv4Addr, data: &[u8]) -> Vec<u8> {
        let mut header = TcpHeader::new(self.source, self.destination, self.sequence, WINDOW);
        header.acknowledgment_number = self.acknowledgment;
        header.fin = self.flags & FIN != 0;
        header.syn = self.flags & SYN != 0;
        header.rst = self.flags & RST != 0;
        header.ack = self.flags & ACK != 0;
        let builder =
            PacketBuilder::ipv4(from.octets(), to.octets(), TIME_TO_LIVE).tcp_header(header);
        let mut packet = Vec::with_capacity(builder.size(data.len()));
        builder
            .write(&mut packet, data)
            .expect("a vector has room for a short packet");
        packet
    }
}
