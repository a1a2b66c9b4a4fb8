//! The table of states.
//!
//! ```text
//!  STATE             NOW    IN/s   OUT/s    P50    P99     MAX   OLDEST 5 MIN
//! >CLOSE_WAIT      1,204     0.3       0  1.2ms   3.4s   1m02s >=03h12m ▁▁▂▄▆█
//! ```
use ratatui::{Frame, layout::Rect, text::Span};

use super::{
    spark::spark,
    table::{self, Column, Table, number, words},
};
use crate::view::top::{
    figure,
    model::Picture,
    palette::Palette,
    reading::Row,
    ui::{Pane, StateOrder},
};

/// The heads say the order where it is not that of life.
const fn columns(order: StateOrder) -> [Column; 10] {
    let (sockets, entered) = match order {
        StateOrder::Life => ("NOW", "IN/s"),
        StateOrder::Sockets => ("NOW↓", "IN/s"),
        StateOrder::Entered => ("NOW", "IN/s↓"),
    };
    [
        words("STATE", 11, 11, 0),
        number(sockets, 9, 1),
        number(entered, 7, 3),
        number("OUT/s", 7, 4),
        number("FINISHED", 11, 9),
        number("P50", 6, 6),
        number("P99", 6, 5),
        number("MAX", 7, 7),
        number("OLDEST", 8, 2),
        words("5 MIN", 5, 60, 8),
    ]
}

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, picture: &Picture, palette: Palette) {
    let rows = picture.ui.states(&picture.reading.rows);
    let table = Table {
        columns: &columns(picture.ui.state_order),
        rows: rows.len(),
        selected: rows.iter().position(|row| row.state == picture.ui.state),
        focused: picture.ui.pane == Pane::States,
    };
    table::draw(frame, area, palette, &table, |row, column, width| {
        cell(picture, palette, rows[row], column, width)
    });
}

fn cell(
    picture: &Picture,
    palette: Palette,
    row: &Row,
    column: usize,
    width: u16,
) -> Span<'static> {
    let oldest = figure::Span::oldest(&picture.survey.open[row.state.index()]);
    let span = |span: Option<figure::Span>| figure::or_dash(span);
    let text = match column {
        0 => row.state.to_string(),
        1 => figure::count(row.sockets),
        2 => figure::rate(row.entered),
        3 => figure::rate(row.left),
        4 => figure::count(row.finished),
        5 => span(row.p50),
        6 => span(row.p99),
        7 => span(row.max),
        8 => span(oldest),
        _ => {
            let reading = &picture.reading;
            let cells = reading
                .history
                .cells(row.state, reading.now_ns, usize::from(width));
            return Span::styled(spark(&cells), palette.bar());
        }
    };
    match text.as_str() {
        "0" | "-" => Span::styled(text, palette.faint()),
        _ => Span::raw(text),
    }
}
