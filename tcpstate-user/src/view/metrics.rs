//! `serve`: the view that counts for Prometheus. It counts transitions and dwell times as they come, and hands a
//! snapshot of everything to whoever asks for one; asking, rendering and sending are the server's, on its own thread.
//!
//! Invariant: no counter ever goes back.
mod dwell;
mod families;
pub(crate) mod negotiate;
mod openmetrics;
mod overflows;
pub(crate) mod ports;
mod process;
mod server;
mod snapshot;
mod states;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    ops::ControlFlow,
    task::{Context, Poll},
    time::Instant,
};

use tokio::sync::{mpsc, oneshot};

use self::{
    dwell::Dwell,
    ports::{Destinations, USED_EVERY},
};
pub use self::{
    dwell::{BadBuckets, Buckets},
    overflows::Followed,
    server::Server,
    snapshot::Snapshot,
};
use super::{Moment, View};
use crate::{
    about::About,
    sink::Output,
    source::Lost,
    summary::Tally,
    tcp::{Reason, TcpState, Transition},
    tracker::StillOpen,
};

/// Somebody who waits for a snapshot.
pub type Wish = oneshot::Sender<Snapshot>;

/// Connections that ended, by the state in which they did and the reason.
pub type Ended = BTreeMap<(TcpState, Reason), u64>;

/// The view.
pub struct Metrics {
    /// Where the server listens, to be said once the measurement begins.
    announce: Option<SocketAddr>,
    wishes: mpsc::Receiver<Wish>,
    /// Those to answer at the next moment.
    waiting: Vec<Wish>,
    /// The server has gone: nobody will ask any more.
    deserted: bool,
    transitions: Tally,
    ended: Ended,
    dwell: Dwell,
    /// How mini-sockets are followed.
    probes: String,
    /// The most that was ever lost, by cause.
    lost: Lost,
    destinations: Destinations,
    /// When the use of ephemeral ports was last looked at, and the most that one destination took.
    used: Option<(Instant, u64)>,
}

impl Metrics {
    /// A view that answers `wishes`, with dwell times in `buckets` and the ephemeral ports of the network namespace
    /// with the inode `netns`.
    #[must_use]
    pub fn new(wishes: mpsc::Receiver<Wish>, buckets: &Buckets, netns: u32) -> Self {
        Self {
            announce: None,
            wishes,
            waiting: Vec::new(),
            deserted: false,
            transitions: Tally::default(),
            ended: Ended::new(),
            dwell: Dwell::new(buckets),
            probes: String::new(),
            lost: Lost::default(),
            destinations: Destinations::of(netns),
            used: None,
        }
    }

    /// Says on stderr that it is served at `address` once the measurement begins.
    #[must_use]
    pub fn announce(self, address: SocketAddr) -> Self {
        Self {
            announce: Some(address),
            ..self
        }
    }

    fn snapshot(&mut self, moment: &Moment<'_>) -> Snapshot {
        let begun = Instant::now();
        let (open, max_used) = self.walk(moment, begun);
        self.lost = self.lost.max(moment.lost);
        Snapshot {
            sockets: open.map(|open| open.sockets),
            oldest_ns: open.map(|open| open.oldest_ns),
            drift: moment.tracker.drift(),
            transitions: self.transitions.clone(),
            ended: self.ended.clone(),
            dwell: self.dwell.clone(),
            lost: self.lost,
            max_used,
            probes: self.probes.clone(),
            programs: moment.programs.clone(),
            taken: begun,
            cost: begun.elapsed(),
        }
    }

    /// One walk over the open connections for everything that needs one. Returns the sockets in each state and the most
    /// ephemeral ports that one destination takes.
    fn walk(&mut self, moment: &Moment<'_>, now: Instant) -> ([StillOpen; 12], u64) {
        if let Some((when, used)) = self.used
            && now.duration_since(when) < USED_EVERY
        {
            return (moment.tracker.still_open(moment.now_ns), used);
        }
        let mut open = [StillOpen::default(); 12];
        for connection in moment.tracker.open() {
            open[connection.state.index()].add(&connection, moment.now_ns);
            self.destinations.add(&connection);
        }
        let used = self.destinations.take_most();
        self.used = Some((now, used));
        (open, used)
    }
}

impl View for Metrics {
    fn begin(&mut self, _output: &mut Output) {
        if let Some(address) = self.announce {
            eprintln!("tcpstate: serving http://{address}/metrics");
        }
    }

    fn ready(&mut self, about: &About, _moment: &mut Moment<'_>) {
        self.probes.clone_from(&about.tier);
    }

    fn transition(&mut self, _seq: u64, transition: &Transition, _output: &mut Output) -> bool {
        self.transitions.count(transition);
        self.dwell.transition(transition);
        if let Some(reason) = transition.reason {
            *self.ended.entry((transition.from, reason)).or_default() += 1;
        }
        true
    }

    fn poll_wish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wishes.poll_recv(cx).map(|wish| match wish {
            Some(wish) => self.waiting.push(wish),
            None => self.deserted = true,
        })
    }

    fn interval(&mut self, moment: &mut Moment<'_>, _output: &mut Output) -> ControlFlow<()> {
        if self.deserted {
            return ControlFlow::Break(());
        }
        while let Ok(wish) = self.wishes.try_recv() {
            self.waiting.push(wish);
        }
        // One snapshot for all that came meanwhile. One that has given up waiting needs none.
        self.waiting.retain(|wish| !wish.is_closed());
        if !self.waiting.is_empty() {
            let snapshot = self.snapshot(moment);
            for wish in self.waiting.drain(..) {
                let _ = wish.send(snapshot.clone());
            }
        }
        ControlFlow::Continue(())
    }
}
