//! The way from facts, or a recording, to a view: the tracker makes transitions of them, and the view gets those that are
//! shown.
use super::Settings;
use crate::{
    fact::Fact, places::Places, sink::Output, summary::Tally, tcp::Transition, tracker::Tracker,
    view::View,
};

/// What facts pass through.
pub(super) struct Flow<'a> {
    pub(super) settings: &'a Settings,
    pub(super) view: &'a mut dyn View,
    pub(super) tracker: Tracker,
    pub(super) tally: Tally,
    pub(super) output: Output,
    pub(super) places: Places,
}

impl Flow<'_> {
    /// Applies one fact.
    pub(super) fn apply(&mut self, fact: &Fact) {
        if !self.settings.cgroups.is_empty() {
            self.place(fact.cgroup());
        }
        self.give(|tracker, out| tracker.apply(fact, out));
    }

    /// Tells the tracker whether a cgroup is one of those that are followed.
    pub(super) fn place(&mut self, cgroup: Option<u64>) {
        let Some(cgroup) = cgroup else {
            return;
        };
        let mut filters = self.settings.cgroups.iter();
        if filters.any(|filter| filter.holds(cgroup, &mut self.places)) {
            self.tracker.follow_cgroup(cgroup);
        }
    }

    /// Has the tracker do something, and gives the transitions that come of it to the view.
    pub(super) fn give(&mut self, act: impl FnOnce(&mut Tracker, &mut dyn FnMut(&Transition))) {
        let Self {
            settings,
            view,
            tracker,
            tally,
            output,
            places,
        } = self;
        act(tracker, &mut |transition| {
            if !settings.shown.passes(transition) {
                return;
            }
            let container = transition
                .cgroup
                .and_then(|cgroup| places.container(cgroup));
            // Few are in a container, and a transition is large.
            let placed = container.map(|_| Transition {
                container,
                ..*transition
            });
            let transition = placed.as_ref().unwrap_or(transition);
            if view.transition(tally.total(), transition, output) {
                tally.count(transition);
            }
        });
    }
}
