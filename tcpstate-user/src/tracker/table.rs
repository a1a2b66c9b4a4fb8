//! The table of connections by the address of their kernel object. Each lies in a box of its own: the table is half empty at
//! times, and moves when it grows, so that it holds pointers only.
use hashbrown::HashMap;

use super::Connection;

/// Connections by object.
#[derive(Debug, Default)]
pub(super) struct Table(HashMap<u64, Box<Connection>>);

impl Table {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn contains(&self, object: u64) -> bool {
        self.0.contains_key(&object)
    }

    pub(super) fn get(&self, object: u64) -> Option<&Connection> {
        self.0.get(&object).map(|connection| &**connection)
    }

    pub(super) fn get_mut(&mut self, object: u64) -> Option<&mut Connection> {
        self.0.get_mut(&object).map(|connection| &mut **connection)
    }

    /// Returns the one that it replaces.
    pub(super) fn insert(&mut self, object: u64, connection: Connection) -> Option<Connection> {
        let replaced = self.0.insert(object, Box::new(connection));
        replaced.map(|connection| *connection)
    }

    pub(super) fn remove(&mut self, object: u64) -> Option<Connection> {
        self.0.remove(&object).map(|connection| *connection)
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Connection)> {
        let connections = self.0.iter();
        connections.map(|(object, connection)| (*object, &**connection))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Connection> {
        self.0.values().map(|connection| &**connection)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.0.values_mut().map(|connection| &mut **connection)
    }
}
