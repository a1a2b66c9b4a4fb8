//! Numbers as people read them: three significant digits, a unit that fits, thousands set apart.

/// A time: `0 s`, `850 ns`, `12.3 µs`, `1.2 ms`, `60.7 s`, `4 min 5 s`, `3 h 20 min`, `2 d 4 h`.
pub(super) fn duration(ns: u64) -> String {
    if ns == 0 {
        return "0 s".to_owned();
    }
    for (unit, length_ns, most) in [
        ("ns", 1.0, 999.5),
        ("µs", 1e3, 999.5),
        ("ms", 1e6, 999.5),
        ("s", 1e9, 119.5),
    ] {
        let value = ns as f64 / length_ns;
        if value < most {
            return format!("{} {unit}", three_digits(value));
        }
    }
    let seconds = (ns + 500_000_000) / 1_000_000_000;
    match seconds {
        0..3600 => parts((seconds / 60, "min"), (seconds % 60, "s")),
        3600..172_800 => parts((seconds / 3600, "h"), (seconds % 3600 / 60, "min")),
        _ => parts((seconds / 86_400, "d"), (seconds % 86_400 / 3600, "h")),
    }
}

/// A number of things: `18,000`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Things a second: `12.3/s`.
pub(super) fn rate(per_second: f64) -> String {
    format!("{}/s", number(per_second))
}

/// A number that need not be whole: `0`, `0.012`, `12.3`, `1,234`.
pub(super) fn number(value: f64) -> String {
    if value >= 999.5 {
        count(value.round() as u64)
    } else {
        three_digits(value)
    }
}

/// A share: `12 %`, `0.03 %`; never 0 % or 100 % of what is neither nothing nor all.
pub(super) fn share(part: u64, whole: u64) -> String {
    if part == whole || whole == 0 {
        return format!("{} %", if part == 0 { 0 } else { 100 });
    }
    let percent = part as f64 / whole as f64 * 100.0;
    if percent >= 99.95 {
        "> 99.9 %".to_owned()
    } else if part > 0 && percent < 0.01 {
        "< 0.01 %".to_owned()
    } else {
        format!("{} %", three_digits(percent))
    }
}

fn parts((first, unit): (u64, &str), (second, small): (u64, &str)) -> String {
    if second == 0 {
        format!("{first} {unit}")
    } else {
        format!("{first} {unit} {second} {small}")
    }
}

/// Three significant digits of a value below 1000, without zeros at the end.
fn three_digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    // Digits before the point, negative for zeros behind it.
    let before = value.log10().floor() as i32 + 1;
    let after = usize::try_from(3 - before).unwrap_or(0).min(6);
    let text = format!("{value:.after$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_take_the_unit_that_fits() {
        for (ns, text) in [
            (0, "0 s"),
            (999, "999 ns"),
            (1_000, "1 µs"),
            (12_345, "12.3 µs"),
            (999_499, "999 µs"),
            (999_600, "1 ms"),
            (1_200_000, "1.2 ms"),
            (60_709_648_000, "60.7 s"),
            (119_400_000_000, "119 s"),
            (119_600_000_000, "2 min"),
            (245_000_000_000, "4 min 5 s"),
            (12_000_000_000_000, "3 h 20 min"),
            (187_200_000_000_000, "2 d 4 h"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn numbers_are_short_and_never_round_to_nothing() {
        assert_eq!(count(999), "999");
        assert_eq!(count(18_000), "18,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(rate(0.0), "0/s");
        assert_eq!(rate(0.0123), "0.0123/s");
        assert_eq!(rate(12.345), "12.3/s");
        assert_eq!(rate(12_345.6), "12,346/s");
        assert_eq!(share(0, 10), "0 %");
        assert_eq!(share(10, 10), "100 %");
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(99_999, 100_000), "> 99.9 %");
        assert_eq!(share(1, 100_000), "< 0.01 %");
    }
}
