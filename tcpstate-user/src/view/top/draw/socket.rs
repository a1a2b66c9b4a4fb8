//! One socket in full, as it was when it was chosen.
use std::fmt::Display;

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{pane, sockets};
use crate::{
    sink::printable,
    view::top::{figure, model::Picture, palette::Palette},
};

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, picture: &Picture, palette: Palette) {
    let Some((socket, age)) = picture.ui.socket else {
        return;
    };
    let title = vec![Span::styled(
        format!("a socket in {}", socket.state),
        palette.strong(),
    )];
    let inner = pane::draw(frame, area, palette, title, "Esc: back".to_owned());
    let (owner, place) = (socket.owner, &picture.place);
    let lines = [
        ("local", sockets::local(&socket)),
        ("remote", sockets::remote(&socket)),
        ("state", socket.state.to_string()),
        ("in it for", format!("{age} (when you pressed Enter)")),
        ("role", figure::or_dash(socket.role.map(|role| role.name()))),
        ("pid", figure::or_dash(owner.map(|owner| owner.pid))),
        (
            "comm",
            figure::or_dash(owner.map(|owner| printable(owner.comm.bytes()))),
        ),
        ("uid", figure::or_dash(owner.map(|owner| owner.uid))),
        (
            "known by",
            figure::or_dash(owner.map(|owner| owner.source.name())),
        ),
        ("command", figure::or_dash(place.command.as_ref())),
        ("netns", with_name(Some(socket.netns), place.netns.as_ref())),
        ("cgroup", with_name(socket.cgroup, place.cgroup.as_ref())),
        ("container", figure::or_dash(place.container.as_ref())),
        ("id", socket.id.to_string()),
        ("skaddr", format!("{:016x}", socket.skaddr)),
    ];
    let lines: Vec<Line<'static>> = lines
        .into_iter()
        .map(|(name, value)| {
            Line::from(vec![
                Span::styled(format!("  {name:<10}"), palette.head()),
                Span::raw(format!(" {value}")),
            ])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), inner);
}

/// A number with the name that goes with it, where there is one.
fn with_name(number: Option<impl Display>, name: Option<&String>) -> String {
    match (number, name) {
        (Some(number), Some(name)) => format!("{number} {name}"),
        (number, _) => figure::or_dash(number),
    }
}
