//! Where the numbers come from, how fast things go, and what was lost.
//!
//! ```text
//!  tcpstate web-1  6.12.48-cloud-amd64  fentry tier          12,345/s  lost 0
//!  14:03:05  18,204 sockets  watching 00:12:03  drift 0                ring_full 12
//! ```
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};

use super::table::whole;
use crate::{
    sink::printable,
    view::top::{figure, model::Picture, palette::Palette},
};

/// Draws as many of the two lines as `area` has.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, picture: &Picture, palette: Palette) {
    let lines = [
        (place(picture, palette), pace(picture, palette)),
        (moment(picture, palette), losses(picture, palette)),
    ];
    for (y, (left, right)) in (area.y..area.bottom()).zip(lines) {
        let row = Rect {
            y,
            height: 1,
            ..area
        };
        // What was lost is on the right and never gives way.
        let width = u16::try_from(right.width()).unwrap_or(u16::MAX);
        let [start, end] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Length(width)]).areas(row);
        frame.render_widget(whole(left, start.width), start);
        frame.render_widget(right, end);
    }
}

/// Where the numbers come from.
fn place(picture: &Picture, palette: Palette) -> Vec<Span<'static>> {
    let about = &picture.about;
    let safe = |text: &str| printable(text.as_bytes());
    vec![
        Span::styled(" tcpstate", palette.strong()),
        Span::raw(format!(" {}", safe(&about.host))),
        Span::raw(format!("  {}", safe(&about.kernel))),
        Span::raw(format!("  {} tier", safe(&about.tier))),
    ]
}

/// How fast things go, and whether anything was lost.
fn pace(picture: &Picture, palette: Palette) -> Line<'static> {
    let lost = picture.reading.lost.total();
    let (word, style) = if lost > 0 {
        ("LOST", palette.alarm())
    } else {
        ("lost", palette.faint())
    };
    Line::from(vec![
        Span::styled(
            format!(" {}/s  ", figure::rate(picture.reading.rate)),
            palette.strong(),
        ),
        Span::styled(format!("{word} {}", figure::count(lost)), style),
        Span::raw(" "),
    ])
}

/// When this was, and since when.
fn moment(picture: &Picture, palette: Palette) -> Vec<Span<'static>> {
    let reading = &picture.reading;
    let time = if picture.ui.paused {
        Span::styled(format!(" PAUSED at {} ", reading.time), palette.notice())
    } else {
        Span::raw(format!(" {}", reading.time))
    };
    let drift = format!(
        "drift {}",
        figure::or_dash(reading.drift.map(figure::count))
    );
    let drift_style = match reading.drift {
        Some(drift) if drift > 0 => palette.notice(),
        _ => palette.faint(),
    };
    let mut parts = vec![
        time,
        Span::raw(format!("  {} sockets", figure::count(reading.sockets))),
        Span::raw(format!("  watching {}", figure::clock(reading.watched_ns))),
        Span::raw("  "),
        Span::styled(drift, drift_style),
    ];
    if reading.gathered_ns != reading.watched_ns {
        let ago = figure::clock(reading.gathered_ns);
        parts.push(Span::raw(format!("  reset {ago} ago")));
    }
    parts
}

/// What was lost, by cause.
fn losses(picture: &Picture, palette: Palette) -> Line<'static> {
    let causes = picture.reading.lost.by_cause();
    let lost: Vec<String> = causes
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(cause, count)| format!("{cause} {}", figure::count(*count)))
        .collect();
    if lost.is_empty() {
        return Line::default();
    }
    Line::from(vec![
        Span::raw(" "),
        Span::styled(lost.join(" "), palette.alarm()),
        Span::raw(" "),
    ])
}
