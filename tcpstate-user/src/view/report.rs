//! `report`: one self-contained HTML page, or the same numbers as one JSON object, of a whole measurement.
mod advice;
mod conclude;
mod diagram;
mod findings;
mod gather;
mod human;
mod page;
mod parties;
mod progress;
mod slowest;
#[cfg(test)]
mod tests;
mod timeline;

use std::{ops::ControlFlow, time::Duration};

pub use self::advice::Advice;
use self::{
    findings::{Findings, Subject},
    gather::Gathered,
    progress::Progress,
};
use super::{Moment, View};
use crate::{
    about::About,
    sink::{NewFile, Output, WallClock, json},
    tcp::Transition,
};

/// How often counts are sampled and the progress is shown.
const EVERY: Duration = Duration::from_secs(1);

/// What `report` was asked for.
pub struct Settings {
    /// Where the rules of `doctor` look, unless it is a recording.
    pub advice: Option<Advice>,
    /// The command line, to be shown.
    pub command: String,
    /// Where the report goes; standard output without one.
    pub file: Option<NewFile>,
    /// JSON instead of HTML.
    pub json: bool,
    /// How long the measurement takes, where that is known.
    pub duration: Option<Duration>,
    /// Show how far it is, to those who watch a terminal.
    pub progress: bool,
}

/// The view.
pub struct Report {
    about: Subject,
    advice: Option<Advice>,
    file: Option<NewFile>,
    json: bool,
    clock: WallClock,
    gathered: Gathered,
    transitions: u64,
    progress: Option<Progress>,
    written: anyhow::Result<()>,
}

impl Report {
    /// A view with times of `clock`.
    #[must_use]
    pub fn new(settings: Settings, clock: WallClock) -> Self {
        let unknown = || "-".to_owned();
        Self {
            about: Subject {
                tool: unknown(),
                kernel: unknown(),
                host: unknown(),
                tier: unknown(),
                command: settings.command,
            },
            advice: settings.advice,
            progress: settings
                .progress
                .then(|| Progress::watched(settings.duration))
                .flatten(),
            file: settings.file,
            json: settings.json,
            clock,
            gathered: Gathered::default(),
            transitions: 0,
            written: Ok(()),
        }
    }

    /// Whether the report could be written, once the measurement is over.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn written(self) -> anyhow::Result<()> {
        self.written
    }

    fn sample(&mut self, moment: &Moment<'_>) {
        let sockets = |state| moment.tracker.count(state);
        self.gathered.timeline.sample(moment.now_ns, sockets);
    }

    fn text(&self, findings: &Findings) -> Vec<u8> {
        if !self.json {
            return page::page(findings).into_bytes();
        }
        let mut text = Vec::new();
        json::write(&mut text, findings);
        text.push(b'\n');
        text
    }
}

impl View for Report {
    fn ready(&mut self, about: &About, _moment: &mut Moment<'_>) {
        self.about.tool.clone_from(&about.tool);
        self.about.kernel.clone_from(&about.kernel);
        self.about.host.clone_from(&about.host);
        self.about.tier.clone_from(&about.tier);
    }

    fn transition(&mut self, seq: u64, transition: &Transition, output: &mut Output) -> bool {
        if let Some(advice) = &mut self.advice {
            advice.transition(seq, transition, output);
        }
        self.gathered.transition(transition);
        self.transitions += 1;
        true
    }

    fn shows_holders(&self) -> bool {
        true
    }

    fn is_silent(&self) -> bool {
        true
    }

    fn every(&self) -> Option<Duration> {
        Some(EVERY)
    }

    fn interval(&mut self, moment: &mut Moment<'_>, _output: &mut Output) -> ControlFlow<()> {
        self.sample(moment);
        if let Some(progress) = &mut self.progress {
            let passed_ns = moment.now_ns.saturating_sub(moment.start_ns);
            progress.draw(passed_ns, self.transitions);
        }
        ControlFlow::Continue(())
    }

    fn finish(&mut self, moment: &mut Moment<'_>, output: &mut Output) {
        if let Some(progress) = &mut self.progress {
            progress.clear();
        }
        self.sample(moment);
        let advice = self.advice.as_mut();
        let advice = advice.and_then(|advice| advice.findings(moment, output));
        let mut findings = conclude::findings(
            &mut self.gathered,
            self.about.clone(),
            moment,
            &mut self.clock,
        );
        findings.advice = advice;
        let text = self.text(&findings);
        match self.file.take() {
            Some(file) => self.written = file.write(&text),
            None => output.line(|line| line.extend_from_slice(&text)),
        }
    }
}
