//! Every TCP socket of a namespace as `sock_diag` describes it: addresses, what its timer waits for, its queues, and how
//! long its peer has been silent.
use std::net::IpAddr;

use netlink_packet_core::{NlasIterator, Parseable as _};
use netlink_packet_sock_diag::inet::{InetResponseBuffer, InetResponseHeader, Timer};

use super::{BUFFER_BYTES, CountError, LIVE_STATES, consistent, dump, request, state};
use crate::{netns::Netns, tcp::TcpState};

/// One socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its state.
    pub state: TcpState,
    /// Local address; an IPv4-mapped one is IPv4.
    pub laddr: IpAddr,
    /// Local port.
    pub lport: u16,
    /// Remote address, likewise.
    pub raddr: IpAddr,
    /// Remote port.
    pub rport: u16,
    /// Whether a process has it open: not a mini-socket, nor what was closed or not accepted yet.
    pub is_open: bool,
    /// What it waits for.
    pub timer: Option<Timer>,
    /// Bytes that nobody has read yet; of a listener, connections that nobody has accepted yet.
    pub recv_queue: u32,
    /// Bytes that the peer has not acknowledged; of a listener, the limit of its queue.
    pub send_queue: u32,
    /// Times since something was heard or sent; `None` for mini-sockets, and where the kernel does not tell.
    pub quiet: Option<Quiet>,
}

/// How long a socket has been quiet, ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Since the last data went out.
    pub sent_ms: u32,
    /// Since the last data came in.
    pub received_ms: u32,
    /// Since the last acknowledgment came in.
    pub acknowledged_ms: u32,
}

impl Socket {
    /// Whether it is a timewait mini-socket: in TIME_WAIT, or in FIN_WAIT2 without an owner.
    #[must_use]
    pub fn is_timewait(&self) -> bool {
        self.timer == Some(Timer::TimeWait)
    }

    pub(crate) fn read(payload: &[u8]) -> Result<Self, CountError> {
        let header = InetResponseHeader::parse(payload)?;
        Ok(Self {
            state: state(&header)?,
            laddr: header.socket_id.source_address.to_canonical(),
            lport: header.socket_id.source_port,
            raddr: header.socket_id.destination_address.to_canonical(),
            rport: header.socket_id.destination_port,
            is_open: header.inode != 0,
            timer: header.timer,
            recv_queue: header.recv_queue,
            send_queue: header.send_queue,
            quiet: quiet(
                payload
                    .get(size_of::<InetResponseBuffer>()..)
                    .unwrap_or_default(),
            )?,
        })
    }
}

/// `INET_DIAG_INFO` and the bit that asks for it.
const INFO: u16 = 2;
const ASK_FOR_INFO: u8 = 1 << (INFO - 1);
/// Where `struct tcp_info` has these, in bytes.
const LAST_DATA_SENT: usize = 44;
const LAST_DATA_RECV: usize = 52;
const LAST_ACK_RECV: usize = 56;

fn quiet(attributes: &[u8]) -> Result<Option<Quiet>, CountError> {
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        if attribute.kind() == INFO {
            let at = |offset: usize| -> Option<u32> {
                let bytes = attribute.value().get(offset..offset + 4)?;
                Some(u32::from_ne_bytes(bytes.try_into().ok()?))
            };
            let read = || {
                Some(Quiet {
                    sent_ms: at(LAST_DATA_SENT)?,
                    received_ms: at(LAST_DATA_RECV)?,
                    acknowledged_ms: at(LAST_ACK_RECV)?,
                })
            };
            return Ok(read());
        }
    }
    Ok(None)
}

/// Shows every TCP socket of a network namespace to `see`, IPv4 and IPv6. What it gathers begins
/// with `new`, and anew where changes have interrupted the dump.
///
/// # Errors
/// The kernel refuses or answers with something else.
pub fn of<T>(
    ns: &Netns,
    new: impl Fn() -> T,
    see: impl Fn(&mut T, &Socket),
) -> Result<T, CountError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    consistent(|| {
        let mut gathered = new();
        dump(
            Some(ns),
            &request(LIVE_STATES, ASK_FOR_INFO),
            &mut buffer,
            &mut |payload| {
                see(&mut gathered, &Socket::read(payload)?);
                Ok(())
            },
        )?;
        Ok(gathered)
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn an_own_connection_is_described() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        let own = stream.local_addr().unwrap();
        let here = crate::netns::current().unwrap();
        let sockets = of(&here, Vec::new, |all, socket| all.push(socket.clone())).unwrap();
        let find = |local: u16, remote: u16| {
            let mut all = sockets.iter();
            all.find(|socket| (socket.lport, socket.rport) == (local, remote))
                .unwrap()
        };
        let client = find(own.port(), address.port());
        assert_eq!(client.state, TcpState::Established);
        assert_eq!((client.laddr, client.raddr), (own.ip(), address.ip()));
        assert!(client.quiet.unwrap().acknowledged_ms < 60_000);
        let listening = find(address.port(), 0);
        assert_eq!(listening.state, TcpState::Listen);
        assert_eq!(listening.recv_queue, 1, "nobody has accepted it");
        assert!(listening.send_queue > 0);
    }

    #[test]
    fn attributes_that_are_cut_off_are_unknown_or_refused() {
        assert_eq!(quiet(&[]).unwrap(), None);
        let mut short = vec![12, 0, 2, 0];
        short.extend([0; 8]);
        assert_eq!(quiet(&short).unwrap(), None, "a tcp_info without the times");
        assert!(quiet(&[40, 0, 2, 0, 0]).is_err());
    }
}
