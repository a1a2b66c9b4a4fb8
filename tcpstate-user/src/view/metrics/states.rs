//! States and their transitions as labels.
use crate::tcp::{
    Reason,
    TcpState::{self, *},
};

/// A state in node_exporter's spelling.
#[must_use]
pub const fn label(state: TcpState) -> &'static str {
    match state {
        Established => "established",
        SynSent => "syn_sent",
        SynRecv => "syn_recv",
        FinWait1 => "fin_wait1",
        FinWait2 => "fin_wait2",
        TimeWait => "time_wait",
        Close => "close",
        CloseWait => "close_wait",
        LastAck => "last_ack",
        Listen => "listen",
        Closing => "closing",
    }
}

/// The edges of the state diagram (RFC 9293, and the ways in which a connection may end in Linux). Others are shown once
/// they have happened: TCP Fast Open and repaired sockets take a few more.
pub const TRANSITIONS: [(TcpState, TcpState); 25] = [
    (Close, Listen),
    (Close, SynSent),
    (Listen, SynRecv),
    (Listen, Close),
    (SynSent, Established),
    (SynSent, SynRecv),
    (SynSent, Close),
    (SynRecv, Established),
    (SynRecv, FinWait1),
    (SynRecv, Close),
    (Established, FinWait1),
    (Established, CloseWait),
    (Established, Close),
    (FinWait1, FinWait2),
    (FinWait1, Closing),
    (FinWait1, TimeWait),
    (FinWait1, Close),
    (FinWait2, TimeWait),
    (FinWait2, Close),
    (Closing, TimeWait),
    (Closing, Close),
    (TimeWait, Close),
    (CloseWait, LastAck),
    (CloseWait, Close),
    (LastAck, Close),
];

/// The states in which a connection may end for a reason. Others are shown once that has happened.
const fn ends(reason: Reason) -> &'static [TcpState] {
    match reason {
        Reason::Reset => &[
            SynRecv,
            Established,
            FinWait1,
            FinWait2,
            TimeWait,
            CloseWait,
            LastAck,
            Closing,
        ],
        Reason::Refused => &[SynSent],
        Reason::Timeout => &[
            SynSent,
            SynRecv,
            Established,
            FinWait1,
            CloseWait,
            LastAck,
            Closing,
        ],
        Reason::Unreachable => &[SynSent, Established],
        Reason::Aborted => &[SynRecv, Established, CloseWait],
        Reason::Expired => &[FinWait2, TimeWait],
        Reason::Reused => &[TimeWait],
        Reason::ListenerClosed => &[SynRecv],
        Reason::TwOverflow => &[FinWait2, Closing],
        Reason::NetnsGone => &[FinWait2, TimeWait],
    }
}

/// Every state and reason in which a connection may end.
pub fn known_ends() -> impl Iterator<Item = (TcpState, Reason)> {
    Reason::ALL
        .into_iter()
        .flat_map(|reason| ends(reason).iter().map(move |state| (*state, reason)))
}
