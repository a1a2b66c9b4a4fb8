//! Transitions into lines, and into dwell times.
use divan::{Bencher, black_box, counter::ItemsCount};
use tcpstate::{
    about::About,
    dwell::Dwell,
    sink::{
        Format,
        csv::Csv,
        json::Json,
        text::{Text, Times},
    },
};

use crate::lives;

#[divan::bench(sample_size = 1_000)]
fn text(bencher: Bencher) {
    lines(bencher, Text::new(Times::default(), false, false));
}

#[divan::bench(sample_size = 1_000)]
fn csv(bencher: Bencher) {
    lines(bencher, Csv::new(About::default().clock()));
}

#[divan::bench(sample_size = 1_000)]
fn json(bencher: Bencher) {
    lines(bencher, Json::new(About::default().clock()));
}

#[divan::bench(sample_size = 1_000)]
fn dwell(bencher: Bencher) {
    let transition = lives::transition();
    let mut dwell = Dwell::default();
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench_local(|| dwell.transition(black_box(&transition)));
}

fn lines(bencher: Bencher, mut format: impl Format) {
    let transition = lives::transition();
    let mut line = Vec::with_capacity(1024);
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        line.clear();
        format.transition(&mut line, 1, black_box(&transition));
        line.len()
    });
}
