//! One pass over the sockets of a namespace: by state, by destination, by listener.
use std::{cmp::Reverse, net::IpAddr};

use hashbrown::HashMap;
use netlink_packet_sock_diag::inet::Timer;

use crate::{
    doctor::evidence::{
        Destination, IDLE_MS, InState, LASTING_MS, Listener, MOST, Settings, Sockets,
    },
    netns::Netns,
    sockdiag::{
        CountError,
        each::{self, Socket},
    },
    tcp::TcpState,
};

/// The sockets of a namespace.
///
/// # Errors
/// The kernel does not show them.
pub(super) fn gather(ns: &Netns, settings: &Settings) -> Result<Sockets, CountError> {
    let usable = settings.usable_ports().map(|(usable, _)| usable);
    let gathered = each::of(ns, Gathered::default, |gathered, socket| {
        gathered.see(socket, |port| {
            usable.as_ref().is_some_and(|usable| usable(port))
        });
    })?;
    Ok(gathered.sockets())
}

#[derive(Default)]
struct Gathered {
    states: [InState; 12],
    peers: [HashMap<IpAddr, u64>; 12],
    destinations: HashMap<(IpAddr, IpAddr, u16), (u64, u64)>,
    listeners: HashMap<(IpAddr, u16), Listener>,
    half_open: HashMap<(IpAddr, u16), u64>,
}

impl Gathered {
    fn see(&mut self, socket: &Socket, usable: impl Fn(u16) -> bool) {
        let state = &mut self.states[socket.state.index()];
        state.sockets += 1;
        state.minis += u64::from(socket.is_timewait());
        state.orphans += u64::from(!socket.is_open);
        match socket.timer {
            Some(Timer::Retransmit(_, again)) if again >= patience(socket.state) => {
                state.unanswered += 1;
                let peers = &mut self.peers[socket.state.index()];
                *peers.entry(socket.raddr).or_default() += 1;
            }
            Some(Timer::Probe(_)) => state.probing += 1,
            Some(Timer::KeepAlive(_)) => state.keepalive += 1,
            _ => {}
        }
        if let Some(quiet) = socket.quiet {
            let idle = quiet
                .sent_ms
                .min(quiet.received_ms)
                .min(quiet.acknowledged_ms);
            let unwatched = socket.timer.is_none();
            state.idle += u64::from(unwatched && u64::from(idle) >= IDLE_MS);
            let held = match socket.state {
                TcpState::CloseWait => true,
                TcpState::FinWait2 => socket.is_open,
                _ => false, // what the last acknowledgment has not brought there
            };
            let lasting = u64::from(quiet.acknowledged_ms) >= LASTING_MS;
            state.lasting += u64::from(held && lasting);
        }
        match socket.state {
            TcpState::Listen => self.listen(socket),
            TcpState::SynRecv => {
                *self
                    .half_open
                    .entry((socket.laddr, socket.lport))
                    .or_default() += 1;
            }
            _ if usable(socket.lport) => {
                let key = (socket.laddr, socket.raddr, socket.rport);
                let (ports, time_wait) = self.destinations.entry(key).or_default();
                *ports += 1;
                *time_wait += u64::from(socket.state == TcpState::TimeWait);
            }
            _ => {}
        }
    }

    fn listen(&mut self, socket: &Socket) {
        let key = (socket.laddr, socket.lport);
        let listener = self.listeners.entry(key).or_insert(Listener {
            laddr: socket.laddr,
            lport: socket.lport,
            waiting: 0,
            limit: 0,
            half_open: 0,
            full: 0,
            owner: None,
        });
        listener.waiting += u64::from(socket.recv_queue);
        listener.limit += u64::from(socket.send_queue);
        // The kernel lets one more wait than the limit says (`sk_acceptq_is_full`).
        listener.full += u64::from(socket.recv_queue > socket.send_queue);
    }

    fn sockets(mut self) -> Sockets {
        for ((laddr, lport), half_open) in self.half_open {
            let anywhere = match laddr {
                IpAddr::V4(_) => [IpAddr::from([0_u8; 4]), IpAddr::from([0_u16; 8])],
                IpAddr::V6(_) => [IpAddr::from([0_u16; 8]); 2],
            };
            let listener = [laddr, anywhere[0], anywhere[1]]
                .into_iter()
                .find(|laddr| self.listeners.contains_key(&(*laddr, lport)));
            if let Some(listener) =
                listener.and_then(|laddr| self.listeners.get_mut(&(laddr, lport)))
            {
                listener.half_open += half_open;
            }
        }
        let mut listeners: Vec<Listener> = self
            .listeners
            .into_values()
            .filter(|listener| listener.waiting + listener.half_open > 0)
            .collect();
        let fullness = |one: &Listener| {
            (
                one.waiting.max(one.half_open) * 100 / one.limit.max(1),
                one.waiting,
            )
        };
        listeners.sort_by_key(|one| (Reverse(one.full), Reverse(fullness(one)), one.lport));
        listeners.truncate(MOST);
        let destinations = most(self.destinations, |(ports, _)| *ports);
        let mut states = self.states;
        for (state, peers) in states.iter_mut().zip(self.peers) {
            state.peers = most(peers, |sockets| *sockets);
        }
        Sockets {
            states,
            destinations: destinations
                .into_iter()
                .map(|((laddr, raddr, rport), (ports, time_wait))| Destination {
                    laddr,
                    raddr,
                    rport,
                    ports,
                    time_wait,
                })
                .collect(),
            listeners,
        }
    }
}

/// How often a socket must have sent the same again to count as unanswered: a SYN or SYN-ACK has waited a second before
/// the first time; elsewhere the first may follow a single lost segment.
fn patience(state: TcpState) -> u8 {
    match state {
        TcpState::SynSent | TcpState::SynRecv => 1,
        _ => 2,
    }
}

/// The entries with the highest numbers, highest first.
fn most<K: Ord + Copy, V>(all: HashMap<K, V>, number: impl Fn(&V) -> u64) -> Vec<(K, V)> {
    let mut all: Vec<(K, V)> = all.into_iter().collect();
    all.sort_by_key(|(key, value)| (Reverse(number(value)), *key));
    all.truncate(MOST);
    all
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sockdiag::each::Quiet;

    const HERE: [u8; 4] = [10, 0, 0, 1];
    const THERE: [u8; 4] = [10, 0, 0, 2];

    fn socket(state: TcpState, lport: u16, rport: u16) -> Socket {
        Socket {
            state,
            laddr: HERE.into(),
            lport,
            raddr: THERE.into(),
            rport,
            is_open: true,
            timer: None,
            recv_queue: 0,
            send_queue: 0,
            quiet: None,
        }
    }

    fn sockets(all: &[Socket]) -> Sockets {
        let mut gathered = Gathered::default();
        for socket in all {
            gathered.see(socket, |port| port >= 1000);
        }
        gathered.sockets()
    }

    #[test]
    fn a_socket_is_unanswered_after_enough_repetitions() {
        let again = |state, times| Socket {
            timer: Some(Timer::Retransmit(Duration::ZERO, times)),
            ..socket(state, 80, 5000)
        };
        let seen = sockets(&[
            again(TcpState::SynSent, 0),
            again(TcpState::SynSent, 1),
            again(TcpState::FinWait1, 1),
            again(TcpState::FinWait1, 2),
            again(TcpState::FinWait1, 3),
        ]);
        assert_eq!(seen.of(TcpState::SynSent).unanswered, 1);
        let fin_wait1 = seen.of(TcpState::FinWait1);
        assert_eq!((fin_wait1.sockets, fin_wait1.unanswered), (3, 2));
        assert_eq!(fin_wait1.peers, [(THERE.into(), 2)]);
    }

    #[test]
    fn ports_are_counted_by_destination() {
        let seen = sockets(&[
            socket(TcpState::Established, 1000, 443),
            socket(TcpState::TimeWait, 1001, 443),
            socket(TcpState::Established, 1000, 80),
            socket(TcpState::Established, 999, 443), // not one that the kernel chooses
        ]);
        let first = &seen.destinations[0];
        assert_eq!((first.rport, first.ports, first.time_wait), (443, 2, 1));
        assert_eq!(seen.destinations.len(), 2);
    }

    #[test]
    fn quiet_sockets_are_lasting_or_idle() {
        let quiet = |state, ms, timer| Socket {
            timer,
            quiet: Some(Quiet {
                sent_ms: ms,
                received_ms: ms,
                acknowledged_ms: ms,
            }),
            ..socket(state, 80, 5000)
        };
        let hours = u32::try_from(IDLE_MS).unwrap();
        let seen = sockets(&[
            quiet(TcpState::CloseWait, 4_999, None),
            quiet(TcpState::CloseWait, 5_000, None),
            quiet(TcpState::Established, hours, None),
            quiet(
                TcpState::Established,
                hours,
                Some(Timer::KeepAlive(Duration::ZERO)),
            ),
            quiet(TcpState::Established, hours - 1, None),
        ]);
        assert_eq!(seen.of(TcpState::CloseWait).lasting, 1);
        let established = seen.of(TcpState::Established);
        assert_eq!(
            (established.idle, established.keepalive, established.lasting),
            (1, 1, 0)
        );
    }

    #[test]
    fn half_open_connections_belong_to_the_nearest_listener() {
        let listener = |laddr: IpAddr, waiting, limit| Socket {
            laddr,
            recv_queue: waiting,
            send_queue: limit,
            ..socket(TcpState::Listen, 80, 0)
        };
        let anywhere = IpAddr::from([0_u16; 8]);
        let half_open = socket(TcpState::SynRecv, 80, 5000);
        let seen = sockets(&[listener(anywhere, 0, 5), half_open.clone()]);
        assert_eq!(seen.listeners[0].half_open, 1, "of a dual-stack listener");
        let seen = sockets(&[
            listener(anywhere, 0, 5),
            listener(HERE.into(), 2, 1),
            listener(HERE.into(), 1, 1), // shares the port
            half_open,
        ]);
        let [one] = &seen.listeners[..] else {
            panic!("{seen:#?}")
        };
        assert_eq!(
            (one.waiting, one.limit, one.full, one.half_open),
            (3, 2, 1, 1)
        );
    }
}
