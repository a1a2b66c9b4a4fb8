//! Rows and columns. A column that does not fit is left out whole, the least important first, rather than cut.
use std::ops::Range;

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use crate::view::top::palette::Palette;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// Its head.
    pub head: &'static str,
    /// Cells that it needs.
    pub width: u16,
    /// Cells that it may have if there are more.
    pub most: u16,
    /// Its text stands on the right.
    pub right: bool,
    /// The higher, the sooner it is left out.
    pub rank: u8,
}

/// A column of numbers.
pub(super) const fn number(head: &'static str, width: u16, rank: u8) -> Column {
    Column {
        head,
        width,
        most: width,
        right: true,
        rank,
    }
}

/// A column of words, which takes more room where there is some.
pub(super) const fn words(head: &'static str, width: u16, most: u16, rank: u8) -> Column {
    Column {
        head,
        width,
        most,
        right: false,
        rank,
    }
}

/// What a table shows.
pub(super) struct Table<'a> {
    /// Its columns.
    pub columns: &'a [Column],
    /// How many rows there are.
    pub rows: usize,
    /// The selected one.
    pub selected: Option<usize>,
    /// The keys go to this table.
    pub focused: bool,
}

/// Draws a table; `cell` gives the text of a row's column that has so many cells.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    palette: Palette,
    table: &Table<'_>,
    cell: impl Fn(usize, usize, u16) -> Span<'static>,
) {
    if area.height == 0 {
        return;
    }
    let fitted = fit(table.columns, area.width.saturating_sub(1));
    let line = |text: &dyn Fn(usize, u16) -> Span<'static>| {
        let mut spans = Vec::new();
        for (index, width) in &fitted {
            let span = text(*index, *width);
            let room = usize::from(*width).saturating_sub(span.width());
            let padding = Span::raw(" ".repeat(room));
            if table.columns[*index].right {
                spans.extend([padding, span]);
            } else {
                spans.extend([span, padding]);
            }
            spans.push(Span::raw(" "));
        }
        spans
    };
    let heads = line(&|index, width| {
        let head: String = table.columns[index]
            .head
            .chars()
            .take(usize::from(width))
            .collect();
        Span::styled(head, palette.head())
    });
    put(frame, area, 0, " ", heads, Style::new());
    let shown = window(table.rows, usize::from(area.height - 1), table.selected);
    for (y, row) in (1..).zip(shown) {
        let selected = table.selected == Some(row);
        let style = match (selected, table.focused) {
            (true, true) => palette.selected(),
            (true, false) => palette.strong(),
            (false, _) => Style::new(),
        };
        let mark = if selected { ">" } else { " " };
        put(
            frame,
            area,
            y,
            mark,
            line(&|index, width| cell(row, index, width)),
            style,
        );
    }
}

/// Puts one line at row `y` of `area`.
fn put(
    frame: &mut Frame<'_>,
    area: Rect,
    y: u16,
    mark: &'static str,
    mut spans: Vec<Span<'static>>,
    style: Style,
) {
    spans.insert(0, Span::raw(mark));
    let row = Rect {
        y: area.y + y,
        height: 1,
        ..area
    };
    frame.render_widget(Line::from(spans).style(style), row);
}

/// The columns that fit into `width`, in their order, with the cells that each gets.
fn fit(columns: &[Column], width: u16) -> Vec<(usize, u16)> {
    let mut by_rank: Vec<usize> = (0..columns.len()).collect();
    by_rank.sort_by_key(|index| columns[*index].rank);
    let mut left = width;
    let mut chosen = Vec::new();
    for index in by_rank {
        let gap = u16::from(!chosen.is_empty());
        let Some(rest) = left.checked_sub(columns[index].width + gap) else {
            break;
        };
        left = rest;
        chosen.push(index);
    }
    chosen.sort_unstable();
    let mut fitted: Vec<(usize, u16)> = chosen
        .into_iter()
        .map(|index| (index, columns[index].width))
        .collect();
    // What is left goes to the columns that can use it, evenly.
    loop {
        let growing = |(index, width): &&mut (usize, u16)| *width < columns[*index].most;
        let count = fitted.iter_mut().filter(growing).count();
        let Some(share) = left.checked_div(u16::try_from(count).unwrap_or(u16::MAX)) else {
            return fitted;
        };
        if left == 0 {
            return fitted;
        }
        for (index, width) in fitted.iter_mut().filter(growing) {
            let more = share.max(1).min(left).min(columns[*index].most - *width);
            *width += more;
            left -= more;
        }
    }
}

/// The rows that are seen of `rows` where there is room for `height`: the selected one in the middle, as far as there
/// are rows on both sides.
fn window(rows: usize, height: usize, selected: Option<usize>) -> Range<usize> {
    let middle = selected.unwrap_or(0).min(rows.saturating_sub(1));
    let first = middle
        .saturating_sub(height / 2)
        .min(rows.saturating_sub(height));
    first..(first + height).min(rows)
}

/// `text` in at most `width` cells of plain characters: the middle gives way, as both ends of an address tell more.
pub(super) fn squeeze(text: &str, width: u16) -> String {
    let (width, length) = (usize::from(width), text.chars().count());
    if length <= width {
        return text.to_owned();
    }
    let Some(kept) = width.checked_sub(1) else {
        return String::new();
    };
    let (front, back) = (kept - kept / 2, kept / 2);
    let chars = text.chars();
    let head: String = chars.clone().take(front).collect();
    let tail: String = chars.skip(length - back).collect();
    format!("{head}…{tail}")
}

/// `text` in at most `width` cells of plain characters: the end gives way, as the beginning of a name tells more.
pub(super) fn cut(text: &str, width: u16) -> String {
    let width = usize::from(width);
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// As many of `parts` as fit into `width`, from the first; none is cut.
pub(super) fn whole(parts: Vec<Span<'static>>, width: u16) -> Line<'static> {
    let mut line = Line::default();
    for part in parts {
        if line.width() + part.width() > usize::from(width) {
            break;
        }
        line.push_span(part);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        words("NAME", 4, 10, 0),
        number("LESS", 5, 2),
        number("MORE", 5, 1),
    ];

    #[test]
    fn the_least_important_column_goes_first() {
        for (width, expected) in [
            (0, &[][..]),
            (3, &[]),
            (4, &[(0, 4)]),
            (9, &[(0, 9)]),
            (10, &[(0, 4), (2, 5)]),
            (16, &[(0, 4), (1, 5), (2, 5)]),
            (18, &[(0, 6), (1, 5), (2, 5)]),
            (200, &[(0, 10), (1, 5), (2, 5)]),
        ] {
            assert_eq!(fit(&COLUMNS, width), expected, "{width}");
        }
    }

    #[test]
    fn the_selected_row_is_seen() {
        for (rows, height, selected, expected) in [
            (0, 5, None, 0..0),
            (3, 5, Some(2), 0..3),
            (100, 10, None, 0..10),
            (100, 10, Some(50), 45..55),
            (100, 10, Some(99), 90..100),
            (100, 10, Some(1000), 90..100),
            (100, 0, Some(5), 5..5),
            (100, 1, Some(5), 5..6),
        ] {
            assert_eq!(window(rows, height, selected), expected);
        }
    }

    #[test]
    fn a_long_address_keeps_its_ends() {
        assert_eq!(squeeze("[2001:db8::1]:443", 40), "[2001:db8::1]:443");
        assert_eq!(
            squeeze("[2001:db8:1:2:3:4:5:6]:443", 11),
            "[2001…6]:443".replace("…6", "…")
        );
        assert_eq!(cut("kworker/0:1", 8), "kworker…");
        assert_eq!(cut("java", 8), "java");
        assert_eq!(squeeze("abc", 1), "…");
        assert_eq!(squeeze("abc", 0), "");
    }
}
