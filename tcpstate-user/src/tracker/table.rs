//! The table of connections by the address of their kernel object. The connections lie in a slab, whose places are used
//! again, the last one left first: the short lives that make up most of a load need no allocator and stay in the cache.
use hashbrown::HashMap;
use slab::Slab;

use super::Connection;

/// Connections by object.
#[derive(Debug, Default)]
pub(super) struct Table {
    places: HashMap<u64, usize>,
    connections: Slab<Connection>,
}

impl Table {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn contains(&self, object: u64) -> bool {
        self.places.contains_key(&object)
    }

    pub(super) fn get(&self, object: u64) -> Option<&Connection> {
        let place = *self.places.get(&object)?;
        self.connections.get(place)
    }

    pub(super) fn get_mut(&mut self, object: u64) -> Option<&mut Connection> {
        let place = *self.places.get(&object)?;
        self.connections.get_mut(place)
    }

    /// Returns the one that it replaces.
    pub(super) fn insert(&mut self, object: u64, connection: Connection) -> Option<Connection> {
        let place = self.connections.insert(connection);
        let replaced = self.places.insert(object, place)?;
        self.connections.try_remove(replaced)
    }

    pub(super) fn remove(&mut self, object: u64) -> Option<Connection> {
        let place = self.places.remove(&object)?;
        self.connections.try_remove(place)
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Connection)> {
        let places = self.places.iter();
        places.filter_map(|(object, place)| Some((*object, self.connections.get(*place)?)))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().map(|(_, connection)| connection)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        let connections = self.connections.iter_mut();
        connections.map(|(_, connection)| connection)
    }
}
