//! Where the nodes, edges and labels of the state diagram are, laid out by hand: once for wide screens and paper, once
//! for narrow screens. Both draw the edges of the diagram in its order.
use super::super::diagram::EDGES;
use crate::tcp::TcpState;

/// A side of a node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    North,
    East,
    South,
    West,
}

/// Where an edge meets a node: a side, and how far from its middle, -1 to 1 (rightwards or downwards).
pub(super) type Port = (Side, f64);

/// From which way a label extends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    /// The value of `text-anchor`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A label: where its first line stands.
pub(super) type Label = (f64, f64, Anchor);

/// A drawing of the diagram.
#[derive(Debug)]
pub(super) struct Layout {
    /// Class of the drawing, which also tells when it is shown.
    pub(super) class: &'static str,
    /// Width and height.
    pub(super) size: (f64, f64),
    /// Width and height of a node.
    pub(super) node: (f64, f64),
    /// Rates and words where there is room, numbers alone where there is none.
    pub(super) roomy: bool,
    /// Middles of the columns.
    columns: [f64; 3],
    /// Middles of the rows.
    rows: [f64; 7],
    /// Labels of the edges, in the order of [`EDGES`].
    pub(super) labels: [Label; EDGES.len()],
}

use Anchor::{End, Middle, Start};
use Side::{East, North, South, West};

/// Ports of the edges, in the order of [`EDGES`]: where each leaves and where it arrives.
pub(super) const PORTS: [(Port, Port); EDGES.len()] = [
    ((South, -0.25), (North, -0.25)), // CLOSE -> LISTEN
    ((North, 0.25), (South, 0.25)),   // LISTEN -> CLOSE
    ((East, -0.35), (North, 0.35)),   // CLOSE -> SYN_SENT
    ((North, -0.15), (East, 0.35)),   // SYN_SENT -> CLOSE
    ((West, -0.35), (North, -0.1)),   // LISTEN -> SYN_RECV
    ((North, 0.4), (West, 0.35)),     // SYN_RECV -> LISTEN
    ((East, 0.35), (North, -0.6)),    // LISTEN -> SYN_SENT
    ((West, 0.0), (East, 0.0)),       // SYN_SENT -> SYN_RECV
    ((South, 0.25), (West, -0.35)),   // SYN_RECV -> ESTABLISHED
    ((South, -0.25), (East, -0.35)),  // SYN_SENT -> ESTABLISHED
    ((South, -0.25), (North, -0.25)), // SYN_RECV -> FIN_WAIT1
    ((West, 0.35), (North, 0.25)),    // ESTABLISHED -> FIN_WAIT1
    ((East, 0.35), (North, -0.25)),   // ESTABLISHED -> CLOSE_WAIT
    ((South, -0.25), (North, -0.25)), // FIN_WAIT1 -> FIN_WAIT2
    ((East, 0.0), (North, 0.0)),      // FIN_WAIT1 -> CLOSING
    ((South, 0.8), (North, -0.6)),    // FIN_WAIT1 -> TIME_WAIT
    ((South, -0.25), (West, 0.0)),    // FIN_WAIT2 -> TIME_WAIT
    ((South, 0.0), (North, 0.0)),     // CLOSING -> TIME_WAIT
    ((South, 0.0), (North, 0.0)),     // CLOSE_WAIT -> LAST_ACK
    ((South, 0.0), (North, 0.0)),     // LAST_ACK -> CLOSE
    ((East, 0.0), (West, 0.0)),       // TIME_WAIT -> CLOSE
];

/// For screens of 800 px and more, and paper.
pub(super) const WIDE: Layout = Layout {
    class: "wide",
    size: (1080.0, 920.0),
    node: (172.0, 66.0),
    roomy: true,
    columns: [178.0, 540.0, 902.0],
    rows: [42.0, 172.0, 310.0, 440.0, 575.0, 715.0, 868.0],
    labels: [
        (510.0, 102.0, End),
        (570.0, 102.0, Start),
        (838.0, 92.0, Start),
        (776.0, 118.0, End),
        (232.0, 176.0, End),
        (290.0, 235.0, Start),
        (790.0, 235.0, End),
        (540.0, 286.0, Middle),
        (264.0, 366.0, Start),
        (816.0, 366.0, End),
        (148.0, 440.0, End),
        (240.0, 514.0, Start),
        (840.0, 514.0, End),
        (148.0, 640.0, End),
        (420.0, 560.0, Middle),
        (276.0, 778.0, Start),
        (210.0, 854.0, End),
        (550.0, 786.0, Start),
        (912.0, 640.0, Start),
        (912.0, 786.0, Start),
        (721.0, 842.0, Middle),
    ],
};

/// For narrow screens.
pub(super) const NARROW: Layout = Layout {
    class: "narrow",
    size: (380.0, 960.0),
    node: (104.0, 50.0),
    roomy: false,
    columns: [62.0, 190.0, 318.0],
    rows: [30.0, 160.0, 300.0, 440.0, 590.0, 740.0, 900.0],
    labels: [
        (172.0, 92.0, End),
        (208.0, 92.0, Start),
        (326.0, 94.0, Start),
        (292.0, 124.0, End),
        (68.0, 168.0, End),
        (104.0, 226.0, Start),
        (276.0, 226.0, End),
        (190.0, 280.0, Middle),
        (98.0, 372.0, Start),
        (282.0, 372.0, End),
        (55.0, 452.0, Start),
        (98.0, 524.0, Start),
        (282.0, 524.0, End),
        (55.0, 664.0, Start),
        (150.0, 574.0, Middle),
        (124.0, 796.0, End),
        (72.0, 832.0, Start),
        (196.0, 812.0, Start),
        (324.0, 664.0, Start),
        (324.0, 816.0, Start),
        (254.0, 857.0, Middle),
    ],
};

impl Layout {
    /// The middle of a node; `CLOSE` is drawn twice, where connections begin and where they end.
    pub(super) fn at(&self, state: TcpState, end: bool) -> (f64, f64) {
        let (column, row) = match state {
            TcpState::Close if end => (2, 6),
            TcpState::Close => (1, 0),
            TcpState::Listen => (1, 1),
            TcpState::SynRecv => (0, 2),
            TcpState::SynSent => (2, 2),
            TcpState::Established => (1, 3),
            TcpState::FinWait1 => (0, 4),
            TcpState::CloseWait => (2, 4),
            TcpState::FinWait2 => (0, 5),
            TcpState::Closing => (1, 5),
            TcpState::LastAck => (2, 5),
            TcpState::TimeWait => (1, 6),
        };
        (self.columns[column], self.rows[row])
    }

    /// The path of the edge `number` of [`EDGES`], as SVG has it: a line that leaves and meets the nodes at right angles.
    pub(super) fn path(&self, number: usize) -> String {
        let edge = EDGES[number];
        let (leave, arrive) = PORTS[number];
        let ends = matches!(edge.from, TcpState::LastAck | TcpState::TimeWait);
        let (x0, y0) = self.port(self.at(edge.from, false), leave);
        let (x1, y1) = self.port(self.at(edge.to, ends), arrive);
        let along = |(side, _): Port, (x, y): (f64, f64)| {
            let reach = match side {
                North | South => (y1 - y0).abs() * 0.5,
                East | West => (x1 - x0).abs() * 0.5,
            };
            match side {
                North => (x, y - reach),
                South => (x, y + reach),
                East => (x + reach, y),
                West => (x - reach, y),
            }
        };
        let (ax, ay) = along(leave, (x0, y0));
        let (bx, by) = along(arrive, (x1, y1));
        format!("M{x0:.0} {y0:.0}C{ax:.0} {ay:.0} {bx:.0} {by:.0} {x1:.0} {y1:.0}")
    }

    fn port(&self, (x, y): (f64, f64), (side, off): Port) -> (f64, f64) {
        let (half_width, half_height) = (self.node.0 / 2.0, self.node.1 / 2.0);
        match side {
            North => (x + off * half_width, y - half_height),
            South => (x + off * half_width, y + half_height),
            East => (x + half_width, y + off * half_height),
            West => (x - half_width, y + off * half_height),
        }
    }
}
