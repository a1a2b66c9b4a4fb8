//! A walk over the open connections: how long each state's oldest has been in it, and for one state who has the
//! sockets, and which are the oldest. The only part of the view whose cost grows with the number of sockets.
use std::{cmp::Ordering, collections::BinaryHeap};

use hashbrown::HashMap;

use super::{
    figure::Span,
    filter::Filter,
    group::{Grouping, Key},
};
use crate::{
    places::Places,
    tcp::{Comm, TcpState},
    tracker::{Open, StillOpen},
};

/// Rows kept for a list: more than anyone reads.
const MAX_ROWS: usize = 200;
/// Groups told apart; the sockets of any more are counted together.
const MAX_GROUPS: usize = 100_000;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Sockets in this state.
    pub state: TcpState,
    /// Grouped by this.
    pub grouping: Grouping,
    /// Only those that it lets through.
    pub filter: Filter,
    /// In the list of sockets, only those of this group.
    pub group: Option<Key>,
    /// Order of the groups.
    pub group_order: GroupOrder,
    /// Order of the sockets.
    pub socket_order: SocketOrder,
}

/// Order of the groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupOrder {
    /// Most sockets first.
    #[default]
    Sockets,
    /// Oldest socket first.
    Oldest,
    /// By process id, address, port, …
    Key,
}

/// Order of the sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SocketOrder {
    /// Longest in the state first.
    #[default]
    Oldest,
    /// Shortest in the state first.
    Newest,
}

/// Sockets with something in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What they have in common.
    pub key: Key,
    /// Its text, safe to show.
    pub label: String,
    /// How many, and the age of the oldest.
    pub open: StillOpen,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Survey {
    /// What was looked for.
    pub question: Question,
    /// When, monotonic, ns.
    pub now_ns: u64,
    /// By state, of all sockets.
    pub open: [StillOpen; 12],
    /// Sockets in the state that the filter lets through.
    pub matching: u64,
    /// The first groups in the order asked for.
    pub groups: Vec<Group>,
    /// How many groups there are.
    pub all_groups: usize,
    /// Sockets of groups that were too many to be told apart.
    pub ungrouped: u64,
    /// The first sockets in the order asked for.
    pub sockets: Vec<Open>,
}

/// A group while it is counted.
#[derive(Default)]
struct Counted {
    open: StillOpen,
    /// Name of the process, as its first socket knows it, so that it does not flicker between names of threads.
    comm: Option<(u64, Comm)>,
}

impl Survey {
    /// Looks at every one of `sockets` once.
    pub fn take(
        question: Question,
        places: &mut Places,
        now_ns: u64,
        sockets: impl Iterator<Item = Open>,
    ) -> Self {
        let mut open = [StillOpen::default(); 12];
        let mut matching = 0;
        let mut ungrouped = 0;
        let mut groups: HashMap<Key, Counted> = HashMap::new();
        let mut first = First::new(question.socket_order);
        let mut matcher = question.filter.matcher();
        for socket in sockets {
            open[socket.state.index()].add(&socket, now_ns);
            if socket.state != question.state || !matcher.lets_through(&socket, places) {
                continue;
            }
            matching += 1;
            let key = question.grouping.key(&socket, places);
            if groups.len() < MAX_GROUPS || groups.contains_key(&key) {
                groups.entry(key).or_default().add(&socket, now_ns);
            } else {
                ungrouped += 1;
            }
            if question.group.is_none_or(|group| group == key) {
                first.offer(socket);
            }
        }
        let all_groups = groups.len();
        Self {
            now_ns,
            open,
            matching,
            groups: ranked(groups, question.group_order, places),
            all_groups,
            ungrouped,
            sockets: first.rows(),
            question,
        }
    }

    /// Nothing was looked at yet.
    #[must_use]
    pub fn none(question: Question) -> Self {
        Self::take(question, &mut Places::unknown(), 0, std::iter::empty())
    }

    /// Sockets in the list's group, or all that match.
    #[must_use]
    pub fn listed(&self) -> Option<u64> {
        match self.question.group {
            None => Some(self.matching),
            Some(key) => {
                let group = self.groups.iter().find(|group| group.key == key);
                group.map(|group| group.open.sockets)
            }
        }
    }
}

impl Counted {
    fn add(&mut self, socket: &Open, now_ns: u64) {
        self.open.add(socket, now_ns);
        if let Some(owner) = socket.owner
            && self
                .comm
                .is_none_or(|(serial, _)| socket.id.serial < serial)
        {
            self.comm = Some((socket.id.serial, owner.comm));
        }
    }
}

/// The first groups in this order; equal ones by key, so that rows do not jump.
fn ranked(groups: HashMap<Key, Counted>, order: GroupOrder, places: &mut Places) -> Vec<Group> {
    let mut groups: Vec<(Key, Counted)> = groups.into_iter().collect();
    let compare = |(a, one): &(Key, Counted), (b, other): &(Key, Counted)| {
        let by_order = match order {
            GroupOrder::Sockets => other.open.sockets.cmp(&one.open.sockets),
            GroupOrder::Oldest => other.open.oldest_ns.cmp(&one.open.oldest_ns),
            GroupOrder::Key => Ordering::Equal,
        };
        by_order.then_with(|| a.cmp(b))
    };
    if groups.len() > MAX_ROWS {
        groups.select_nth_unstable_by(MAX_ROWS, compare);
        groups.truncate(MAX_ROWS);
    }
    groups.sort_unstable_by(compare);
    groups
        .into_iter()
        .map(|(key, counted)| Group {
            key,
            label: key.label(counted.comm.as_ref().map(|(_, comm)| comm), places),
            open: counted.open,
        })
        .collect()
}

/// The first sockets in some order, of many that are offered in none.
struct First {
    order: SocketOrder,
    /// The last of them on top, so that it goes when a better one comes.
    heap: BinaryHeap<Ranked>,
}

struct Ranked {
    rank: (u64, u64),
    socket: Open,
}

impl First {
    fn new(order: SocketOrder) -> Self {
        Self {
            order,
            heap: BinaryHeap::with_capacity(MAX_ROWS + 1),
        }
    }

    fn offer(&mut self, socket: Open) {
        let since_ns = socket.since_ns.unwrap_or(socket.seen_ns);
        let rank = match self.order {
            SocketOrder::Oldest => (since_ns, socket.id.serial),
            SocketOrder::Newest => (!since_ns, !socket.id.serial),
        };
        if self.heap.len() == MAX_ROWS {
            if self.heap.peek().is_some_and(|last| rank >= last.rank) {
                return;
            }
            self.heap.pop();
        }
        self.heap.push(Ranked { rank, socket });
    }

    fn rows(self) -> Vec<Open> {
        let ranked = self.heap.into_sorted_vec();
        ranked.into_iter().map(|ranked| ranked.socket).collect()
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}

/// The age of a socket at `now_ns`.
#[must_use]
pub fn age(socket: &Open, now_ns: u64) -> Span {
    let (ns, exact) = socket.age(now_ns);
    Span {
        ns,
        at_least: !exact,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    const NOW_NS: u64 = 1_000_000_000_000;

    fn question() -> Question {
        Question {
            state: TcpState::CloseWait,
            grouping: Grouping::LocalPort,
            filter: Filter::default(),
            group: None,
            group_order: GroupOrder::default(),
            socket_order: SocketOrder::default(),
        }
    }

    fn survey(question: Question, sockets: &[Open]) -> Survey {
        let sockets = sockets.iter().copied();
        Survey::take(question, &mut Places::unknown(), NOW_NS, sockets)
    }

    /// `count` sockets, the later the younger, on three ports: 1000 has a half of them, 1001 a quarter, 1002 too.
    fn crowd(count: u64) -> Vec<Open> {
        (0..count)
            .map(|number| {
                let port = 1000 + [0, 1, 0, 2][number as usize % 4];
                Open {
                    since_ns: Some(number * 1000),
                    ..samples::open(number, TcpState::CloseWait, port)
                }
            })
            .collect()
    }

    #[test]
    fn groups_are_ranked_and_add_up() {
        let found = survey(question(), &crowd(1000));
        let groups: Vec<_> = found
            .groups
            .iter()
            .map(|group| (group.key, group.open.sockets))
            .collect();
        assert_eq!(
            groups,
            [
                (Key::LocalPort(1000), 500),
                (Key::LocalPort(1001), 250),
                (Key::LocalPort(1002), 250)
            ]
        );
        assert_eq!(
            (found.matching, found.all_groups, found.ungrouped),
            (1000, 3, 0)
        );
    }

    #[test]
    fn other_orders_put_others_first() {
        let mut sockets = crowd(1000);
        sockets[3].since_ns = Some(0); // on port 1002
        sockets[0].since_ns = Some(1);
        let first = |group_order| {
            survey(
                Question {
                    group_order,
                    ..question()
                },
                &sockets,
            )
            .groups[0]
                .key
        };
        assert_eq!(first(GroupOrder::Oldest), Key::LocalPort(1002));
        assert_eq!(first(GroupOrder::Key), Key::LocalPort(1000));
    }

    #[test]
    fn the_oldest_come_first_whatever_order_the_table_has() {
        let mut sockets = crowd(1000);
        sockets.reverse();
        let serials = |socket_order| -> Vec<u64> {
            let found = survey(
                Question {
                    socket_order,
                    ..question()
                },
                &sockets,
            );
            found
                .sockets
                .iter()
                .map(|socket| socket.id.serial)
                .collect()
        };
        assert_eq!(serials(SocketOrder::Oldest), (0..200).collect::<Vec<_>>());
        assert_eq!(
            serials(SocketOrder::Newest),
            (800..1000).rev().collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_group_narrows_the_list_but_not_the_groups() {
        let group = Some(Key::LocalPort(1001));
        let found = survey(
            Question {
                group,
                ..question()
            },
            &crowd(1000),
        );
        assert_eq!((found.groups.len(), found.sockets.len()), (3, 200));
        assert!(found.sockets.iter().all(|socket| socket.id.serial % 4 == 1));
        assert_eq!(found.listed(), Some(250));
    }

    #[test]
    fn other_states_count_for_their_own_oldest_only() {
        let mut sockets = crowd(4);
        sockets.push(Open {
            since_ns: None,
            seen_ns: NOW_NS - 5,
            ..samples::open(9, TcpState::Listen, 80)
        });
        let found = survey(question(), &sockets);
        assert_eq!(found.matching, 4);
        let listen = found.open[TcpState::Listen.index()];
        assert_eq!(
            (listen.sockets, listen.unknown_age, listen.oldest_ns),
            (1, 1, Some(5))
        );
    }

    #[test]
    fn groups_are_bounded() {
        let sockets = (0..MAX_GROUPS as u64 + 10).map(|number| Open {
            netns: u32::try_from(number).unwrap(),
            ..samples::open(number, TcpState::CloseWait, 80)
        });
        let question = Question {
            grouping: Grouping::Namespace,
            ..question()
        };
        let found = Survey::take(question, &mut Places::unknown(), NOW_NS, sockets);
        assert_eq!((found.all_groups, found.ungrouped), (MAX_GROUPS, 10));
        assert_eq!(found.groups.len(), MAX_ROWS);
    }
}
