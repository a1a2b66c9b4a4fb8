//! A recording, written and replayed. Writing goes through the thread that writes, so its time is what both take
//! together until the file is whole; replaying is done by one thread here.
use std::{
    fs::{self, File},
    io::Cursor,
    time::Duration,
};

use divan::{Bencher, counter::ItemsCount};
use tcpstate::{
    about::About,
    dwell::Dwell,
    recording::{Recording, Rotation, Row, Target, Writer},
    tracker::{Config, Tracker},
};
use tempfile::TempDir;

use crate::lives::{OF_A_LIFE, transitions};

/// Rows in a batch, as `record` makes them.
const BATCH: usize = 4_096;
/// Lives in the recording: their rows fit into the writer's queue.
const LIVES: usize = 20_000;

#[divan::bench(sample_size = 1)]
fn write(bencher: Bencher) {
    let batches = batches();
    let folder = TempDir::new().expect("a folder");
    bencher
        .counter(ItemsCount::new(LIVES * OF_A_LIFE))
        .with_inputs(|| batches.clone())
        .bench_local_values(|batches| written(&folder, batches));
}

/// As `hist --from` does it: every row through the tracker into the dwell times.
#[divan::bench(sample_size = 1, min_time = Duration::from_secs(2))]
fn replay_into_hist(bencher: Bencher) {
    let folder = TempDir::new().expect("a folder");
    let bytes = written(&folder, batches());
    bencher
        .counter(ItemsCount::new(LIVES * OF_A_LIFE))
        .with_inputs(|| bytes.clone())
        .bench_local_values(|bytes| {
            let mut recording = Recording::open(Box::new(Cursor::new(bytes))).expect("a head");
            let mut tracker = Tracker::new(Config::default());
            let mut dwell = Dwell::default();
            let mut given = 0;
            while let Some(rows) = recording.next_batch().expect("a whole recording") {
                for row in &rows {
                    if let Row::Transition { transition, .. } = row {
                        tracker.replay(transition, &mut |transition| {
                            dwell.transition(transition);
                            given += 1;
                        });
                    }
                }
            }
            assert_eq!(given, LIVES * OF_A_LIFE);
            dwell
        });
}

fn batches() -> Vec<Vec<Row>> {
    let rows: Vec<Row> = (0..)
        .zip(transitions(LIVES))
        .map(|(seq, transition)| Row::Transition { seq, transition })
        .collect();
    rows.chunks(BATCH).map(<[Row]>::to_vec).collect()
}

/// Writes a recording of them, and returns it.
fn written(folder: &TempDir, batches: Vec<Vec<Row>>) -> Vec<u8> {
    let path = folder.path().join("recording.arrows");
    File::create(&path).expect("a file");
    let target = Target::File(path.clone());
    let mut writer = Writer::create(target, Rotation::default(), false).expect("a writer");
    assert!(writer.begin(&About::default()));
    for rows in batches {
        assert!(writer.rows(rows).is_ok(), "the queue is full");
    }
    writer.finish(Vec::new()).expect("writing");
    fs::read(path).expect("reading it")
}
