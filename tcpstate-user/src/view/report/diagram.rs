//! The state diagram of RFC 9293 (figure 5, with the edge that its note 2 leaves out): which edges it has, and by what
//! event each is taken. Where they are drawn is the page's matter.
use crate::tcp::TcpState;

/// An edge of the diagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct RfcEdge {
    /// State left.
    pub(super) from: TcpState,
    /// State entered.
    pub(super) to: TcpState,
    /// What happens there.
    pub(super) event: &'static str,
}

impl RfcEdge {
    /// Whether it goes from `from` to `to`.
    pub(super) fn joins(&self, from: TcpState, to: TcpState) -> bool {
        (self.from, self.to) == (from, to)
    }
}

const fn edge(from: TcpState, to: TcpState, event: &'static str) -> RfcEdge {
    RfcEdge { from, to, event }
}

/// Every edge of the diagram.
pub(super) const EDGES: [RfcEdge; 21] = {
    use TcpState::{
        Close, CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynRecv,
        SynSent, TimeWait,
    };
    [
        edge(Close, Listen, "listen"),
        edge(Listen, Close, "the listener is closed"),
        edge(Close, SynSent, "connect: SYN sent"),
        edge(SynSent, Close, "given up, refused or closed"),
        edge(Listen, SynRecv, "SYN received, SYN and ACK sent"),
        edge(
            SynRecv,
            Listen,
            "RST received; Linux ends the half-open socket instead",
        ),
        edge(
            Listen,
            SynSent,
            "data sent on a listener; Linux does not do this",
        ),
        edge(SynSent, SynRecv, "both ends connect at the same time"),
        edge(SynRecv, Established, "ACK of our SYN received"),
        edge(SynSent, Established, "SYN and ACK received, ACK sent"),
        edge(
            SynRecv,
            FinWait1,
            "closed before it was established: FIN sent",
        ),
        edge(Established, FinWait1, "this end closes: FIN sent"),
        edge(Established, CloseWait, "the peer closes: FIN received"),
        edge(FinWait1, FinWait2, "ACK of our FIN received"),
        edge(FinWait1, Closing, "both ends close at the same time"),
        edge(
            FinWait1,
            TimeWait,
            "FIN and ACK of our FIN received together",
        ),
        edge(FinWait2, TimeWait, "the peer closes too: FIN received"),
        edge(Closing, TimeWait, "ACK of our FIN received"),
        edge(CloseWait, LastAck, "this end closes too: FIN sent"),
        edge(LastAck, Close, "ACK of our FIN received"),
        edge(TimeWait, Close, "its time is over"),
    ]
};
