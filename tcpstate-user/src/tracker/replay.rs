//! Replay: transitions of a recording instead of facts. They pass the same selection and keep the same table, counts
//! and rates, so that a view cannot tell a recording from a measurement. Connections are known by their serial.
use hashbrown::HashMap;

use super::{Connection, Open, Standing, Tracker};
use crate::tcp::{TcpState, Transition};

/// What only a replay needs.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// A recording is replayed: the table's keys are serials.
    pub(super) runs: bool,
    /// Opening transitions that wait for a local port, as the selection asks for one.
    held: HashMap<u64, Transition>,
}

impl Tracker {
    /// Takes a socket that a recording says there is, or, in `CLOSE`, is there no more.
    pub fn replay_socket(&mut self, socket: &Open, out: &mut (impl FnMut(&Transition) + ?Sized)) {
        self.replay.runs = true;
        let serial = socket.id.serial;
        let known = self.remove(serial);
        if let (TcpState::Close, Some(known)) = (socket.state, &known) {
            self.owners.forget(known);
        }
        if socket.state == TcpState::Close {
            return;
        }
        let mut connection = followed(socket, known.map(|known| known.standing));
        if self.admit(&mut connection, out) == Some(true) {
            self.insert(serial, connection);
        }
    }

    /// Takes a recorded transition and gives out what the selection admits, as it does for facts.
    pub fn replay(
        &mut self,
        transition: &Transition,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        self.replay.runs = true;
        if self.replay_in_place(transition, out) {
            return;
        }
        let serial = transition.id.serial;
        let known = self.remove(serial).map(|known| known.standing);
        let held = self.replay.held.remove(&serial);
        let mut connection = Connection {
            bytes: transition.bytes,
            ..followed(&after(transition), known)
        };
        match self.admit(&mut connection, out) {
            Some(false) => return,
            Some(true) => {}
            None => {
                self.replay.held.insert(serial, *transition);
                return;
            }
        }
        if let Some(held) = held {
            let named = Transition {
                tuple: transition.tuple,
                ..held
            };
            self.give(&mut connection, named, out);
        }
        self.give(&mut connection, *transition, out);
        if transition.to != TcpState::Close {
            self.insert(serial, connection);
        }
    }

    /// What most transitions are, the next one of a connection that is followed, is done in its place in the table. False
    /// if this is none of them.
    fn replay_in_place(
        &mut self,
        transition: &Transition,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) -> bool {
        let (from, to) = (transition.from, transition.to);
        if to == TcpState::Close || [from, to].contains(&TcpState::SynRecv) {
            return false;
        }
        let Some(known) = self.connections.get_mut(transition.id.serial) else {
            return false;
        };
        let tuple = transition.tuple.as_ref();
        let admitted = self.config.admits_known(transition.netns, tuple);
        if !known.is_admitted() || known.state == TcpState::SynRecv || admitted != Some(true) {
            return false;
        }
        self.counts[known.state.index()] -= 1;
        self.counts[to.index()] += 1;
        *known = Connection {
            bytes: transition.bytes,
            ..followed(&after(transition), Some(known.standing))
        };
        self.emit(transition, out);
        true
    }

    /// Whether a connection is followed, as far as its tuple tells; then its owner decides.
    fn admit(
        &mut self,
        connection: &mut Connection,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) -> Option<bool> {
        let admitted = self
            .config
            .admits_known(connection.netns, connection.tuple.as_ref());
        if admitted == Some(true) {
            self.decide(connection, false, out);
        }
        admitted
    }
}

/// The socket after a transition.
fn after(transition: &Transition) -> Open {
    Open {
        id: transition.id,
        skaddr: transition.skaddr,
        netns: transition.netns,
        tuple: transition.tuple,
        state: transition.to,
        since_ns: Some(transition.mono_ns),
        seen_ns: transition.mono_ns,
        role: transition.role,
        owner: transition.owner,
        cgroup: transition.cgroup,
        bytes: transition.bytes,
    }
}

/// An entry of the table; `standing` is what the selection has said about it so far.
fn followed(socket: &Open, standing: Option<Standing>) -> Connection {
    Connection {
        id: socket.id,
        state: socket.state,
        since_ns: socket.since_ns,
        estimated: false,
        in_doubt: false,
        seen_ns: socket.seen_ns,
        netns: socket.netns,
        tuple: socket.tuple,
        role: socket.role,
        owner: socket.owner,
        owner_walk: 0,
        cgroup: socket.cgroup,
        bytes: socket.bytes,
        held: None,
        standing: standing.unwrap_or(Standing::Unnamed),
        fate: None,
        walk: 0,
    }
}
