//! Lives of connections as the kernel tells them: lists of events. Those that the kernel reports within microseconds of
//! each other are joined.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::{prelude::*, sample::select};

use crate::{
    fact::{Cause, Details, FactKind},
    tcp::{
        TcpState::{self, *},
        Tuple,
    },
};

/// The namespace of every life.
pub(super) const NETNS: u32 = 4_026_531_840;

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Opening {
    Client,
    /// Ends before it has a local port.
    Unroutable,
    /// Through the listen queue; `true`: the child shows its own tuple at once (since 6.16).
    Request(bool),
    /// With a SYN cookie: nothing but the child.
    Cookie(bool),
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Closing {
    /// This end first; the peer's FIN finds the mini-socket.
    Active,
    /// This end first; the peer's FIN finds the full socket.
    Together,
    /// This end first; the peer never closes.
    Abandoned,
    Simultaneous,
    Passive,
    Reset,
}

/// What a life is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) opening: Opening,
    pub(super) closing: Closing,
    /// The kernel also reports transitions to the same state.
    pub(super) selfs: bool,
    pub(super) ipv6: bool,
    pub(super) lport: u16,
    pub(super) rport: u16,
}

/// One event of a life.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) object: u64,
    pub(super) tuple: Tuple,
    pub(super) kind: FactKind,
    /// The effective transition that it is.
    pub(super) effect: Option<(TcpState, TcpState)>,
    /// The next event follows at once.
    pub(super) joined: bool,
    /// The object and state in which the connection lives after it.
    pub(super) alive: Option<(u64, TcpState)>,
}

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Life {
    /// With the ports it has in the end. The remote address is nobody else's.
    pub(super) tuple: Tuple,
    pub(super) cookie: u64,
    pub(super) events: Vec<Event>,
}

impl Life {
    pub(super) fn new(number: usize, slot: usize, shape: Shape) -> Self {
        let n = u16::try_from(number).expect("few lives");
        let (laddr, raddr): (IpAddr, IpAddr) = if shape.ipv6 {
            let at = |last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into();
            (at(1), at(0x100 + n))
        } else {
            let [high, low] = n.to_be_bytes();
            (
                Ipv4Addr::new(10, 0, 0, 1).into(),
                Ipv4Addr::new(10, 1, high, low).into(),
            )
        };
        let unroutable = shape.opening == Opening::Unroutable;
        let mut life = Self {
            tuple: Tuple {
                laddr,
                lport: (!unroutable).then_some(shape.lport),
                raddr,
                rport: shape.rport,
            },
            cookie: number as u64 + 1,
            events: Vec::new(),
        };
        life.open(slot as u64, shape);
        if !unroutable {
            life.close(slot as u64, shape);
        }
        life
    }

    fn open(&mut self, slot: u64, shape: Shape) {
        let (full, request) = (0x1000 + slot, 0x3000 + slot);
        let unbound = Tuple {
            lport: None,
            ..self.tuple
        };
        let mut listeners = Tuple {
            raddr: self.tuple.laddr,
            rport: 0,
            ..self.tuple
        };
        match shape.opening {
            Opening::Client | Opening::Unroutable => {
                self.full(full, Close, SynSent);
                self.events[0].tuple = unbound;
                let next = if shape.opening == Opening::Client {
                    Established
                } else {
                    Close
                };
                self.full(full, SynSent, next);
            }
            Opening::Request(own) | Opening::Cookie(own) => {
                if own {
                    listeners = self.tuple;
                }
                let half_open = matches!(shape.opening, Opening::Request(_));
                if half_open {
                    let added = FactKind::RequestAdded {
                        cookie: self.cookie,
                        listener: 0x4000,
                    };
                    self.mini(request, added, Some((Listen, SynRecv)), Some(SynRecv));
                }
                self.full(full, Listen, SynRecv);
                let child = self.events.last_mut().expect("the child");
                child.joined = true;
                child.tuple = listeners;
                if half_open {
                    (child.effect, child.alive) = (None, Some((request, SynRecv)));
                }
                self.full(full, SynRecv, Established);
                if half_open {
                    // Freed when it is accepted.
                    let cause = Cause::Unknown;
                    self.mini(request, FactKind::RequestEnded { cause }, None, None);
                    self.events.last_mut().expect("its end").alive = Some((full, Established));
                }
            }
        }
    }

    fn close(&mut self, slot: u64, shape: Shape) {
        let full = 0x1000 + slot;
        match shape.closing {
            Closing::Active | Closing::Together | Closing::Abandoned => {
                self.full(full, Established, FinWait1);
                if shape.selfs {
                    self.full(full, FinWait1, FinWait1);
                }
                self.full(full, FinWait1, FinWait2);
                if shape.selfs {
                    self.full(full, FinWait2, FinWait2);
                }
                let first = if shape.closing == Closing::Together {
                    TimeWait
                } else {
                    FinWait2
                };
                self.hand_over(slot, FinWait2, first);
                if shape.closing == Closing::Active {
                    let substate = TimeWait;
                    let entered = FactKind::TimewaitSubstate { substate };
                    self.mini(
                        0x2000 + slot,
                        entered,
                        Some((FinWait2, TimeWait)),
                        Some(TimeWait),
                    );
                    self.mini(0x2000 + slot, entered, None, Some(TimeWait)); // started again
                }
                let last = if shape.closing == Closing::Abandoned {
                    FinWait2
                } else {
                    TimeWait
                };
                self.expire(slot, last);
            }
            Closing::Simultaneous => {
                self.full(full, Established, FinWait1);
                self.full(full, FinWait1, Closing);
                self.hand_over(slot, Closing, TimeWait);
                self.expire(slot, TimeWait);
            }
            Closing::Passive => {
                self.full(full, Established, CloseWait);
                self.full(full, CloseWait, LastAck);
                if shape.selfs {
                    self.full(full, LastAck, LastAck);
                }
                self.full(full, LastAck, Close);
            }
            Closing::Reset => self.full(full, Established, Close),
        }
    }

    /// A timewait socket in `substate` takes over from the full socket in `state`.
    fn hand_over(&mut self, slot: u64, state: TcpState, substate: TcpState) {
        let (full, timewait) = (0x1000 + slot, 0x2000 + slot);
        let effect = (state != substate).then_some((state, substate));
        self.mini(
            timewait,
            FactKind::TimewaitCreated { substate },
            effect,
            None,
        );
        let created = self.events.last_mut().expect("it was created");
        (created.joined, created.alive) = (true, Some((full, state)));
        self.full(full, state, Close);
        let closed = self.events.last_mut().expect("the full socket closed");
        (closed.effect, closed.alive) = (None, Some((timewait, substate)));
    }

    fn expire(&mut self, slot: u64, substate: TcpState) {
        let ended = FactKind::TimewaitEnded {
            substate,
            cause: Cause::Timer,
            armed_ns: None,
        };
        self.mini(0x2000 + slot, ended, Some((substate, Close)), None);
    }

    fn full(&mut self, object: u64, old: TcpState, new: TcpState) {
        let says_more = old == SynRecv || (old == Close && new == SynSent);
        self.events.push(Event {
            object,
            tuple: self.tuple,
            kind: FactKind::Transition {
                old,
                new,
                error: 0,
                stillborn: false,
                details: says_more.then_some(Details {
                    cookie: self.cookie,
                    owner: None,
                    ..Details::default()
                }),
            },
            effect: (old != new).then_some((old, new)),
            joined: false,
            alive: (new != Close).then_some((object, new)),
        });
    }

    fn mini(
        &mut self,
        object: u64,
        kind: FactKind,
        effect: Option<(TcpState, TcpState)>,
        state: Option<TcpState>,
    ) {
        self.events.push(Event {
            object,
            tuple: self.tuple,
            kind,
            effect,
            joined: false,
            alive: state.map(|state| (object, state)),
        });
    }
}

/// Any life's shape.
pub(super) fn shape() -> impl Strategy<Value = Shape> {
    let opening = prop_oneof![
        3 => Just(Opening::Client),
        1 => Just(Opening::Unroutable),
        3 => any::<bool>().prop_map(Opening::Request),
        2 => any::<bool>().prop_map(Opening::Cookie),
    ];
    let closing = select(&[
        Closing::Active,
        Closing::Together,
        Closing::Abandoned,
        Closing::Simultaneous,
        Closing::Passive,
        Closing::Reset,
    ]);
    let ports = (select(&[80, 443, 40_000]), select(&[80, 443, 50_000]));
    (opening, closing, any::<bool>(), any::<bool>(), ports).prop_map(
        |(opening, closing, selfs, ipv6, (lport, rport))| Shape {
            opening,
            closing,
            selfs,
            ipv6,
            lport,
            rport,
        },
    )
}
