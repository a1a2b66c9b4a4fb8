//! `hist --by`: stays in each state told apart by a key, with a bounded number of keys.
use std::{
    cmp::Reverse,
    fmt::{self, Display},
    net::IpAddr,
};

use hashbrown::{HashMap, HashSet};

use crate::{
    dwell::{Dwell, Stays},
    sink::printable,
    tcp::{Comm, Owner, TcpState, Transition, Tuple},
    tracker::{StillOpen, Tracker},
};

/// What tells stays in a state apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// Nothing more
    State,
    /// The state entered after it
    Transition,
    /// The process that owns the socket
    Pid,
    /// The name of the task that owns the socket
    Comm,
    /// The remote address
    Remote,
    /// The local port
    Localport,
    /// The cgroup, by its number
    Cgroup,
    /// The network namespace, by its number
    Netns,
}

impl By {
    /// The word that every output uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Transition => "transition",
            Self::Pid => "pid",
            Self::Comm => "comm",
            Self::Remote => "remote",
            Self::Localport => "localport",
            Self::Cgroup => "cgroup",
            Self::Netns => "netns",
        }
    }
}

/// What a connection has that it can be told apart by.
struct Traits {
    owner: Option<Owner>,
    tuple: Option<Tuple>,
    cgroup: Option<u64>,
    netns: u32,
}

/// A key; ordered so that equals in everything else always come in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    To(TcpState),
    Number(u64),
    Name([u8; 16]),
    Address(IpAddr),
}

impl Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(state) => state.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => f.write_str(&printable(Comm(*name).bytes())),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A state and its key; `None` for a key that is not known.
type Place = (TcpState, Option<Key>);

/// Stays by state and key.
pub(super) struct Groups {
    by: By,
    most: usize,
    /// Keys that are told apart, with the stays in each state.
    places: HashMap<Place, Stays>,
    keys: HashSet<Option<Key>>,
    other: Dwell,
}

/// Sockets that are still open, by state and key, and those of all other keys by state.
pub(super) struct StillOpenBy {
    places: HashMap<Place, StillOpen>,
    other: [StillOpen; 12],
}

/// What is shown of one state and key.
pub(super) struct Group<'a> {
    by: By,
    pub(super) state: TcpState,
    pub(super) key: Option<Key>,
    /// All keys beyond the bound.
    pub(super) is_other: bool,
    pub(super) stays: &'a Stays,
    pub(super) open: StillOpen,
}

impl Group<'_> {
    /// The line above it.
    pub(super) fn heading(&self) -> String {
        let key = self
            .key
            .map_or_else(|| "-".to_owned(), |key| key.to_string());
        match self.by {
            _ if self.is_other => format!("{}, every other {}", self.state, self.by.name()),
            By::Transition => format!("{} -> {key}", self.state),
            by => format!("{}, {} {key}", self.state, by.name()),
        }
    }
}

impl Groups {
    /// Tells stays apart by `by`, for the first `most` keys that come.
    pub(super) fn new(by: By, most: usize) -> Self {
        Self {
            by,
            most,
            places: HashMap::new(),
            keys: HashSet::new(),
            other: Dwell::default(),
        }
    }

    /// Records the stay that `transition` ends, if its length is known.
    pub(super) fn transition(&mut self, transition: &Transition) {
        let Some(dwell_ns) = transition.dwell_ns else {
            return;
        };
        let traits = Traits {
            owner: transition.owner,
            tuple: transition.tuple,
            cgroup: transition.cgroup,
            netns: transition.netns,
        };
        let key = match self.by {
            By::Transition => Some(Key::To(transition.to)),
            by => key(by, &traits),
        };
        if self.takes(key) {
            let stays = self.places.entry((transition.from, key)).or_default();
            stays.record(dwell_ns);
        } else {
            self.other.record(transition.from, dwell_ns);
        }
    }

    /// Whether a key is told apart: one of the first that came.
    fn takes(&mut self, key: Option<Key>) -> bool {
        if self.keys.contains(&key) {
            return true;
        }
        let room = self.keys.len() < self.most;
        if room {
            self.keys.insert(key);
        }
        room
    }

    /// The sockets that are still in one of `states` at `now_ns`. Where they go next is not known, so not by transition.
    pub(super) fn open(
        &mut self,
        states: &[TcpState],
        tracker: &Tracker,
        now_ns: u64,
    ) -> StillOpenBy {
        let mut still = StillOpenBy {
            places: HashMap::new(),
            other: Default::default(),
        };
        if self.by == By::Transition {
            return still;
        }
        let mut sockets: Vec<_> = tracker
            .open()
            .filter(|open| states.contains(&open.state))
            .collect();
        sockets.sort_unstable_by_key(|open| open.id.serial); // the first keys are always the same
        for open in sockets {
            let traits = Traits {
                owner: open.owner,
                tuple: open.tuple,
                cgroup: open.cgroup,
                netns: open.netns,
            };
            let key = key(self.by, &traits);
            if self.takes(key) {
                self.places.entry((open.state, key)).or_default();
                let place = still.places.entry((open.state, key)).or_default();
                place.add(&open, now_ns);
            } else {
                still.other[open.state.index()].add(&open, now_ns);
            }
        }
        still
    }

    /// What there is of `states`, state by state, the most stays first and all other keys last.
    pub(super) fn shown<'a>(&'a self, states: &[TcpState], open: &StillOpenBy) -> Vec<Group<'a>> {
        let mut shown = Vec::new();
        for wanted in states {
            let of_state = self.places.iter().filter(|((state, _), _)| state == wanted);
            let mut groups: Vec<_> = of_state
                .map(|((state, key), stays)| Group {
                    by: self.by,
                    state: *state,
                    key: *key,
                    is_other: false,
                    stays,
                    open: open
                        .places
                        .get(&(*state, *key))
                        .copied()
                        .unwrap_or_default(),
                })
                .collect();
            groups.sort_unstable_by_key(|group| {
                (
                    Reverse((group.stays.histogram().len(), group.open.sockets)),
                    group.key,
                )
            });
            shown.append(&mut groups);
            let stays = self.other.stays(*wanted);
            let open = open.other[wanted.index()];
            if !stays.histogram().is_empty() || stays.outliers() > 0 || open.sockets > 0 {
                shown.push(Group {
                    by: self.by,
                    state: *wanted,
                    key: None,
                    is_other: true,
                    stays,
                    open,
                });
            }
        }
        shown
    }

    /// Forgets every stay and every key, for the next interval.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.keys.clear();
        self.other.clear();
    }
}

/// The key of a connection; `None` where it is not known.
fn key(by: By, traits: &Traits) -> Option<Key> {
    match by {
        By::State | By::Transition => None,
        By::Pid => traits.owner.map(|owner| Key::Number(owner.pid.into())),
        By::Comm => traits.owner.map(|owner| Key::Name(owner.comm.0)),
        By::Remote => traits.tuple.map(|tuple| Key::Address(tuple.raddr)),
        By::Localport => traits.tuple?.lport.map(|port| Key::Number(port.into())),
        By::Cgroup => traits.cgroup.map(Key::Number),
        By::Netns => Some(Key::Number(traits.netns.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn established() -> Transition {
        Transition {
            mono_ns: 5_000,
            id: crate::tcp::ConnectionId {
                cookie: 0,
                serial: 1,
            },
            skaddr: 0,
            netns: 0,
            tuple: None,
            from: TcpState::Established,
            to: TcpState::CloseWait,
            dwell_ns: Some(2_000),
            estimated: false,
            reason: None,
            role: None,
            owner: None,
            cgroup: None,
            container: None,
            bytes: None,
        }
    }

    #[test]
    fn keys_beyond_the_bound_are_counted_together() {
        let mut groups = Groups::new(By::Netns, 2);
        for netns in [7, 8, 9, 7, 10] {
            groups.transition(&Transition {
                netns,
                ..established()
            });
        }
        let open = StillOpenBy {
            places: HashMap::new(),
            other: Default::default(),
        };
        let shown = groups.shown(&[TcpState::Established], &open);
        let counts: Vec<_> = shown
            .iter()
            .map(|group| (group.heading(), group.stays.histogram().len()))
            .collect();
        let expected = [
            ("ESTABLISHED, netns 7", 2),
            ("ESTABLISHED, netns 8", 1),
            ("ESTABLISHED, every other netns", 2),
        ];
        assert_eq!(
            counts,
            expected.map(|(heading, count)| (heading.to_owned(), count))
        );
    }
}
