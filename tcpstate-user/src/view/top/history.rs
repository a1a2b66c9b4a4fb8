//! What the counts were in the last minutes, for the bars at the end of each state's row.
use crate::tcp::TcpState;

/// How far back it goes, s.
pub const SPAN_S: usize = 300;

/// One second's counts.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: u64,
    counts: [u64; 12],
}

/// Sockets by state and second.
#[derive(Clone, Debug)]
pub struct History {
    seconds: Vec<Second>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            seconds: vec![Second::default(); SPAN_S],
        }
    }
}

impl History {
    /// Notes the counts at `now_ns`. Of several in one second the highest stays.
    pub fn note(&mut self, now_ns: u64, count: impl Fn(TcpState) -> u64) {
        let number = second(now_ns);
        let slot = &mut self.seconds[number as usize % SPAN_S];
        if slot.number != number {
            *slot = Second {
                number,
                ..Second::default()
            };
        }
        for state in TcpState::live() {
            let highest = &mut slot.counts[state.index()];
            *highest = (*highest).max(count(state));
        }
    }

    /// The counts of the span that ends with `now_ns`, in `cells` equal parts: the highest of each, `None` where
    /// nothing was noted. Parts begin at whole multiples of their length, so that they only move when one is complete.
    #[must_use]
    pub fn cells(&self, state: TcpState, now_ns: u64, cells: usize) -> Vec<Option<u64>> {
        let length = SPAN_S.div_ceil(cells.max(1)) as u64;
        let last = second(now_ns) / length;
        let mut parts = vec![None; cells];
        for noted in self.seconds.iter().filter(|noted| noted.number > 0) {
            let back = last.checked_sub(noted.number / length);
            let index = back.and_then(|back| cells.checked_sub(1 + usize::try_from(back).ok()?));
            if let Some(index) = index {
                parts[index] = parts[index].max(Some(noted.counts[state.index()]));
            }
        }
        parts
    }
}

/// The second's number, from 1.
fn second(now_ns: u64) -> u64 {
    now_ns / 1_000_000_000 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const STATE: TcpState = TcpState::CloseWait;

    #[test]
    fn a_cell_is_the_highest_count_of_its_part() {
        let mut history = History::default();
        for (second, count) in [(0, 3), (1, 1), (29, 2), (30, 0), (31, 0), (299, 7)] {
            history.note(second * S, |_| count);
        }
        history.note(299 * S + 1, |_| 5); // the same second
        let cells = history.cells(STATE, 298 * S, 10);
        assert_eq!(cells[0], Some(3), "seconds 0 to 28");
        assert_eq!(cells[1], Some(2), "29 to 58");
        assert_eq!(cells[2..9], [None; 7]);
        assert_eq!(history.cells(STATE, 299 * S, 10)[9], Some(7));
    }

    #[test]
    fn what_is_too_old_is_gone() {
        let mut history = History::default();
        history.note(S, |_| 9);
        assert_eq!(history.cells(STATE, 400 * S, 9), [None; 9]);
        history.note((SPAN_S as u64 + 1) * S, |_| 1);
        let cells = history.cells(STATE, (SPAN_S as u64 + 1) * S, 3);
        assert_eq!(cells, [None, None, Some(1)]);
    }

    #[test]
    fn no_cells_no_panic() {
        assert!(History::default().cells(STATE, S, 0).is_empty());
    }
}
