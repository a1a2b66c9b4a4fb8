//! Mini-sockets where functions cannot be traced: turns what happens to their timers into what happens to them.
//!
//! A start is a birth, unless it follows the same timer's cancel at once on the same CPU: then the timer was moved. An
//! expiry is a timewait socket's end; for a request it is the end unless the SYN-ACK is sent again, which starts the
//! timer anew. A cancel that nothing follows is an early end. What follows does so within microseconds, so after
//! [`SETTLE_NS`] a fact without a successor stands. The handler of a timer that runs out is a softirq, which may be
//! preempted on its way: there it is [`EXPIRY_NS`].
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::{
    decode::armed,
    fact::{Cause, Fact, FactKind, TimerEvent, TimerFact},
    tcp::{TcpState, Tuple},
};

#[cfg(test)]
mod tests;

/// After this long nothing that belongs to a cancel can still come, ns.
const SETTLE_NS: u64 = 10_000_000;
/// The same for a timer whose time is up.
const EXPIRY_NS: u64 = 100_000_000;

/// A cancelled or expired timer whose meaning is not settled.
#[derive(Clone, Copy, Debug)]
struct Open {
    fact: Fact,
    timer: TimerFact,
    cause: Cause,
}

/// The interpreter.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// Of timewait sockets; few, as most end by expiring.
    timewaits: HashMap<u64, Open>,
    /// Of request sockets; one for every connection accepted in the last milliseconds.
    requests: HashMap<u64, Open>,
    /// By CPU.
    last: Vec<Last>,
}

/// What the last facts of a CPU were, as far as it matters.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    /// The last fact was the cancel of this timer.
    cancelled: Option<u64>,
    /// The last transition was a connection to this peer that has no local port yet.
    connecting: Option<(u32, IpAddr, u16)>,
}

impl Timers {
    /// Takes one fact and gives what it means to `out`; facts that are not about timers pass through.
    pub(crate) fn apply(&mut self, fact: &Fact, out: &mut dyn FnMut(&Fact)) {
        let cancelled = self.last(fact).cancelled.take();
        match fact.kind {
            FactKind::Timer(timer) => match timer.event {
                TimerEvent::Start => self.start(*fact, timer, cancelled == Some(fact.object), out),
                TimerEvent::Cancel => {
                    self.last(fact).cancelled = Some(fact.object);
                    let cause = self.cancel_cause(fact, timer);
                    self.open(timer).insert(
                        fact.object,
                        Open {
                            fact: *fact,
                            timer,
                            cause,
                        },
                    );
                }
                TimerEvent::Expire => self.expire(*fact, timer, out),
            },
            FactKind::TimewaitSegment { substate, reset } => {
                if let Some(open) = self.timewaits.get_mut(&fact.object).filter(|_| reset) {
                    open.cause = Cause::Reset;
                }
                let kind = FactKind::TimewaitSubstate { substate };
                out(&Fact { kind, ..*fact });
            }
            FactKind::Transition { old, new, .. } => {
                let connects = old == TcpState::Close && new == TcpState::SynSent;
                self.last(fact).connecting = connects.then(|| peer(fact.netns, &fact.tuple));
                out(fact);
            }
            _ => out(fact),
        }
    }

    /// What the last facts of the fact's CPU were.
    fn last(&mut self, fact: &Fact) -> &mut Last {
        let cpu = usize::from(fact.cpu);
        if cpu >= self.last.len() {
            self.last.resize(cpu + 1, Last::default());
        }
        &mut self.last[cpu]
    }

    /// Settles what has been open for long enough at `now_ns`, and gives it to `out` with its own time.
    pub(crate) fn settle(&mut self, now_ns: u64, out: &mut dyn FnMut(&Fact)) {
        let mut settled: Vec<Fact> = Vec::new();
        for open in [&mut self.timewaits, &mut self.requests] {
            open.retain(|_, open| {
                let waits = open.fact.time_ns.saturating_add(open.patience_ns()) > now_ns;
                if !waits {
                    settled.push(open.end());
                }
                waits
            });
        }
        settled.sort_by_key(|fact| fact.time_ns);
        settled.iter().for_each(out);
    }

    fn start(&mut self, fact: Fact, timer: TimerFact, moved: bool, out: &mut dyn FnMut(&Fact)) {
        if let Some(open) = self.open(timer).remove(&fact.object) {
            let goes_on = moved || open.is_retried_by(&fact);
            if goes_on {
                if timer.mini == TcpState::TimeWait {
                    let kind = FactKind::TimewaitSubstate {
                        substate: timer.substate,
                    };
                    out(&Fact { kind, ..fact });
                }
                return;
            }
            out(&open.end()); // it ended, and its memory is used again
        }
        if timer.mini == TcpState::SynRecv {
            self.replaced_by(&fact);
            let kind = FactKind::RequestAdded {
                cookie: 0,
                listener: timer.listener,
            };
            out(&Fact { kind, ..fact });
        } else {
            let kind = FactKind::TimewaitCreated {
                substate: timer.substate,
            };
            out(&Fact { kind, ..fact });
        }
    }

    fn expire(&mut self, fact: Fact, timer: TimerFact, out: &mut dyn FnMut(&Fact)) {
        let open = Open {
            fact,
            timer,
            cause: Cause::Timer,
        };
        if timer.mini == TcpState::TimeWait {
            self.timewaits.remove(&fact.object);
            out(&open.end());
        } else {
            self.requests.insert(fact.object, open);
        }
    }

    fn open(&mut self, timer: TimerFact) -> &mut HashMap<u64, Open> {
        match timer.mini {
            TcpState::TimeWait => &mut self.timewaits,
            _ => &mut self.requests,
        }
    }

    /// Why a timer is taken off, as far as is known at that moment.
    fn cancel_cause(&mut self, fact: &Fact, timer: TimerFact) -> Cause {
        let connects = self.last(fact).connecting == Some(peer(fact.netns, &fact.tuple));
        match timer.mini {
            _ if timer.by_worker => Cause::NetnsGone,
            TcpState::TimeWait if connects => Cause::Reused,
            // Its time was up: the expiry that follows may be late, where the softirq is preempted in between.
            _ if timer.remaining_ns <= 0 => Cause::Timer,
            _ => Cause::Unknown,
        }
    }

    /// A new request with the tuple of a timewait socket that was just taken off is why it was taken off.
    fn replaced_by(&mut self, request: &Fact) {
        for open in self.timewaits.values_mut() {
            if open.cause == Cause::Unknown
                && (open.fact.netns, open.fact.tuple) == (request.netns, request.tuple)
            {
                open.cause = Cause::Reused;
            }
        }
    }
}

fn peer(netns: u32, tuple: &Tuple) -> (u32, IpAddr, u16) {
    (netns, tuple.raddr, tuple.rport)
}

impl Open {
    /// How long what belongs to it may still come, ns.
    fn patience_ns(&self) -> u64 {
        if self.timer.remaining_ns <= 0 {
            EXPIRY_NS
        } else {
            SETTLE_NS
        }
    }

    /// Whether `start` is the handler of a request's timer that sends the SYN-ACK again, and not another request in the
    /// memory of this one: the handler stays on its CPU.
    fn is_retried_by(&self, start: &Fact) -> bool {
        self.timer.mini == TcpState::SynRecv
            && self.timer.event == TimerEvent::Expire
            && (self.fact.cpu, self.fact.netns, self.fact.tuple)
                == (start.cpu, start.netns, start.tuple)
    }

    /// The end that this stands for.
    fn end(&self) -> Fact {
        let kind = if self.timer.mini == TcpState::TimeWait {
            FactKind::TimewaitEnded {
                substate: self.timer.substate,
                cause: self.cause,
                armed_ns: (self.timer.substate == TcpState::TimeWait)
                    .then(|| armed(self.fact.time_ns, self.timer.remaining_ns)),
            }
        } else {
            FactKind::RequestEnded { cause: self.cause }
        };
        Fact { kind, ..self.fact }
    }
}
