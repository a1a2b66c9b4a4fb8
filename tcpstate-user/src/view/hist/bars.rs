//! A bar chart with logarithmic buckets, as bcc's tools print it.
use hdrhistogram::Histogram;
use std::io::Write as _;

use super::Unit;

/// Width of the longest bar.
const STARS: u64 = 40;

/// Appends the chart of a histogram of microseconds.
pub(super) fn write(out: &mut Vec<u8>, histogram: &Histogram<u64>, unit: Unit) {
    let buckets = buckets(histogram, unit);
    let most = buckets.iter().copied().max().unwrap_or(0).max(1);
    let Some(first) = buckets.iter().position(|count| *count > 0) else {
        return;
    };
    // Writing to a vector cannot fail.
    let _ = writeln!(out, "{:>24}     : count    distribution", unit.name());
    for (power, count) in buckets.iter().enumerate().skip(first) {
        let (low, high) = if power == 0 {
            (0, 1)
        } else {
            (1_u64 << power, (2_u64 << power) - 1)
        };
        let stars = "*".repeat(usize::try_from(count * STARS / most).unwrap_or(0));
        let _ = writeln!(
            out,
            "{low:>12} -> {high:<12} : {count:<8} |{stars:<width$}|",
            width = STARS as usize
        );
    }
}

/// Counts by power of two: bucket 0 holds 0 and 1, bucket n holds 2^n up to 2^(n+1) - 1.
fn buckets(histogram: &Histogram<u64>, unit: Unit) -> Vec<u64> {
    let mut buckets = Vec::new();
    for value in histogram.iter_recorded() {
        let power = (value.value_iterated_to() / unit.micros())
            .checked_ilog2()
            .unwrap_or(0) as usize;
        if buckets.len() <= power {
            buckets.resize(power + 1, 0);
        }
        buckets[power] += value.count_at_value();
    }
    buckets
}
