//! Transition rates over the last 1, 10 and 60 whole seconds of the facts' own clock.
use crate::tcp::TcpState;

const NS_PER_S: u64 = 1_000_000_000;

/// A window of whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last second.
    One = 1,
    /// The last ten.
    Ten = 10,
    /// The last sixty.
    Sixty = 60,
}

impl Window {
    /// All windows, shortest first.
    pub const ALL: [Self; 3] = [Self::One, Self::Ten, Self::Sixty];
}

/// One second's transitions.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: u64,
    entered: [u32; 12],
    left: [u32; 12],
}

/// Slots: the longest window and the second that is still running, rounded up to a power of two for a cheap index.
const SLOTS: usize = 64;

/// Transitions by second.
#[derive(Clone, Debug)]
pub struct Rates {
    seconds: [Second; SLOTS],
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            seconds: [Second::default(); SLOTS],
        }
    }
}

impl Rates {
    /// Counts a transition at `time_ns`.
    pub fn count(&mut self, time_ns: u64, from: TcpState, to: TcpState) {
        let number = time_ns / NS_PER_S;
        let slot = &mut self.seconds[number as usize % SLOTS];
        if slot.number != number {
            if slot.number > number {
                return; // older than every window: a transition that was held back for long
            }
            *slot = Second {
                number,
                ..Second::default()
            };
        }
        slot.left[from.index()] += 1;
        slot.entered[to.index()] += 1;
    }

    /// Transitions a second into `state` over the window that ends with the last whole second before `now_ns`;
    /// `None` unless the window lies wholly after `start_ns`.
    #[must_use]
    pub fn entered(
        &self,
        state: TcpState,
        window: Window,
        start_ns: u64,
        now_ns: u64,
    ) -> Option<f64> {
        self.rate(window, start_ns, now_ns, |second| {
            u64::from(second.entered[state.index()])
        })
    }

    /// Transitions a second out of `state`, likewise.
    #[must_use]
    pub fn left(&self, state: TcpState, window: Window, start_ns: u64, now_ns: u64) -> Option<f64> {
        self.rate(window, start_ns, now_ns, |second| {
            u64::from(second.left[state.index()])
        })
    }

    /// All transitions a second, likewise.
    #[must_use]
    pub fn total(&self, window: Window, start_ns: u64, now_ns: u64) -> Option<f64> {
        self.rate(window, start_ns, now_ns, |second| {
            second.entered.iter().map(|count| u64::from(*count)).sum()
        })
    }

    fn rate(
        &self,
        window: Window,
        start_ns: u64,
        now_ns: u64,
        of: impl Fn(&Second) -> u64,
    ) -> Option<f64> {
        let length = window as u64;
        let end = now_ns / NS_PER_S;
        let first = end.checked_sub(length)?;
        if first * NS_PER_S < start_ns {
            return None;
        }
        let sum: u64 = self
            .seconds
            .iter()
            .filter(|second| (first..end).contains(&second.number))
            .map(of)
            .sum();
        Some(sum as f64 / length as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_its_whole_seconds_only() {
        let mut rates = Rates::default();
        let (from, to) = (TcpState::Close, TcpState::SynSent);
        let at = |tenths: u64| tenths * NS_PER_S / 10;
        for tenths in [995, 1000, 1001, 1009, 1010] {
            rates.count(at(tenths), from, to);
        }
        assert_eq!(rates.entered(to, Window::One, 0, at(1015)), Some(3.0));
        assert_eq!(rates.left(from, Window::Ten, 0, at(1015)), Some(0.4));
        assert_eq!(rates.entered(from, Window::Ten, 0, at(1015)), Some(0.0));
        assert_eq!(
            rates.total(Window::Sixty, at(500), at(1015)),
            None,
            "it began less than 60 s ago"
        );
    }
}
