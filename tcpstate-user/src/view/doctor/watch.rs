//! The measurement of `doctor`: shows nothing while it runs, and keeps what the rules want to know of each namespace.
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::{
    doctor::evidence::{Finished, Held, LASTING_MS, MOST, Measured, Sojourn, Space},
    dwell::Dwell,
    places::Places,
    sink::{Output, printable},
    tcp::{Owner, OwnerSource, TcpState, Transition},
    tracker::Open,
    view::{
        Moment, View,
        holders::{Holder, Holders, holders_of},
    },
};

/// Command lines are cut after so many characters.
const COMMAND: usize = 120;

/// The view.
#[derive(Default)]
pub struct Watch {
    flows: HashMap<u32, Flow>,
    measured: HashMap<u32, Measured>,
    /// Owners of listening sockets, by namespace, address and port.
    listeners: HashMap<(u32, IpAddr, u16), String>,
}

/// What happened in a namespace.
#[derive(Default)]
struct Flow {
    dwell: Dwell,
    entered: [u64; 12],
}

impl Watch {
    /// A view that will tell about these namespaces.
    #[must_use]
    pub fn new(inodes: impl IntoIterator<Item = u32>) -> Self {
        let flows = inodes.into_iter().map(|inode| (inode, Flow::default()));
        Self {
            flows: flows.collect(),
            ..Self::default()
        }
    }

    /// Adds what was measured to the evidence of a namespace.
    pub fn complete(&mut self, space: &mut Space) {
        space.measured = self.measured.remove(&space.netns);
        let listeners = space.sockets.iter_mut().flat_map(|all| &mut all.listeners);
        for listener in listeners {
            let key = (space.netns, listener.laddr, listener.lport);
            listener.owner = self.listeners.get(&key).cloned();
        }
    }
}

impl View for Watch {
    fn transition(&mut self, _seq: u64, transition: &Transition, _output: &mut Output) -> bool {
        if let Some(flow) = self.flows.get_mut(&transition.netns) {
            flow.dwell.transition(transition);
            flow.entered[transition.to.index()] += 1;
        }
        true
    }

    fn shows_holders(&self) -> bool {
        true
    }

    fn finish(&mut self, moment: &mut Moment<'_>, _output: &mut Output) {
        let now_ns = moment.now_ns;
        let span_ms = now_ns.saturating_sub(moment.start_ns) / 1_000_000;
        for (inode, flow) in &self.flows {
            let all = moment.tracker.open().filter(|open| open.netns == *inode);
            let mut states: [Sojourn; 12] = Default::default();
            for open in all {
                let state = &mut states[open.state.index()];
                state.sockets += 1;
                state.lasting += u64::from(has_lasted(&open, now_ns, LASTING_MS));
            }
            let all = moment.tracker.open().filter(|open| open.netns == *inode);
            // A short measurement names those that were there for most of it.
            let held = all
                .filter(|open| {
                    let passing = open.state == TcpState::CloseWait;
                    !passing || has_lasted(open, now_ns, LASTING_MS.min(span_ms / 2))
                })
                .map(without_hint);
            let holders = holders_of(held, now_ns);
            for (index, holders) in holders.iter().enumerate() {
                let state = &mut states[index];
                state.holders = told(holders, moment.places);
                state.other_holders = holders.others as u64;
            }
            for state in TcpState::live() {
                states[state.index()].entered = flow.entered[state.index()];
                states[state.index()].finished = finished(&flow.dwell, state);
            }
            let measured = Measured {
                span_ms,
                lost: moment.lost.total(),
                states,
            };
            self.measured.insert(*inode, measured);
        }
        let listening = moment
            .tracker
            .open()
            .filter(|open| open.state == TcpState::Listen);
        for open in listening {
            if let (Some(tuple), Some(owner)) = (open.tuple, open.owner)
                && let Some(lport) = tuple.lport
            {
                let key = (open.netns, tuple.laddr, lport);
                self.listeners.insert(key, name(&owner));
            }
        }
    }
}

fn has_lasted(open: &Open, now_ns: u64, least_ms: u64) -> bool {
    let (age_ns, _) = open.age(now_ns);
    age_ns / 1_000_000 >= least_ms
}

/// What is only guessed from the listener names nobody: another process may have accepted the socket.
fn without_hint(mut open: Open) -> Open {
    let is_hint = |owner: &Owner| owner.source == OwnerSource::Listen;
    if open.state != TcpState::Listen && open.owner.as_ref().is_some_and(is_hint) {
        open.owner = None;
    }
    open
}

fn name(owner: &Owner) -> String {
    format!("{}[{}]", printable(owner.comm.bytes()), owner.pid)
}

fn told(holders: &Holders, places: &Places) -> Vec<Held> {
    holders
        .first
        .iter()
        .map(|holder| held(holder, places))
        .collect()
}

fn held(holder: &Holder, places: &Places) -> Held {
    let owner = holder.owner;
    let command_line = owner.and_then(|owner| places.command_line(owner.pid));
    Held {
        pid: owner.map(|owner| owner.pid),
        comm: owner.map(|owner| printable(owner.comm.bytes())),
        command_line: command_line
            .map(|text| printable(text.as_bytes()).chars().take(COMMAND).collect()),
        sockets: holder.open.sockets,
        oldest_ms: holder.open.oldest_ns.unwrap_or(0) / 1_000_000,
        exact: holder.open.unknown_age == 0,
        peers: holder.peers.iter().take(MOST).copied().collect(),
        other_peers: holder
            .peers_in_all
            .saturating_sub(holder.peers.len().min(MOST)) as u64,
    }
}

fn finished(dwell: &Dwell, state: TcpState) -> Option<Finished> {
    let stays = dwell.histogram(state);
    (!stays.is_empty()).then(|| Finished {
        count: stays.len(),
        p50_us: stays.value_at_quantile(0.5),
        p99_us: stays.value_at_quantile(0.99),
        max_us: stays.max(),
    })
}
