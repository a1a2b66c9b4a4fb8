//! Facts into transitions, with few and with many live connections. What a transition costs must not depend on that.
use divan::{Bencher, counter::ItemsCount};

use crate::lives::{Crowd, OF_A_LIFE};

/// Lives in one sample.
const LIVES: usize = 10_000;

#[divan::bench(args = [1_000, 1_000_000], sample_size = 1)]
fn turn_over(bencher: Bencher, live: u32) {
    let mut crowd = Crowd::new(live);
    bencher
        .counter(ItemsCount::new(LIVES * OF_A_LIFE))
        .bench_local(|| {
            let mut given = 0;
            crowd.turn_over(LIVES, &mut |_| given += 1);
            assert_eq!(given, LIVES * OF_A_LIFE);
        });
}
