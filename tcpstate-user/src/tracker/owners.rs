//! Owners: who a socket belongs to, as facts tell, and connections that wait until that decides whether they are
//! followed. The tuple decides first; a filter on the owner or the cgroup may have to wait for `accept`.
//!
//! Invariant: a connection that waits is in the table but not admitted, so no number counts it, and its transitions
//! wait with it; they come out when it is admitted, or never.
use hashbrown::{HashMap, HashSet};

use super::{Connection, Standing, Tracker};
use crate::{
    fact::{Details, Fact},
    tcp::{Owner, OwnerSource, Role, Transition, Tuple},
};

/// A listening socket, followed whatever the filters, as its children belong to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listener {
    netns: u32,
    tuple: Tuple,
    owner: Option<Owner>,
    cgroup: Option<u64>,
    /// When it was last said that it listens, monotonic, ns.
    seen_ns: u64,
    /// The last walk that found `owner` to hold it.
    owner_walk: u32,
}

/// What is known about owners beside the connections.
#[derive(Debug, Default)]
pub(super) struct Owners {
    listeners: HashMap<u64, Listener>,
    /// Addresses of the listeners at each port of each namespace.
    ports: HashMap<(u32, Option<u16>), Vec<u64>>,
    /// Transitions of connections that wait for their owner, by the connections' serial numbers.
    pub(super) waiting: HashMap<u64, Vec<Transition>>,
    /// Sockets that the walk which runs has found held by others than their owner, but not by that one.
    others: HashMap<u64, Owner>,
}

impl Owners {
    /// A walk over the open files begins.
    pub(super) fn walk_begins(&mut self) {
        self.others.clear();
    }

    /// Keeps a transition of a connection that waits.
    pub(super) fn wait(&mut self, transition: Transition) {
        self.waiting
            .entry(transition.id.serial)
            .or_default()
            .push(transition);
    }

    /// A connection is gone, and what waited with it.
    pub(super) fn forget(&mut self, connection: &Connection) {
        if connection.standing == Standing::Ownerless {
            self.waiting.remove(&connection.id.serial);
        }
    }

    /// What the walk has found out about the socket at this address is outdated.
    pub(super) fn outdate(&mut self, object: u64) {
        if !self.others.is_empty() {
            self.others.remove(&object);
        }
    }

    fn insert(&mut self, object: u64, listener: Listener) {
        self.remove(object);
        let key = (listener.netns, listener.tuple.lport);
        self.ports.entry(key).or_default().push(object);
        self.listeners.insert(object, listener);
    }

    fn remove(&mut self, object: u64) -> Option<Listener> {
        let listener = self.listeners.remove(&object)?;
        let key = (listener.netns, listener.tuple.lport);
        if let Some(objects) = self.ports.get_mut(&key) {
            objects.retain(|other| *other != object);
            if objects.is_empty() {
                self.ports.remove(&key);
            }
        }
        Some(listener)
    }

    fn of_tuple(&self, netns: u32, tuple: &Tuple) -> Option<Listener> {
        let objects = self.ports.get(&(netns, tuple.lport))?;
        let mut matching = objects
            .iter()
            .filter_map(|object| self.listeners.get(object))
            .filter(|listener| {
                listener.tuple.laddr.is_unspecified() || listener.tuple.laddr == tuple.laddr
            });
        let first = *matching.next()?;
        // Several may listen on one port: then nobody knows whose child it is, unless they belong together.
        matching
            .all(|other| {
                other.owner.map(|owner| owner.pid) == first.owner.map(|owner| owner.pid)
                    && other.cgroup == first.cgroup
            })
            .then_some(first)
    }
}

impl Tracker {
    /// A socket listens, or is met listening.
    pub(super) fn listens(&mut self, fact: &Fact, owner: Option<Owner>, cgroup: Option<u64>) {
        let known = self.owners.listeners.get(&fact.object);
        let listener = Listener {
            netns: fact.netns,
            tuple: fact.tuple,
            owner: owner.or_else(|| known.and_then(|known| known.owner)),
            cgroup: cgroup.or_else(|| known.and_then(|known| known.cgroup)),
            seen_ns: fact.time_ns,
            owner_walk: known.map_or(0, |known| known.owner_walk),
        };
        self.owners.insert(fact.object, listener);
    }

    /// A socket listens no more.
    pub(super) fn stops_listening(&mut self, object: u64) {
        self.owners.remove(object);
    }

    /// The walk that began at `start_ns` has not met these listeners: their end was lost.
    pub(super) fn forget_listeners(&mut self, start_ns: u64, namespaces: &HashSet<u32>) {
        let gone: Vec<u64> = self
            .owners
            .listeners
            .iter()
            .filter(|(_, known)| known.seen_ns < start_ns && namespaces.contains(&known.netns))
            .map(|(object, _)| *object)
            .collect();
        for object in gone {
            self.owners.remove(object);
        }
    }

    /// What a listener tells about its child: the owner as a hint, the cgroup for certain, as the kernel copies it. The
    /// listener is found by its address or, where that is not known, by the local end that `birth` shows.
    pub(super) fn hint(&self, connection: &mut Connection, listener: u64, birth: &Fact) {
        let known = self.owners.listeners.get(&listener).copied();
        let Some(listener) = known.or_else(|| self.owners.of_tuple(birth.netns, &birth.tuple))
        else {
            return;
        };
        let hint = |owner: Owner| Owner {
            source: OwnerSource::Listen,
            ..owner
        };
        connection.owner = connection.owner.or(listener.owner.map(hint));
        connection.cgroup = connection.cgroup.or(listener.cgroup);
    }

    /// Takes what a full socket's own transition says.
    pub(super) fn learn(connection: &mut Connection, details: Option<&Details>) {
        let Some(details) = details else {
            return;
        };
        connection.cgroup = details.cgroup.or(connection.cgroup);
        connection.bytes = details.bytes.or(connection.bytes);
        if let Some(owner) = details.owner {
            own(connection, owner);
        }
    }

    /// A task accepts, or uses, a socket.
    pub(super) fn used(
        &mut self,
        fact: &Fact,
        owner: Owner,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        self.owners.outdate(fact.object);
        let number = self.walk.number();
        let change = |connection: &mut Connection| {
            own(connection, owner);
            connection.owner_walk = number;
        };
        self.amend(fact.object, change, out);
    }

    /// A walk over the open files meets a socket. Its owner is right if it is among those that hold it; that is known
    /// only when the walk is over.
    pub(super) fn held(
        &mut self,
        fact: &Fact,
        holder: Owner,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        let (object, number) = (fact.object, self.walk.number());
        let mut other = false;
        if let Some(listener) = self.owners.listeners.get_mut(&object) {
            other = !holds(
                &mut listener.owner,
                &mut listener.owner_walk,
                number,
                holder,
            );
        }
        let change = |connection: &mut Connection| {
            let mut certain = certain(connection);
            other = !holds(&mut certain, &mut connection.owner_walk, number, holder);
            connection.owner = certain;
        };
        self.amend(object, change, out);
        if other {
            self.owners.others.entry(object).or_insert(holder);
        } else {
            self.owners.others.remove(&object);
        }
    }

    /// The walk over the open files is over: who no longer holds what it is thought to own is corrected.
    pub(super) fn holders_known(&mut self, out: &mut (impl FnMut(&Transition) + ?Sized)) {
        let mut others: Vec<(u64, Owner)> = self.owners.others.drain().collect();
        others.sort_unstable_by_key(|(object, _)| *object); // the same facts give the same output
        for (object, holder) in others {
            if let Some(listener) = self.owners.listeners.get_mut(&object) {
                listener.owner = Some(holder);
            }
            self.amend(object, |connection| connection.owner = Some(holder), out);
        }
    }

    /// Changes what is known of a connection, and decides again if it waits for that.
    pub(super) fn amend(
        &mut self,
        object: u64,
        change: impl FnOnce(&mut Connection),
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        let Some(connection) = self.connections.get_mut(object) else {
            return;
        };
        change(connection);
        if connection.standing == Standing::Ownerless
            && let Some(mut connection) = self.remove(object)
        {
            self.decide(&mut connection, false, out);
            self.insert(object, connection);
        }
    }

    /// Decides for a connection, whose tuple is admitted, by its owner and cgroup. What waited comes out if it is
    /// admitted now. `last`: nothing better than a hint can come any more.
    pub(super) fn decide(
        &mut self,
        connection: &mut Connection,
        last: bool,
        out: &mut (impl FnMut(&Transition) + ?Sized),
    ) {
        if matches!(connection.standing, Standing::Admitted | Standing::Rejected) {
            return;
        }
        let (role, owner) = (connection.role, connection.owner.as_ref());
        let selection = &self.config.selection;
        connection.standing = match selection.admits_owner(role, owner, connection.cgroup, last) {
            Some(true) => Standing::Admitted,
            None if !last => Standing::Ownerless,
            Some(false) | None => Standing::Rejected,
        };
        if connection.standing == Standing::Ownerless {
            return;
        }
        let waiting = self.owners.waiting.remove(&connection.id.serial);
        if connection.standing == Standing::Admitted {
            for mut transition in waiting.into_iter().flatten() {
                transition.owner = connection.owner;
                transition.cgroup = connection.cgroup;
                self.emit(&transition, out);
            }
        }
    }
}

/// `owner` was seen to use the connection. That it is the one already known adds nothing.
fn own(connection: &mut Connection, owner: Owner) {
    if certain(connection).is_some_and(|known| known.pid == owner.pid) {
        return;
    }
    let source = match connection.role {
        Some(Role::Server) => owner.source,
        // A task that was seen at work on a socket that another one opened.
        _ if owner.source == OwnerSource::Accept => OwnerSource::Snapshot,
        _ => owner.source,
    };
    connection.owner = Some(Owner { source, ..owner });
}

/// The owner if it is no hint: better than nothing, but not as good as what was seen.
pub(super) fn certain(connection: &Connection) -> Option<Owner> {
    let listens = connection.role == Some(Role::Listener);
    connection
        .owner
        .filter(|owner| listens || owner.source != OwnerSource::Listen)
}

/// A walk has found that `holder` holds a socket of `owner`, who may not be known yet. False if that is not who is known,
/// and the walk has not found that one either so far.
fn holds(owner: &mut Option<Owner>, found_in: &mut u32, walk: u32, holder: Owner) -> bool {
    let known = *owner.get_or_insert(holder);
    if known.pid == holder.pid {
        *found_in = walk;
    }
    *found_in == walk
}
