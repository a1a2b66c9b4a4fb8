//! Whole lives: what the transitions of one connection tell when they are put together. Pure, like the tracker.
mod course;
mod table;
#[cfg(test)]
mod tests;

pub use self::{
    course::{Course, IN_ORDER},
    table::Lives,
};
use crate::{
    tcp::{
        Bytes, ConnectionId, ContainerId, Owner, Reason, Role,
        TcpState::{self, *},
        Transition, Tuple,
    },
    tracker::Open,
};

/// Who closed a connection first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closer {
    /// This end: its FIN was the first.
    Active,
    /// The peer: its FIN was the first.
    Passive,
    /// Both: the FINs crossed.
    Simultaneous,
    /// An established connection that a reset ended, without a FIN; the reason says whose it was.
    Reset,
    /// Nobody: an established connection that the network, or the namespace, took away.
    Broken,
    /// Nobody: it was never established.
    Unopened,
}

impl Closer {
    /// The word every output uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::Simultaneous => "simultaneous",
            Self::Reset => "reset",
            Self::Broken => "broken",
            Self::Unopened => "unopened",
        }
    }
}

/// A connection's life, complete for every output.
#[derive(Clone, Debug)]
pub struct Life {
    /// When it ended, or up to when it is told if it has not. Monotonic, ns.
    pub until_ns: u64,
    /// Whether it has ended.
    pub finished: bool,
    /// The connection.
    pub id: ConnectionId,
    /// Inode of the network namespace.
    pub netns: u32,
    /// Addresses and ports; `None` where they could not be learned.
    pub tuple: Option<Tuple>,
    /// Who opened.
    pub role: Option<Role>,
    /// Who closed first; `None` while nobody has, or where it was not seen.
    pub closer: Option<Closer>,
    /// Why it ended, where that is known.
    pub reason: Option<Reason>,
    /// The state that it ended in, or is in.
    pub last: TcpState,
    /// The owner, as far as known.
    pub owner: Option<Owner>,
    /// Id of the socket's cgroup.
    pub cgroup: Option<u64>,
    /// The container that the cgroup belongs to; filled in by the view for an unfinished life.
    pub container: Option<ContainerId>,
    /// Payload carried, where the kernel's count of it was seen.
    pub bytes: Option<Bytes>,
    /// The states that it went through.
    pub course: Course,
}

impl Life {
    /// The life that `end`, its last transition, has ended.
    #[must_use]
    pub fn finished(end: &Transition, course: Course) -> Self {
        Self {
            until_ns: end.mono_ns,
            finished: true,
            id: end.id,
            netns: end.netns,
            tuple: end.tuple,
            role: end.role,
            closer: closer(&course, Some(end)),
            reason: end.reason,
            last: end.from,
            owner: end.owner,
            cgroup: end.cgroup,
            container: end.container,
            bytes: end.bytes,
            course,
        }
    }

    /// The life so far of a connection that is open at `now_ns`; `course` if any of its transitions was seen.
    #[must_use]
    pub fn unfinished(open: &Open, course: Option<&Course>, now_ns: u64) -> Self {
        let mut course = course.map_or_else(|| Course::met(open.state), Course::clone);
        let (age_ns, exact) = open.age(now_ns);
        course.stay(open.state, exact.then_some(age_ns));
        Self {
            until_ns: now_ns,
            finished: false,
            id: open.id,
            netns: open.netns,
            tuple: open.tuple,
            role: open.role,
            closer: closer(&course, None),
            reason: None,
            last: open.state,
            owner: open.owner,
            cgroup: open.cgroup,
            container: None,
            bytes: open.bytes,
            course,
        }
    }

    /// From its opening until its end, ns; `None` if either was not seen, or if it may be another connection's.
    #[must_use]
    pub fn total_ns(&self) -> Option<u64> {
        let opened_ns = self.course.opened_ns()?;
        self.course
            .is_unbroken()
            .then(|| self.until_ns.checked_sub(opened_ns))?
    }
}

/// Who closed first. The states tell: each is on one side of the state diagram only.
fn closer(course: &Course, end: Option<&Transition>) -> Option<Closer> {
    let was = |states: &[TcpState]| states.iter().any(|state| course.entered(*state));
    if was(&[Closing]) {
        return Some(Closer::Simultaneous);
    }
    if was(&[FinWait1, FinWait2]) {
        return Some(Closer::Active);
    }
    if was(&[CloseWait, LastAck]) {
        return Some(Closer::Passive);
    }
    // A TIME_WAIT whose beginning was not seen comes from FIN_WAIT2 or from CLOSING.
    let end = end.filter(|_| !was(&[TimeWait]))?;
    if !was(&[Established]) {
        return Some(Closer::Unopened);
    }
    match end.reason? {
        Reason::Reset | Reason::Aborted => Some(Closer::Reset),
        Reason::Timeout | Reason::Unreachable | Reason::NetnsGone => Some(Closer::Broken),
        Reason::Refused
        | Reason::Expired
        | Reason::Reused
        | Reason::ListenerClosed
        | Reason::TwOverflow => None,
    }
}
