//! The sockets of the selected state, the oldest first.
//!
//! ```text
//!  CLOSE_WAIT oldest first  of process 1234 nginx ────────────── 200 of 1,200
//!       AGE     PID COMM     LOCAL                 REMOTE                     NETNS
//! >  03h12m    1234 nginx    10.0.0.1:8080         192.0.2.7:51234       4026531840
//! ```
use std::net::IpAddr;

use ratatui::{Frame, layout::Rect, text::Span};

use super::{
    groups, pane,
    table::{self, Column, Table, cut, number, squeeze, words},
};
use crate::{
    sink::printable,
    tracker::Open,
    view::top::{
        figure,
        model::Picture,
        palette::Palette,
        survey::{self, SocketOrder},
        ui::Pane,
    },
};

/// Cells that an IPv4 address and its port need at most; IPv6 gets more where there is room.
const ENDPOINT: u16 = 21;

/// The columns for some sockets: the addresses have as much room as the longest needs.
fn columns(sockets: &[Open]) -> [Column; 6] {
    let longest = |text: fn(&Open) -> String| {
        let lengths = sockets.iter().map(|socket| text(socket).len());
        u16::try_from(lengths.max().unwrap_or(0)).unwrap_or(ENDPOINT)
    };
    let endpoint =
        |head, longest: u16, rank| words(head, longest.clamp(6, ENDPOINT), longest, rank);
    [
        number("AGE", 8, 0),
        number("PID", 7, 3),
        words("COMM", 8, 15, 4),
        endpoint("LOCAL", longest(local), 2),
        endpoint("REMOTE", longest(remote), 1),
        number("NETNS", 10, 5),
    ]
}

/// Draws them.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, picture: &Picture, palette: Palette) {
    let (ui, survey) = (&picture.ui, &picture.survey);
    let order = match ui.socket_order {
        SocketOrder::Oldest => "oldest first",
        SocketOrder::Newest => "newest first",
    };
    let mut title = vec![Span::styled(
        format!("{} {order}", ui.state),
        palette.strong(),
    )];
    if let Some(key) = ui.group {
        let known = survey.groups.iter().find(|group| group.key == key);
        let label = known.map_or_else(|| key.to_string(), |group| group.label.clone());
        title.push(Span::raw(format!("  of {} {label}", ui.grouping.name())));
    }
    let answered = picture.is_answered();
    let sockets = if answered { &survey.sockets[..] } else { &[] };
    let figures = if answered {
        format!(
            "{} of {}",
            sockets.len(),
            figure::or_dash(survey.listed().map(figure::count))
        )
    } else {
        "…".to_owned()
    };
    let inner = pane::draw(frame, area, palette, title, figures);
    if sockets.is_empty() {
        frame.render_widget(groups::empty(picture, palette), inner);
        return;
    }
    let table = Table {
        columns: &columns(sockets),
        rows: sockets.len(),
        selected: Some(ui.socket_row.min(sockets.len() - 1)),
        focused: ui.pane == Pane::Sockets,
    };
    table::draw(frame, inner, palette, &table, |row, column, width| {
        Span::raw(cell(&sockets[row], survey.now_ns, column, width))
    });
}

fn cell(socket: &Open, now_ns: u64, column: usize, width: u16) -> String {
    match column {
        0 => survey::age(socket, now_ns).to_string(),
        1 => figure::or_dash(socket.owner.map(|owner| owner.pid)),
        2 => {
            let name = socket.owner.map(|owner| printable(owner.comm.bytes()));
            cut(&figure::or_dash(name), width)
        }
        3 => squeeze(&local(socket), width),
        4 => squeeze(&remote(socket), width),
        _ => socket.netns.to_string(),
    }
}

/// Local address and port; a port that is not chosen yet is a dash.
pub(super) fn local(socket: &Open) -> String {
    figure::or_dash(socket.tuple.map(|tuple| {
        let port = figure::or_dash(tuple.lport);
        endpoint(tuple.laddr, &port)
    }))
}

/// Remote address and port; a listener has none.
pub(super) fn remote(socket: &Open) -> String {
    let tuple = socket.tuple.filter(|tuple| tuple.rport != 0);
    figure::or_dash(tuple.map(|tuple| endpoint(tuple.raddr, &tuple.rport.to_string())))
}

fn endpoint(address: IpAddr, port: &str) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}:{port}"),
        IpAddr::V6(address) => format!("[{address}]:{port}"),
    }
}
