//! All that the view knows: what transitions and moments have told it, and what the user has chosen. No terminal, no
//! clock.
use std::{ops::ControlFlow, sync::Arc, time::Duration};

use super::{
    history::History,
    keys::Command,
    reading::{Gathered, Reading},
    survey::Survey,
    ui::{Page, Rows, Ui},
};
use crate::{
    about::About,
    places::Places,
    sink::printable,
    tcp::{TcpState, Transition},
    tracker::Open,
    view::Moment,
};

/// The model.
#[derive(Debug)]
pub struct Model {
    about: Arc<About>,
    every: Duration,
    ui: Ui,
    gathered: Gathered,
    history: History,
    place: Place,
    reading: Arc<Reading>,
    survey: Arc<Survey>,
}

/// What is drawn: the model at one moment, cheap to hand to another thread.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Where the transitions come from.
    pub about: Arc<About>,
    /// What the user has chosen.
    pub ui: Ui,
    /// What was read of every state.
    pub reading: Arc<Reading>,
    /// What was found about one.
    pub survey: Arc<Survey>,
    /// Where the socket is that was gone into.
    pub place: Place,
}

/// Names that belong to a socket, safe to show, as far as known.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Command line of the process.
    pub command: Option<String>,
    /// Path of the cgroup.
    pub cgroup: Option<String>,
    /// Id of the container.
    pub container: Option<String>,
    /// Name of the network namespace.
    pub netns: Option<String>,
}

impl Place {
    fn of(socket: &Open, places: &mut Places) -> Self {
        let safe = |text: &str| printable(text.as_bytes());
        let command = socket
            .owner
            .and_then(|owner| places.command_line(owner.pid));
        let netns = places.netns_name(socket.netns).map(safe);
        let cgroup = socket.cgroup.and_then(|id| places.cgroup(id));
        Self {
            command: command.as_deref().map(safe),
            cgroup: cgroup.map(|cgroup| safe(&cgroup.path)),
            container: cgroup.and_then(|cgroup| Some(cgroup.container?.to_string())),
            netns,
        }
    }
}

impl Picture {
    /// Whether the survey answers what the user asks now.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.survey.now_ns > 0 && self.survey.question == self.ui.question()
    }
}

impl Model {
    /// A model that is refreshed `every` so often and shows the states `only`, or all if that is empty.
    #[must_use]
    pub fn new(every: Duration, only: Vec<TcpState>) -> Self {
        let ui = Ui::new(only);
        Self {
            about: Arc::default(),
            every,
            gathered: Gathered::default(),
            history: History::default(),
            place: Place::default(),
            reading: Arc::default(),
            survey: Arc::new(Survey::none(ui.question())),
            ui,
        }
    }

    /// Learns where the transitions come from.
    pub fn is_about(&mut self, about: &About) {
        self.about = Arc::new(about.clone());
    }

    /// Takes the next transition.
    pub fn transition(&mut self, transition: &Transition) {
        self.gathered.dwell.transition(transition);
        self.gathered.tally.count(transition);
    }

    /// Takes in `moment`, whose time of day is `time`. A picture that is held still stays as it is, while the counts go
    /// on being noted.
    pub fn refresh(&mut self, moment: &Moment<'_>, time: &str) {
        self.history
            .note(moment.now_ns, |state| moment.tracker.count(state));
        if !self.ui.paused {
            self.read(moment, time);
        }
    }

    fn read(&mut self, moment: &Moment<'_>, time: &str) {
        let reading = Reading::take(moment, time, self.every, &self.gathered, &self.history);
        self.reading = Arc::new(reading);
    }

    /// Obeys a command; `Break` ends the run.
    pub fn obey(
        &mut self,
        command: Command,
        moment: &mut Moment<'_>,
        time: &str,
    ) -> ControlFlow<()> {
        match command {
            Command::Quit => return ControlFlow::Break(()),
            Command::Reset if self.ui.typing.is_none() => {
                self.gathered = Gathered {
                    since_ns: Some(moment.now_ns),
                    ..Gathered::default()
                };
                if !self.ui.paused {
                    self.read(moment, time);
                }
            }
            _ => {
                let before = self.ui.page;
                let rows = Rows {
                    states: &self.reading.rows,
                    groups: &self.survey.groups,
                    sockets: &self.survey.sockets,
                    now_ns: self.survey.now_ns,
                };
                self.ui.obey(command, rows);
                if self.ui.page == Page::Socket
                    && before != Page::Socket
                    && let Some((socket, _)) = &self.ui.socket
                {
                    self.place = Place::of(socket, moment.places);
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Whether a filter is being typed.
    #[must_use]
    pub fn is_typing(&self) -> bool {
        self.ui.typing.is_some()
    }

    /// Whether a walk is worth its cost: for a refresh of what is on the screen, or for another question.
    #[must_use]
    pub fn wants_survey(&self, refresh: bool) -> bool {
        let visible = self.ui.page == Page::Main;
        let another = self.survey.now_ns == 0 || self.survey.question != self.ui.question();
        visible && (another || refresh && !self.ui.paused)
    }

    /// Walks over the open connections.
    pub fn survey(&mut self, moment: &mut Moment<'_>) {
        let question = self.ui.question();
        let open = moment.tracker.open();
        let survey = Survey::take(question, moment.places, moment.now_ns, open);
        self.survey = Arc::new(survey);
    }

    /// What is to be drawn now.
    #[must_use]
    pub fn picture(&self) -> Picture {
        Picture {
            about: Arc::clone(&self.about),
            ui: self.ui.clone(),
            reading: Arc::clone(&self.reading),
            survey: Arc::clone(&self.survey),
            place: self.place.clone(),
        }
    }
}
