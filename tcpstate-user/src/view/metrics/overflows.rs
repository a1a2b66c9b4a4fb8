//! TIME_WAIT that were not made for want of room, by the kernel's own counter `TCPTimeWaitOverflow`: where functions
//! cannot be traced, nothing tells which connections they were.
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::{
    netns::{self, Netns},
    netstat,
};

/// How often the counters are looked at, at most: finding the namespaces takes a system call for each task of the host.
const EVERY: Duration = Duration::from_secs(10);

/// The namespaces whose connections are followed, all of them.
#[derive(Debug)]
pub enum Followed {
    /// Those of the whole host.
    Everywhere,
    /// Those of one namespace.
    In(Netns),
}

/// The counters of these namespaces, and how much they have grown.
#[derive(Debug)]
pub struct Overflows {
    followed: Followed,
    grown: Growth,
    looked: Instant,
}

impl Overflows {
    /// Counts from now on.
    #[must_use]
    pub fn since_now(followed: Followed) -> Self {
        let grown = Growth {
            last: read(&followed).into_iter().collect(),
            sum: 0,
        };
        Self {
            followed,
            grown,
            looked: Instant::now(),
        }
    }

    /// How many there have been, as of a few seconds ago. Blocks while it looks.
    pub fn count(&mut self) -> u64 {
        if self.looked.elapsed() >= EVERY {
            self.grown.add(read(&self.followed));
            self.looked = Instant::now();
        }
        self.grown.sum
    }
}

/// The counters now, by the inode of the namespace. One that cannot be entered has ended, or is closed to us.
fn read(followed: &Followed) -> Vec<(u32, u64)> {
    let all;
    let namespaces = match followed {
        Followed::Everywhere => {
            all = netns::all().namespaces;
            all.as_slice()
        }
        Followed::In(netns) => std::slice::from_ref(netns),
    };
    let count = |netns: &Netns| {
        Some((
            netns.inode,
            *netstat::tcp(netns).get("TCPTimeWaitOverflow")?,
        ))
    };
    namespaces.iter().filter_map(count).collect()
}

/// Counters of namespaces that come and go, as one that never goes back.
#[derive(Debug)]
struct Growth {
    last: HashMap<u32, u64>,
    sum: u64,
}

impl Growth {
    fn add(&mut self, now: Vec<(u32, u64)>) {
        for (inode, count) in now {
            let before = self.last.insert(inode, count).unwrap_or(0);
            // A lower one is that of a new namespace, which got the inode of one that has ended.
            self.sum += count.checked_sub(before).unwrap_or(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_grows_with_every_namespace_and_never_goes_back() {
        let mut grown = Growth {
            last: HashMap::from_iter([(1, 100), (2, 5)]),
            sum: 0,
        };
        for (now, sum) in [
            (vec![(1, 100), (2, 5)], 0),
            (vec![(1, 103), (2, 5)], 3),
            (vec![(1, 103), (3, 7)], 10), // 2 has ended, 3 is new
            (vec![(1, 103), (2, 1)], 11), // another 2
            (vec![], 11),
        ] {
            grown.add(now);
            assert_eq!(grown.sum, sum);
        }
    }
}
