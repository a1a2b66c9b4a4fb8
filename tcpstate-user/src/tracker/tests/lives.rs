//! Lives of connections as the kernel tells them, and stories in which several are told at once.
//!
//! A life is a list of events; those that the kernel reports within microseconds of each other are joined. Lives that
//! share a slot follow one another at the same kernel addresses. A story interleaves the slots.
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    fact::{Cause, Fact, FactKind, Opened},
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
struct Event {
    object: u64,
    tuple: Tuple,
    kind: FactKind,
    /// The effective transition that it is.
    effect: Option<(TcpState, TcpState)>,
    /// The next event follows at once.
    joined: bool,
    /// The object and state in which the connection lives after it.
    alive: Option<(u64, TcpState)>,
}

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Life {
    /// With the ports it has in the end. The remote address is nobody else's.
    pub(super) tuple: Tuple,
    pub(super) cookie: u64,
    events: Vec<Event>,
}

impl Life {
    fn new(number: usize, slot: usize, shape: Shape) -> Self {
        let n = u16::try_from(number).expect("few lives");
        let (laddr, raddr): (IpAddr, IpAddr) = if shape.ipv6 {
            let at = |last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into();
            (at(1), at(0x100 + n))
        } else {
            let [high, low] = n.to_be_bytes();
            (Ipv4Addr::new(10, 0, 0, 1).into(), Ipv4Addr::new(10, 1, high, low).into())
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
        let unbound = Tuple { lport: None, ..self.tuple };
        let mut listeners = Tuple {
            raddr: self.tuple.laddr,
            rport: 0,
            ..self.tuple
        };
        match shape.opening {
            Opening::Client | Opening::Unroutable => {
                self.full(full, Close, SynSent);
                self.events[0].tuple = unbound;
                let next = if shape.opening == Opening::Client { Established } else { Close };
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
                let first = if shape.closing == Closing::Together { TimeWait } else { FinWait2 };
                self.hand_over(slot, FinWait2, first);
                if shape.closing == Closing::Active {
                    let substate = TimeWait;
                    let entered = FactKind::TimewaitSubstate { substate };
                    self.mini(0x2000 + slot, entered, Some((FinWait2, TimeWait)), Some(TimeWait));
                    self.mini(0x2000 + slot, entered, None, Some(TimeWait)); // started again
                }
                let last = if shape.closing == Closing::Abandoned { FinWait2 } else { TimeWait };
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
        self.mini(timewait, FactKind::TimewaitCreated { substate }, effect, None);
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
                opened: says_more.then_some(Opened {
                    cookie: self.cookie,
                    owner: None,
                }),
            },
            effect: (old != new).then_some((old, new)),
            joined: false,
            alive: (new != Close).then_some((object, new)),
        });
    }

    fn mini(&mut self, object: u64, kind: FactKind, effect: Option<(TcpState, TcpState)>, state: Option<TcpState>) {
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

/// A fact of a story.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) fact: Fact,
    pub(super) life: usize,
    /// The effective transition that it is.
    pub(super) effect: Option<(TcpState, TcpState)>,
    /// Nothing that belongs together is half told.
    pub(super) quiet: bool,
    alive: Option<(u64, TcpState)>,
}

/// Lives told at once.
#[derive(Clone)]
pub(super) struct Story {
    pub(super) lives: Vec<Life>,
    pub(super) told: Vec<Told>,
}

impl Story {
    /// What lives after the first `told` facts: address, life and state.
    pub(super) fn alive(&self, told: usize) -> Vec<(u64, usize, TcpState)> {
        let mut last = vec![None; self.lives.len()];
        for told in &self.told[..told] {
            last[told.life] = told.alive;
        }
        let alive = last.into_iter().enumerate();
        alive
            .filter_map(|(life, alive)| alive.map(|(object, state)| (object, life, state)))
            .collect()
    }

    /// When `life` entered `state`.
    pub(super) fn entered(&self, life: usize, state: TcpState) -> Option<u64> {
        self.told
            .iter()
            .find(|told| told.life == life && told.effect.is_some_and(|(_, to)| to == state))
            .map(|told| told.fact.time_ns)
    }

    fn new(slots: Vec<Vec<Shape>>, picks: &[(usize, u64)]) -> Self {
        let mut lives = Vec::new();
        // What each slot has yet to tell, last first.
        let mut queues: Vec<Vec<(usize, Event)>> = Vec::new();
        for (slot, shapes) in slots.into_iter().enumerate() {
            let mut queue = Vec::new();
            for shape in shapes {
                let life = Life::new(lives.len(), slot, shape);
                queue.extend(life.events.iter().map(|event| (lives.len(), event.clone())));
                lives.push(life);
            }
            queue.reverse();
            queues.push(queue);
        }
        let mut told = Vec::new();
        let mut time_ns = 1_000_000_000;
        let mut half_told = vec![false; queues.len()];
        for (pick, gap_ns) in picks {
            let slot = pick % queues.len();
            let Some((life, event)) = queues[slot].pop() else {
                continue;
            };
            // What belongs together is not torn apart by a long pause, only by others.
            time_ns += if half_told.contains(&true) { 1 + gap_ns % 1000 } else { *gap_ns };
            half_told[slot] = event.joined;
            told.push(Told {
                fact: Fact {
                    time_ns,
                    cpu: 0,
                    object: event.object,
                    netns: NETNS,
                    tuple: event.tuple,
                    kind: event.kind,
                },
                life,
                effect: event.effect,
                quiet: !half_told.contains(&true),
                alive: event.alive,
            });
        }
        // It may stop anywhere, but not in the middle of what belongs together.
        while told.last().is_some_and(|told: &Told| !told.quiet) {
            told.pop();
        }
        Self { lives, told }
    }
}

/// A line a fact, so that a failing story can be read.
impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for (number, told) in self.told.iter().enumerate() {
            let Fact { time_ns, object, tuple, kind, .. } = &told.fact;
            let what = match kind {
                FactKind::Transition { old, new, .. } => format!("{old} -> {new}"),
                other => format!("{other:?}"),
            };
            let remote = tuple.raddr;
            let life = told.life;
            writeln!(f, "{number:3} {time_ns:>13} life {life} {object:x} {remote} {what}")?;
        }
        Ok(())
    }
}

fn shape() -> impl Strategy<Value = Shape> {
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

/// Any story.
pub(super) fn story() -> impl Strategy<Value = Story> {
    // From the next nanosecond to a whole TIME_WAIT later.
    let gap_ns = prop_oneof![1..1000_u64, 1_000_000..50_000_000_u64, 1_000_000_000..60_000_000_000_u64];
    (vec(vec(shape(), 1..4), 1..5), vec((0..64_usize, gap_ns), 1..120))
        .prop_map(|(slots, picks)| Story::new(slots, &picks))
}
