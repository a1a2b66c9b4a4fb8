//! Who has the sockets of the selected state.
//!
//! ```text
//!  CLOSE_WAIT by [process] remote localport container namespace ─────── 1,204 in 3
//!  PROCESS                                    SOCKETS SHARE   OLDEST
//! >1234 nginx                                   1,200   99%   03h12m
//! ```
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    pane,
    table::{self, Column, Table, number, squeeze, words},
};
use crate::view::top::{
    figure, group::Grouping, model::Picture, palette::Palette, survey::GroupOrder, ui::Pane,
};

const fn columns(grouping: Grouping, order: GroupOrder) -> [Column; 4] {
    let head = match (grouping, order) {
        (Grouping::Process, GroupOrder::Key) => "PID↓ PROCESS",
        (Grouping::Process, _) => "PID PROCESS",
        (Grouping::Remote, GroupOrder::Key) => "REMOTE↓",
        (Grouping::Remote, _) => "REMOTE",
        (Grouping::LocalPort, GroupOrder::Key) => "LOCALPORT↓",
        (Grouping::LocalPort, _) => "LOCALPORT",
        (Grouping::Container, GroupOrder::Key) => "CONTAINER↓",
        (Grouping::Container, _) => "CONTAINER",
        (Grouping::Namespace, GroupOrder::Key) => "NAMESPACE↓",
        (Grouping::Namespace, _) => "NAMESPACE",
    };
    let (sockets, oldest) = match order {
        GroupOrder::Sockets => ("SOCKETS↓", "OLDEST"),
        GroupOrder::Oldest => ("SOCKETS", "OLDEST↓"),
        GroupOrder::Key => ("SOCKETS", "OLDEST"),
    };
    [
        words(head, 12, 46, 0),
        number(sockets, 9, 1),
        number("SHARE", 5, 3),
        number(oldest, 8, 2),
    ]
}

/// Draws them.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, picture: &Picture, palette: Palette) {
    let (ui, survey) = (&picture.ui, &picture.survey);
    let focused = ui.pane == Pane::Groups;
    let mut title = vec![Span::styled(format!("{} by", ui.state), palette.strong())];
    for grouping in Grouping::ALL {
        let chosen = grouping == ui.grouping;
        title.push(if chosen {
            Span::styled(format!(" [{}]", grouping.name()), palette.strong())
        } else {
            Span::styled(format!(" {}", grouping.name()), palette.faint())
        });
    }
    let answered = picture.is_answered();
    let figures = if answered {
        format!(
            "{} in {}",
            figure::count(survey.matching - survey.ungrouped),
            figure::count(survey.all_groups as u64)
        )
    } else {
        "…".to_owned()
    };
    let inner = pane::draw(frame, area, palette, title, figures);
    // The old answer to another question would be a wrong one.
    let groups = if answered { &survey.groups[..] } else { &[] };
    if groups.is_empty() {
        frame.render_widget(empty(picture, palette), inner);
        return;
    }
    let table = Table {
        columns: &columns(ui.grouping, ui.group_order),
        rows: groups.len(),
        selected: Some(ui.group_row.min(groups.len() - 1)),
        focused,
    };
    table::draw(frame, inner, palette, &table, |row, column, width| {
        let group = &groups[row];
        Span::raw(match column {
            0 => squeeze(&group.label, width),
            1 => figure::count(group.open.sockets),
            2 => share(group.open.sockets, survey.matching),
            _ => figure::or_dash(figure::Span::oldest(&group.open)),
        })
    });
}

/// What stands where there is no row.
pub(super) fn empty(picture: &Picture, palette: Palette) -> Line<'static> {
    let text = if !picture.is_answered() {
        " looking …".to_owned()
    } else if picture.ui.filter.is_empty() {
        format!(" no socket is in {}", picture.ui.state)
    } else {
        format!(" no socket in {} matches the filter", picture.ui.state)
    };
    Line::styled(text, palette.faint())
}

/// Part of the whole in percent, cut: only all of them are 100 %.
fn share(part: u64, whole: u64) -> String {
    match (u128::from(part) * 100).checked_div(u128::from(whole)) {
        Some(0) if part > 0 => "<1%".to_owned(),
        Some(percent) => format!("{percent}%"),
        None => "-".to_owned(),
    }
}
