//! Figures in few cells: counts, rates and times, each with the unit that fits it.
use std::fmt;

use crate::tracker::StillOpen;

/// A time span; a lower bound where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// ns.
    pub ns: u64,
    /// The real one is this long or longer.
    pub at_least: bool,
}

impl Span {
    /// A span that is known.
    #[must_use]
    pub const fn exact(ns: u64) -> Self {
        Self {
            ns,
            at_least: false,
        }
    }

    /// Age of the oldest of some sockets; `None` if there is none.
    #[must_use]
    pub fn oldest(open: &StillOpen) -> Option<Self> {
        let at_least = open.unknown_age > 0;
        open.oldest_ns.map(|ns| Self { ns, at_least })
    }
}

/// At most six cells, or eight for a lower bound.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.at_least { ">=" } else { "" };
        f.pad(&format!("{sign}{}", time(self.ns)))
    }
}

/// Cut, never rounded up: what is shown has really passed.
fn time(ns: u64) -> String {
    let (us, ms, s) = (ns / 1000, ns / 1_000_000, ns / 1_000_000_000);
    let (minutes, hours, days) = (s / 60, s / 3600, s / 86_400);
    match s {
        0 if us < 1000 => format!("{us}us"),
        0 if ms < 100 => format!("{ms}.{}ms", us / 100 % 10),
        0 => format!("{ms}ms"),
        1..60 => format!("{s}.{}s", ms / 100 % 10),
        60..3600 => format!("{minutes}m{:02}s", s % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ if days < 100 => format!("{days}d{:02}h", hours % 24),
        _ => format!("{days}d"),
    }
}

/// What may be unknown; that is `-`, never 0.
#[must_use]
pub fn or_dash(value: Option<impl fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A count with its thousands apart: `1,234,567`.
#[must_use]
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count in at most five cells: `12345`, `123k`, `12.3M`. Cut, never rounded up.
#[must_use]
pub fn short(count: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (1_000, "k"),
    ];
    let unit = UNITS.iter().find(|(unit, _)| count >= *unit);
    match unit {
        _ if count < 100_000 => count.to_string(),
        Some((unit, name)) if count / unit < 100 => {
            format!("{}.{}{name}", count / unit, count * 10 / unit % 10)
        }
        Some((unit, name)) => format!("{}{name}", count / unit),
        None => count.to_string(),
    }
}

/// Events a second in at most seven cells; a dash where not known.
#[must_use]
pub fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(rate) if rate < 99.95 => format!("{rate:.1}"),
        Some(rate) if rate < 999_999.5 => count(rate.round() as u64),
        Some(rate) => short(rate.round() as u64),
    }
}

/// Hours, minutes and seconds, as on a clock that counts up.
#[must_use]
pub fn clock(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_fits() {
        const S: u64 = 1_000_000_000;
        for (ns, text) in [
            (0, "0us"),
            (999_999, "999us"),
            (1_000_000, "1.0ms"),
            (99_999_999, "99.9ms"),
            (999_999_999, "999ms"),
            (S, "1.0s"),
            (60 * S - 1, "59.9s"),
            (60 * S, "1m00s"),
            (3600 * S - 1, "59m59s"),
            (86_400 * S - 1, "23h59m"),
            (86_400 * S, "1d00h"),
            (100 * 86_400 * S - 1, "99d23h"),
            (5000 * 86_400 * S, "5000d"),
        ] {
            assert_eq!(Span::exact(ns).to_string(), text);
            assert!(text.len() <= 6);
        }
        let bound = Span {
            ns: 5 * S,
            at_least: true,
        };
        assert_eq!(bound.to_string(), ">=5.0s");
        assert_eq!(or_dash(None::<Span>), "-");
    }

    #[test]
    fn counts_fit() {
        for (number, long, few) in [
            (0, "0", "0"),
            (999, "999", "999"),
            (1000, "1,000", "1000"),
            (99_999, "99,999", "99999"),
            (100_000, "100,000", "100k"),
            (12_345_678, "12,345,678", "12.3M"),
            (999_999_999, "999,999,999", "999M"),
        ] {
            assert_eq!(
                (count(number).as_str(), short(number).as_str()),
                (long, few)
            );
        }
        assert!(short(u64::MAX / 100_000).len() <= 5);
    }

    #[test]
    fn rates_fit_and_tell_zero_from_unknown() {
        for (number, text) in [
            (None, "-"),
            (Some(0.0), "0"),
            (Some(0.1), "0.1"),
            (Some(99.94), "99.9"),
            (Some(99.96), "100"),
            (Some(12_345.0), "12,345"),
            (Some(999_999.4), "999,999"),
            (Some(1_234_567.0), "1.2M"),
        ] {
            assert_eq!(rate(number), text);
        }
    }

    #[test]
    fn a_clock_counts_on_beyond_a_day() {
        assert_eq!(clock(90_061_000_000_000), "25:01:01");
    }
}
