//! The transition matrix: how often each state was left for each other one.
//!
//! ```text
//! ─ transitions from each state (row) to each other (column) ──── in 00:12:03 ─
//!  FROM\TO     LISTN SYN_S SYN_R ESTAB FIN_1 FIN_2 CLOSG TIM_W CLS_W LST_A CLOSE
//!  CLOSE           3 12345     .     .
//! ```
use ratatui::{Frame, layout::Rect, text::Span};

use super::{
    pane,
    table::{self, Column, Table, number, words},
};
use crate::{
    tcp::TcpState,
    view::top::{figure, model::Picture, palette::Palette, reading::LIFE},
};

/// Every state, `CLOSE` first: where each connection begins.
fn states() -> [TcpState; 11] {
    let mut states = [TcpState::Close; 11];
    states[1..].copy_from_slice(&LIFE);
    states
}

/// A state's name in five cells.
const fn five(state: TcpState) -> &'static str {
    match state {
        TcpState::Established => "ESTAB",
        TcpState::SynSent => "SYN_S",
        TcpState::SynRecv => "SYN_R",
        TcpState::FinWait1 => "FIN_1",
        TcpState::FinWait2 => "FIN_2",
        TcpState::TimeWait => "TIM_W",
        TcpState::Close => "CLOSE",
        TcpState::CloseWait => "CLS_W",
        TcpState::LastAck => "LST_A",
        TcpState::Listen => "LISTN",
        TcpState::Closing => "CLSNG",
    }
}

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, picture: &Picture, palette: Palette) {
    let reading = &picture.reading;
    let title = vec![Span::styled(
        "transitions from each state (row) to each other (column)",
        palette.strong(),
    )];
    let figures = format!("in {}", figure::clock(reading.gathered_ns));
    let inner = pane::draw(frame, area, palette, title, figures);
    let states = states();
    let full = inner.width >= 12 * 12 + 12;
    let mut columns: Vec<Column> = vec![words("FROM\\TO", 11, 11, 0)];
    columns.extend((1..).zip(states).map(|(rank, state)| {
        if full {
            number(state.name(), 11, rank)
        } else {
            number(five(state), 5, rank)
        }
    }));
    columns.push(number("ALL", if full { 13 } else { 5 }, 12));
    let figure = |count| {
        if full {
            figure::count(count)
        } else {
            figure::short(count)
        }
    };
    let table = Table {
        columns: &columns,
        rows: states.len(),
        selected: None,
        focused: false,
    };
    table::draw(frame, inner, palette, &table, |row, column, _| {
        let from = states[row];
        match column.checked_sub(1).map(|index| states.get(index)) {
            None => Span::styled(from.name(), palette.head()),
            Some(Some(to)) => match reading.tally.get(from, *to) {
                0 => Span::styled("·", palette.faint()),
                count => Span::raw(figure(count)),
            },
            Some(None) => {
                let all = states.iter().map(|to| reading.tally.get(from, *to)).sum();
                Span::styled(figure(all), palette.strong())
            }
        }
    });
}
