//! Lives put together from what the tracker gives out: what holds for every story, complete or not.
use proptest::prelude::*;

use super::{Run, story::story};
use crate::{
    life::{IN_ORDER, Life, Lives},
    tracker::Config,
};

/// The lives that the run's transitions make, and the table that is left.
fn put_together(run: &Run) -> (Vec<Life>, Lives) {
    let mut lives = Lives::default();
    let ended = run
        .out
        .iter()
        .filter_map(|transition| lives.transition(transition, true))
        .collect();
    (ended, lives)
}

/// The sum of the stays is the total, wherever all of them are known.
fn assert_sum(life: &Life) -> Result<(), TestCaseError> {
    let stays: Option<Vec<u64>> = IN_ORDER
        .iter()
        .map(|state| life.course.stay_ns(*state))
        .collect();
    if let Some(stays) = stays {
        prop_assert_eq!(Some(stays.iter().sum()), life.total_ns(), "{:#?}", life);
    }
    Ok(())
}

proptest! {
    /// Every life that ends comes out once, whole; those that go on are those of the table.
    #[test]
    fn the_stays_add_up(story in story()) {
        let mut run = Run::new(Config::default());
        run.tell(&story.told);
        run.finish();
        let (ended, mut lives) = put_together(&run);
        for life in &ended {
            assert_sum(life)?;
            let mut told = run.out.iter().filter(|transition| transition.id == life.id);
            let begin_ns = told.next().expect("a life has transitions").mono_ns;
            let span_ns = told.next_back().map(|end| end.mono_ns - begin_ns);
            let cookie = life.course.opened_ns().is_none();
            prop_assert_eq!(life.total_ns(), span_ns.filter(|_| !cookie));
            prop_assert!(life.closer.is_some(), "{:#?}", life);
        }
        let now_ns = story.told.last().map_or(0, |told| told.fact.time_ns);
        for open in run.tracker.open() {
            let life = lives.unfinished(&open, now_ns, true).expect("it is wanted");
            assert_sum(&life)?;
        }
        let open = run.tracker.open().count();
        prop_assert_eq!(lives.len(), open);
        lives.sweep(&run.tracker);
        prop_assert_eq!((lives.len(), lives.ended_unseen()), (open, 0));
    }

    /// Whatever is lost: no life is told with a wrong sum, and none stays behind once the tracker has forgotten it.
    #[test]
    fn nothing_leaks_when_facts_are_lost(
        story in story(),
        lost in proptest::collection::vec(any::<bool>(), 120),
    ) {
        let mut run = Run::new(Config::default());
        for (told, lost) in story.told.iter().zip(&lost) {
            if *lost {
                run.tracker.facts_lost();
            } else {
                run.tell([told]);
            }
        }
        run.finish();
        let (ended, mut lives) = put_together(&run);
        for life in &ended {
            assert_sum(life)?;
        }
        lives.sweep(&run.tracker);
        prop_assert!(lives.len() <= run.tracker.open().count());
    }
}
