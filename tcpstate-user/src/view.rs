//! Views: what people and programs read. They read the tracker and its transitions; they never reach back.
pub mod count;
pub mod doctor;
pub mod hist;
pub mod holders;
pub mod life;
pub mod live;
pub mod metrics;
pub mod record;
pub mod report;
pub mod top;
pub mod trace;

use std::{
    ops::ControlFlow,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    about::About,
    places::Places,
    recording::Damage,
    sink::Output,
    source::{Lost, kernel::ProgramRuns},
    tcp::Transition,
    tracker::Tracker,
};

/// What a view may look at when it is asked to show something.
pub struct Moment<'a> {
    /// The tracker, complete up to `now_ns`.
    pub tracker: &'a Tracker,
    /// Cgroups, containers and namespaces.
    pub places: &'a mut Places,
    /// When the measurement began, monotonic, ns.
    pub start_ns: u64,
    /// The present, monotonic, ns.
    pub now_ns: u64,
    /// What was lost so far.
    pub lost: Lost,
    /// Why the recording that is shown ends early; `None` while it does not, and on this host.
    pub damage: Option<&'a Damage>,
    /// What each program has cost so far; `None` unless it is measured.
    pub programs: Option<Vec<ProgramRuns>>,
}

/// A surface that shows a running measurement.
pub trait View {
    /// What stands before everything else.
    fn begin(&mut self, _output: &mut Output) {}

    /// Called once, when every socket that existed before has been taken up; with a recording, before its first row.
    /// Transitions may have come before.
    fn ready(&mut self, _about: &About, _moment: &mut Moment<'_>) {}

    /// Takes the next transition; false if it is none of those the user asked to see, so that no total counts it.
    fn transition(&mut self, seq: u64, transition: &Transition, output: &mut Output) -> bool;

    /// How often [`View::interval`] is to be called.
    fn every(&self) -> Option<Duration> {
        None
    }

    /// Ready when the view wants [`View::interval`] now: a key was pressed, a client asks. Wakes the task of `cx` when
    /// that comes about.
    fn poll_wish(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    /// Called at each interval, and whenever the view wishes; `Break` ends the run.
    fn interval(&mut self, _moment: &mut Moment<'_>, _output: &mut Output) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Whether it says at the end who holds the sockets that are still open.
    fn shows_holders(&self) -> bool {
        false
    }

    /// Whether the view stays after the end of a recording until its user ends it, by [`View::poll_wish`] and
    /// [`View::interval`].
    fn lingers(&self) -> bool {
        false
    }

    /// Whether it shows nothing before the end, so that there is room on the terminal for a progress bar.
    fn is_silent(&self) -> bool {
        false
    }

    /// What the view itself had to drop so far because whatever it writes to was slow.
    fn dropped(&self) -> u64 {
        0
    }

    /// Called once at the end.
    fn finish(&mut self, _moment: &mut Moment<'_>, _output: &mut Output) {}
}
