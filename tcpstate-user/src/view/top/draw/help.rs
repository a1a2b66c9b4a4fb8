//! The keys and the columns, explained.
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::pane;
use crate::view::top::palette::Palette;

const KEYS: [(&str, &str); 11] = [
    ("Up Down j k", "another row; also PgUp PgDn Home End g G"),
    (
        "Left Right h l",
        "group by process, remote, localport, container, namespace",
    ),
    ("Tab", "the next pane: states, groups, sockets"),
    (
        "Enter",
        "into it: a state's groups, a group's sockets, one socket",
    ),
    ("Esc", "back out: of a page, a group, the filter, a pane"),
    (
        "/",
        "only sockets with these words: a name, pid, address, :port",
    ),
    ("s", "another order of the pane's rows"),
    (
        "p Space",
        "hold the picture still, or go on; nothing goes uncounted",
    ),
    ("r", "forget finished dwell times and transitions"),
    (
        "m",
        "the matrix: how often each state was left for each other",
    ),
    ("q F10 Ctrl-C", "end, with a summary"),
];

const COLUMNS: [(&str, &str); 7] = [
    ("NOW", "sockets in the state, as ss counts them"),
    ("IN/s OUT/s", "transitions a second into it and out of it"),
    ("P50 P99 MAX", "how long those stayed that have left"),
    (
        "OLDEST AGE",
        "how long one has been in it that still is; >= when it was",
    ),
    ("", "there before we looked, so it is older than that"),
    (
        "5 MIN",
        "sockets in the state; lowest bar 0, blank not watched",
    ),
    ("-", "not known; it never means 0"),
];

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, palette: Palette) {
    let title = vec![Span::styled("keys and columns", palette.strong())];
    let inner = pane::draw(frame, area, palette, title, "? or Esc: back".to_owned());
    let line = |(name, meaning): &(&'static str, &'static str)| {
        Line::from(vec![
            Span::styled(format!(" {name:<15}"), palette.head()),
            Span::raw(*meaning),
        ])
    };
    let mut lines: Vec<Line<'static>> = KEYS.iter().map(line).collect();
    lines.push(Line::default());
    lines.extend(COLUMNS.iter().map(line));
    frame.render_widget(Paragraph::new(lines), inner);
}
