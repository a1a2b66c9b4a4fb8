//! A recording that others made, from its bytes to what is shown of it.
use std::{
    io::Cursor,
    ops::ControlFlow,
    sync::mpsc::{Receiver, sync_channel},
    time::Duration,
};

use jiff::tz::TimeZone;

use super::{assert_harmless, assert_harmless_lines};
use crate::{
    about::About,
    life::Lives,
    places::Places,
    recording::{Recording, Row, seal},
    sink::{Format, Output, WallClock, csv::Csv, json::Json, printable, text},
    source::Lost,
    tcp::{TcpState, Transition},
    tracker::{Config, Tracker},
    view::{
        Moment, View,
        hist::{self, Hist},
        life,
        report::{self, Report},
    },
};

/// Rows that are looked at: so many that every table is full of them, so few that a run is short.
const ROWS: usize = 1 << 10;

/// Any bytes are a recording as far as they are whole, then one error; what is whole is shown, whatever it says. The
/// checksums are made to fit, as whoever wants to do harm would.
pub fn recording(data: &[u8]) {
    let _ = read(data.to_vec());
    let mut sealed = data.to_vec();
    seal(&mut sealed);
    if let Some((about, rows)) = read(sealed) {
        Shows::new(&about).show(&rows);
    }
}

fn read(bytes: Vec<u8>) -> Option<(About, Vec<Row>)> {
    let mut recording = match Recording::open(Box::new(Cursor::new(bytes))) {
        Ok(recording) => recording,
        Err(damage) => {
            assert_harmless(&printable(damage.to_string().as_bytes()));
            return None;
        }
    };
    let mut rows = Vec::new();
    while let Ok(Some(batch)) = recording.next_batch() {
        rows.extend(batch);
        rows.truncate(ROWS);
    }
    Some((recording.about().clone(), rows))
}

/// Every surface that shows a recording without a terminal.
pub(super) struct Shows {
    about: About,
    tracker: Tracker,
    lives: Lives,
    formats: [Box<dyn Format>; 3],
    life_formats: [Box<dyn life::Format>; 3],
    views: Vec<Box<dyn View>>,
    output: Output,
    shown: Receiver<Vec<u8>>,
}

impl Shows {
    pub(super) fn new(about: &About) -> Self {
        // The zone of whoever runs this would make one input do different things.
        let clock = || WallClock::new(about.wall_offset_ns.into(), TimeZone::UTC);
        let times = text::Times {
            wall: Some(clock()),
            since_ns: Some(about.start_ns),
        };
        let hist = |by, json| {
            let settings = hist::Settings {
                interval: Some(Duration::from_secs(1)),
                count: None,
                states: Vec::new(),
                unit: hist::Unit::Usecs,
                json,
                by,
                keys: 10,
            };
            Box::new(Hist::new(settings, clock(), None))
        };
        let page = |json| {
            let settings = report::Settings {
                advice: None,
                command: "tcpstate report".to_owned(),
                file: None,
                json,
                duration: None,
                progress: false,
            };
            Box::new(Report::new(settings, clock()))
        };
        let (queue, shown) = sync_channel(1 << 10);
        Self {
            tracker: Tracker::new(Config::default()),
            lives: Lives::default(),
            formats: [
                Box::new(text::Text::new(times, true, true)),
                Box::new(Csv::new(clock())),
                Box::new(Json::new(clock())),
            ],
            life_formats: [
                Box::new(life::text::Text::new(Some(clock()), true)),
                Box::new(life::csv::Csv::new(clock())),
                Box::new(life::json::Json::new(clock())),
            ],
            views: vec![
                hist(hist::By::Comm, false),
                hist(hist::By::Remote, true),
                page(false),
                page(true),
            ],
            output: Output::to(queue),
            shown,
            about: about.clone(),
        }
    }

    /// Shows the rows everywhere; returns what `hist` and `report` say at the end.
    pub(super) fn show(mut self, rows: &[Row]) -> String {
        let mut lost = Lost::default();
        let mut now_ns = self.about.start_ns;
        let mut places = Places::unknown();
        let mut out = Vec::new();
        let about = self.about.clone();
        self.each(now_ns, lost, &mut places, |view, moment, output| {
            view.begin(output);
            view.ready(&about, moment);
        });
        for (seq, row) in rows.iter().enumerate() {
            now_ns = now_ns.max(row.mono_ns());
            let mut give = |transition: &Transition| out.push(*transition);
            match row {
                Row::Snapshot { socket, .. } => self.tracker.replay_socket(socket, &mut give),
                Row::Transition { transition, .. } => self.tracker.replay(transition, &mut give),
                Row::Loss {
                    cause, lost: more, ..
                } => lost.add(cause, *more),
                Row::End { .. } => {}
            }
            for transition in out.drain(..) {
                self.transition(seq as u64, &transition);
            }
            self.assert_counts();
        }
        self.each(now_ns, lost, &mut places, |view, moment, output| {
            let _: ControlFlow<()> = view.interval(moment, output);
            view.finish(moment, output);
        });
        for open in self.tracker.open() {
            if let Some(life) = self.lives.unfinished(&open, now_ns, true) {
                self.life_formats
                    .iter_mut()
                    .for_each(|format| assert_line(|line| format.life(line, 0, &life)));
            }
        }
        self.output.flush();
        let shown: Vec<u8> = self.shown.try_iter().flatten().collect();
        assert_harmless_lines(&shown);
        String::from_utf8(shown).expect("an output is UTF-8")
    }

    fn transition(&mut self, seq: u64, transition: &Transition) {
        for format in &mut self.formats {
            assert_line(|line| format.transition(line, seq, transition));
        }
        if let Some(life) = self.lives.transition(transition, true) {
            for format in &mut self.life_formats {
                assert_line(|line| format.life(line, seq, &life));
            }
        }
        for view in &mut self.views {
            view.transition(seq, transition, &mut self.output);
        }
    }

    fn each(
        &mut self,
        now_ns: u64,
        lost: Lost,
        places: &mut Places,
        mut act: impl FnMut(&mut dyn View, &mut Moment<'_>, &mut Output),
    ) {
        let mut moment = Moment {
            tracker: &self.tracker,
            places,
            start_ns: self.about.start_ns,
            now_ns,
            lost,
            damage: None,
            programs: None,
        };
        for view in &mut self.views {
            act(&mut **view, &mut moment, &mut self.output);
        }
    }

    /// The tracker's invariant, whatever the rows say.
    fn assert_counts(&self) {
        let open = self.tracker.still_open(u64::MAX);
        for state in TcpState::ALL {
            assert_eq!(
                self.tracker.count(state),
                open[state.index()].sockets,
                "{state}"
            );
        }
    }
}

/// A format gives exactly one harmless line.
fn assert_line(write: impl FnOnce(&mut Vec<u8>)) {
    let mut line = Vec::new();
    write(&mut line);
    let line = line.strip_suffix(b"\n").expect("a line has an end");
    assert_harmless(std::str::from_utf8(line).expect("a line is UTF-8"));
}
