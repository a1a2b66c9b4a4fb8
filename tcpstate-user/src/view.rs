//! Views: what people and programs read. They read the tracker and its transitions; they never reach back.
pub mod count;
pub mod doctor;
pub mod hist;
pub mod live;
pub mod trace;

use std::{ops::ControlFlow, time::Duration};

use crate::{sink::Output, tcp::Transition, tracker::Tracker};

/// What a view may look at when it is asked to show something.
pub struct Moment<'a> {
    /// The tracker, complete up to `now_ns`.
    pub tracker: &'a mut Tracker,
    /// When the measurement began, monotonic, ns.
    pub start_ns: u64,
    /// The present, monotonic, ns.
    pub now_ns: u64,
}

/// A surface that shows a running measurement.
pub trait View {
    /// What stands before everything else.
    fn begin(&mut self, _output: &mut Output) {}

    /// Takes the next transition; false if it is none of those the user asked to see, so that no total counts it.
    fn transition(&mut self, seq: u64, transition: &Transition, output: &mut Output) -> bool;

    /// How often [`View::interval`] is to be called.
    fn every(&self) -> Option<Duration> {
        None
    }

    /// Called at each interval; `Break` ends the run.
    fn interval(&mut self, _moment: &mut Moment<'_>, _output: &mut Output) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Called once at the end.
    fn finish(&mut self, _moment: &mut Moment<'_>, _output: &mut Output) {}
}
