//! The screen: pure functions from a picture to cells.
//!
//! ```text
//! ┌ header ──────────────────────────────────────────────┐ 2   where, how fast, what was lost
//! ├ states ──────────────────────────────────────────────┤ 1+n one row a state
//! ├ groups ───────────────────┬ sockets ─────────────────┤ the rest: side by side where it is wide, one above the
//! │                           │                          │ other where it is high, else the one that was chosen
//! ├ footer ───────────────────┴──────────────────────────┤ 1   keys
//! └──────────────────────────────────────────────────────┘
//! ```
//! The matrix, the help and a single socket take the place of all that is between header and footer.
mod footer;
mod groups;
mod header;
mod help;
mod matrix;
mod pane;
mod socket;
mod sockets;
mod spark;
mod states;
mod table;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
};

use super::{
    model::Picture,
    palette::Palette,
    ui::{Page, Pane},
};

/// From so many columns on, groups and sockets stand side by side.
const WIDE: u16 = 150;
/// From so many rows on, they stand one above the other.
const HIGH: u16 = 18;
/// A list with less than its title, its head and a row is no list.
const LEAST: u16 = 3;

/// Draws `picture`.
pub fn draw(frame: &mut Frame<'_>, picture: &Picture, palette: Palette) {
    let area = frame.area();
    let header_rows = if area.height < 8 { 1 } else { 2 };
    let footer_rows = u16::from(area.height >= 4);
    let [header, body, footer] = Layout::vertical([
        Constraint::Length(header_rows),
        Constraint::Fill(1),
        Constraint::Length(footer_rows),
    ])
    .areas(area);
    header::draw(frame, header, picture, palette);
    match picture.ui.page {
        Page::Main => panes(frame, body, picture, palette),
        Page::Socket => socket::draw(frame, body, picture, palette),
        Page::Matrix => matrix::draw(frame, body, picture, palette),
        Page::Help => help::draw(frame, body, palette),
    }
    footer::draw(frame, footer, picture, palette);
}

fn panes(frame: &mut Frame<'_>, area: Rect, picture: &Picture, palette: Palette) {
    let states = picture.ui.states(&picture.reading.rows).len();
    let wanted = u16::try_from(states).unwrap_or(u16::MAX).saturating_add(1);
    let lists = area.height.saturating_sub(wanted);
    if lists < LEAST {
        // No room for both: the pane that the keys go to.
        match picture.ui.pane {
            Pane::States => states::draw(frame, area, picture, palette),
            Pane::Groups => groups::draw(frame, area, picture, palette),
            Pane::Sockets => sockets::draw(frame, area, picture, palette),
        }
        return;
    }
    let [above, below] =
        Layout::vertical([Constraint::Length(wanted), Constraint::Length(lists)]).areas(area);
    states::draw(frame, above, picture, palette);
    let split = if below.width >= WIDE {
        Layout::horizontal([Constraint::Fill(2), Constraint::Fill(3)]).spacing(1)
    } else if below.height >= HIGH {
        Layout::vertical([Constraint::Fill(2), Constraint::Fill(3)])
    } else if picture.ui.pane == Pane::Sockets {
        sockets::draw(frame, below, picture, palette);
        return;
    } else {
        groups::draw(frame, below, picture, palette);
        return;
    };
    let [first, second] = split.areas(below);
    groups::draw(frame, first, picture, palette);
    sockets::draw(frame, second, picture, palette);
}
