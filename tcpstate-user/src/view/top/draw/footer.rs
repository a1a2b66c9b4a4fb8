//! The keys, as many as fit; or the filter.
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use crate::view::top::{
    model::Picture,
    palette::Palette,
    ui::{Page, Pane},
};

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, picture: &Picture, palette: Palette) {
    let line = if picture.ui.typing.is_some() {
        Line::from(vec![
            Span::styled(format!(" /{}", picture.ui.filter), palette.strong()),
            Span::styled("_", palette.selected()),
            Span::styled("   Enter keep  Esc drop  Ctrl-U clear", palette.faint()),
        ])
    } else {
        keys(picture, palette, area.width)
    };
    frame.render_widget(line, area);
}

/// The filter, and then the keys, the most useful first.
fn keys(picture: &Picture, palette: Palette, width: u16) -> Line<'static> {
    let ui = &picture.ui;
    let pause = if ui.paused { "go on" } else { "pause" };
    let inside = match ui.pane {
        Pane::States => "groups",
        Pane::Groups => "sockets",
        Pane::Sockets => "socket",
    };
    let main = [
        ("?", "help"),
        ("q", "quit"),
        ("Enter", inside),
        ("←→", "group by"),
        ("/", "filter"),
        ("s", "sort"),
        ("p", pause),
        ("Tab", "pane"),
        ("m", "matrix"),
        ("r", "reset"),
        ("Esc", "back"),
    ];
    let page = [("Esc", "back"), ("q", "quit"), ("p", pause), ("r", "reset")];
    let keys = match ui.page {
        Page::Main => &main[..],
        Page::Socket | Page::Matrix | Page::Help => &page[..],
    };
    let mut line = Line::raw(" ");
    if !ui.filter.is_empty() {
        line.push_span(Span::styled(format!("/{}", ui.filter), palette.notice()));
        line.push_span(Span::raw("  "));
    }
    for (key, meaning) in keys {
        let more = key.chars().count() + 1 + meaning.chars().count();
        if line.width() + more > usize::from(width) {
            break;
        }
        line.push_span(Span::styled(*key, palette.strong()));
        line.push_span(Span::styled(format!(" {meaning}"), palette.faint()));
        line.push_span(Span::raw("  "));
    }
    line
}
