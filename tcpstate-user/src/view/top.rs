//! `top`: the live view of a terminal. States with their counts, rates and dwell times, and for one of them who has the
//! sockets and which are the oldest.
//!
//! What is measured and what was chosen is in [`model`]; [`draw`] turns it into a picture and changes nothing; the
//! terminal is in `screen`.
pub mod draw;
pub mod figure;
pub mod filter;
pub mod group;
pub mod history;
pub mod keys;
pub mod model;
mod pace;
pub mod palette;
pub mod reading;
#[cfg(test)]
mod samples;
mod screen;
pub mod survey;
#[cfg(test)]
mod tests;
pub mod ui;

use std::{
    io,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use crossterm::event::{Event, EventStream};
use futures_core::Stream as _;

use self::{model::Model, pace::Pace, palette::Palette, screen::Screen};
use super::{Moment, View};
use crate::{
    about::About,
    sink::{Output, WallClock},
    tcp::{TcpState, Transition},
};

/// Events taken at once: a text that is pasted costs one picture, not one a letter.
const MAX_EVENTS: usize = 256;

/// What `top` was asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Time between two refreshes.
    pub every: Duration,
    /// States shown; all if empty.
    pub states: Vec<TcpState>,
    /// Colours are welcome.
    pub colours: bool,
}

/// The view.
pub struct Top {
    settings: Settings,
    clock: WallClock,
    model: Model,
    pace: Pace,
    terminal: Option<Taken>,
    /// What the terminal has sent since it was last looked at.
    events: Vec<Event>,
    failure: Option<anyhow::Error>,
}

/// The terminal, from the first picture to the end.
struct Taken {
    screen: Screen,
    input: EventStream,
}

impl Top {
    /// A view with times of `clock`. It takes the terminal when it has something to show.
    #[must_use]
    pub fn new(settings: Settings, clock: WallClock) -> Self {
        Self {
            model: Model::new(settings.every, settings.states.clone()),
            settings,
            clock,
            pace: Pace::default(),
            terminal: None,
            events: Vec::new(),
            failure: None,
        }
    }

    /// How it went.
    ///
    /// # Errors
    /// The terminal could not be used.
    pub fn result(self) -> anyhow::Result<()> {
        self.failure.map_or(Ok(()), Err)
    }

    fn take_terminal(&mut self) -> io::Result<()> {
        let palette = Palette::new(self.settings.colours);
        self.terminal = Some(Taken {
            screen: Screen::take(palette)?,
            input: EventStream::new(),
        });
        Ok(())
    }

    /// Obeys the keys that were pressed.
    fn obey(&mut self, moment: &mut Moment<'_>) -> ControlFlow<()> {
        let time = self.clock.local(moment.now_ns);
        for event in self.events.drain(..) {
            if let Event::Key(key) = event
                && let Some(command) = keys::command(&key, self.model.is_typing())
            {
                self.model.obey(command, moment, time)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Looks at the open connections if that is wanted and affordable.
    fn survey(&mut self, moment: &mut Moment<'_>, refresh: bool) {
        let begun = Instant::now();
        if self.model.wants_survey(refresh) && self.pace.allows(begun) {
            self.model.survey(moment);
            self.pace.walked(begun, Instant::now());
        }
    }

    /// Shows the model; an error ends the run.
    fn show(&mut self) -> anyhow::Result<()> {
        if self.terminal.is_none() {
            self.take_terminal()
                .context("top: setting up the terminal")?;
        }
        if let Some(terminal) = &self.terminal {
            if let Some(error) = terminal.screen.failure() {
                return Err(error).context("top: drawing on the terminal");
            }
            terminal.screen.show(self.model.picture());
        }
        Ok(())
    }
}

impl View for Top {
    fn ready(&mut self, about: &About, _moment: &mut Moment<'_>) {
        self.model.is_about(about);
    }

    fn transition(&mut self, _seq: u64, transition: &Transition, _output: &mut Output) -> bool {
        self.model.transition(transition);
        true
    }

    fn every(&self) -> Option<Duration> {
        Some(self.settings.every)
    }

    fn lingers(&self) -> bool {
        true
    }

    fn poll_wish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(terminal) = &mut self.terminal else {
            return Poll::Ready(()); // the first picture
        };
        while self.events.len() < MAX_EVENTS {
            match Pin::new(&mut terminal.input).poll_next(cx) {
                Poll::Ready(Some(Ok(event))) => self.events.push(event),
                Poll::Ready(Some(Err(error))) => {
                    let error = anyhow::Error::new(error).context("top: reading keys");
                    self.failure.get_or_insert(error);
                    return Poll::Ready(());
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        if self.events.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    fn interval(&mut self, moment: &mut Moment<'_>, _output: &mut Output) -> ControlFlow<()> {
        if self.failure.is_some() {
            return ControlFlow::Break(());
        }
        // A wish comes with events, a refresh without.
        let refresh = self.events.is_empty();
        if refresh {
            let time = self.clock.local(moment.now_ns);
            self.model.refresh(moment, time);
        } else {
            self.obey(moment)?;
        }
        self.survey(moment, refresh);
        if let Err(error) = self.show() {
            self.failure = Some(error);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn finish(&mut self, _moment: &mut Moment<'_>, _output: &mut Output) {
        self.terminal = None; // gives it back: the summary belongs on the screen that the user had before
    }
}
