//! Bars of one cell each, for the course of a count.
use ratatui::symbols::bar;

/// The lowest bar is zero, the highest the highest value; a blank is unknown.
const LEVELS: [&str; 8] = [
    bar::ONE_EIGHTH,
    bar::ONE_QUARTER,
    bar::THREE_EIGHTHS,
    bar::HALF,
    bar::FIVE_EIGHTHS,
    bar::THREE_QUARTERS,
    bar::SEVEN_EIGHTHS,
    bar::FULL,
];

/// The course of `values`, one cell each.
pub(super) fn spark(values: &[Option<u64>]) -> String {
    let highest = values.iter().flatten().max().copied().unwrap_or(0);
    let top = LEVELS.len() - 1;
    let level = |value: u64| match u128::from(highest) {
        0 => 0,
        // Anything above zero stands above the lowest bar.
        highest => (u128::from(value) * top as u128).div_ceil(highest) as usize,
    };
    values
        .iter()
        .map(|value| value.map_or(" ", |value| LEVELS[level(value).min(top)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::spark;

    #[test]
    fn zero_is_the_lowest_bar_and_unknown_is_blank() {
        assert_eq!(
            spark(&[None, Some(0), Some(1), Some(50), Some(100)]),
            " ▁▂▅█"
        );
        assert_eq!(spark(&[Some(0), Some(0)]), "▁▁");
        assert_eq!(spark(&[Some(u64::MAX), Some(u64::MAX / 2)]), "█▅");
        assert_eq!(spark(&[]), "");
    }
}
