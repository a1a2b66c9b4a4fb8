//! Wall-clock text of a transition's time.
use jiff::{Timestamp, tz::TimeZone};

const NS_PER_S: i128 = 1_000_000_000;

/// Turns monotonic time into wall-clock text. One offset holds for the whole run, so that times never step back when
/// the clock is set. The text of the second is kept, as most lines share it with the line before.
#[derive(Clone, Debug)]
pub struct WallClock {
    offset_ns: i128,
    second: i128,
    utc: String,
    local: String,
    zone: TimeZone,
}

impl WallClock {
    /// A clock that adds `offset_ns` to monotonic time; local times are in `zone`.
    #[must_use]
    pub fn new(offset_ns: i128, zone: TimeZone) -> Self {
        Self {
            offset_ns,
            second: i128::MIN,
            utc: String::new(),
            local: String::new(),
            zone,
        }
    }

    /// RFC 3339 in UTC with nanoseconds, in two parts: up to the second, and the nanoseconds.
    pub fn rfc3339(&mut self, mono_ns: u64) -> (&str, u32) {
        let nanos = self.enter(mono_ns);
        (&self.utc, nanos)
    }

    /// `HH:MM:SS` in the local zone.
    pub fn local(&mut self, mono_ns: u64) -> &str {
        self.enter(mono_ns);
        &self.local
    }

    fn enter(&mut self, mono_ns: u64) -> u32 {
        let wall = i128::from(mono_ns) + self.offset_ns;
        let second = wall.div_euclid(NS_PER_S);
        if second != self.second {
            self.second = second;
            let time = i64::try_from(second)
                .ok()
                .and_then(|second| Timestamp::from_second(second).ok());
            let time = time.unwrap_or_default();
            self.utc = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
            self.local = time
                .to_zoned(self.zone.clone())
                .strftime("%H:%M:%S")
                .to_string();
        }
        u32::try_from(wall.rem_euclid(NS_PER_S)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_nine_digits_and_follow_the_second() {
        let mut clock = WallClock::new(1_000_000_000_000_000_000, TimeZone::UTC);
        assert_eq!(clock.rfc3339(5), ("2001-09-09T01:46:40", 5));
        assert_eq!(
            clock.rfc3339(1_999_999_999),
            ("2001-09-09T01:46:41", 999_999_999)
        );
        assert_eq!(clock.local(61_000_000_000), "01:47:41");
    }
}
