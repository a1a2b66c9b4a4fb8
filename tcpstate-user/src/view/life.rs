//! `life`: a line for every connection, when it has ended.
pub mod csv;
pub mod json;
pub mod text;

use std::{ops::ControlFlow, time::Duration};

use super::{Moment, View};
use crate::{
    life::{Life, Lives},
    shown::Shown,
    sink::Output,
    tcp::{TcpState, Transition},
    tracker::Open,
};

/// How often the table of lives is looked at for those that have ended unseen.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A format for lines of lives.
pub trait Format {
    /// Appends what stands before the first line.
    fn header(&mut self, line: &mut Vec<u8>);
    /// Appends the line of `life`, the `seq`th of this run, with its newline.
    fn life(&mut self, line: &mut Vec<u8>, seq: u64, life: &Life);
}

/// What `life` was asked for.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Connections that ever made one of these transitions.
    pub shown: Shown,
    /// At the end, show those that are still open too.
    pub open: bool,
}

/// The view.
pub struct LifeView {
    format: Box<dyn Format>,
    settings: Settings,
    lives: Lives,
    shown: u64,
}

impl LifeView {
    /// Lines in `format`.
    #[must_use]
    pub fn new(format: Box<dyn Format>, settings: Settings) -> Self {
        Self {
            format,
            settings,
            lives: Lives::default(),
            shown: 0,
        }
    }

    fn show(&mut self, life: &Life, output: &mut Output) {
        let seq = self.shown;
        self.shown += 1;
        output.line(|line| self.format.life(line, seq, life));
    }

    /// Says on stderr what the lines do not show.
    fn say(&self, finished: u64, unfinished: u64) {
        let shown = if self.settings.open || unfinished == 0 {
            ""
        } else {
            " (--open shows them)"
        };
        let mut text = format!("{finished} connections finished, {unfinished} still open{shown}");
        for (count, what) in [
            (
                self.lives.ended_unseen(),
                "ended unseen, as facts were lost",
            ),
            (
                self.lives.table_full(),
                "transitions found no room in the table of lives",
            ),
        ] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        eprintln!("tcpstate: {text}");
    }
}

impl View for LifeView {
    fn begin(&mut self, output: &mut Output) {
        output.line(|line| self.format.header(line));
        output.flush();
    }

    fn transition(&mut self, _seq: u64, transition: &Transition, output: &mut Output) -> bool {
        let wanted = self.settings.shown.passes(transition);
        if let Some(life) = self.lives.transition(transition, wanted) {
            self.show(&life, output);
        }
        true
    }

    fn every(&self) -> Option<Duration> {
        Some(LOOK_EVERY)
    }

    fn interval(&mut self, moment: &mut Moment<'_>, _output: &mut Output) -> ControlFlow<()> {
        self.lives.sweep_if_due(moment.tracker);
        ControlFlow::Continue(())
    }

    fn finish(&mut self, moment: &mut Moment<'_>, output: &mut Output) {
        self.lives.sweep(moment.tracker);
        let finished = self.shown;
        let mut open: Vec<Open> = moment
            .tracker
            .open()
            .filter(|open| open.state != TcpState::Listen)
            .collect();
        open.sort_by_key(|open| open.id.serial);
        let mut unfinished = 0_u64;
        for open in open {
            let (age_ns, _) = open.age(moment.now_ns);
            let wanted = self.settings.shown.passes_open(open.state, age_ns);
            if let Some(mut life) = self.lives.unfinished(&open, moment.now_ns, wanted) {
                unfinished += 1;
                if self.settings.open {
                    life.container = life
                        .cgroup
                        .and_then(|cgroup| moment.places.container(cgroup));
                    self.show(&life, output);
                }
            }
        }
        self.say(finished, unfinished);
    }
}
