//! Payload: the kernel counts sequence numbers, of which SYN and FIN take one each; what is left is payload.
use super::{full::Step, mini::Handover};
use crate::tcp::{Bytes, Role, TcpState};

/// The payload of a connection whose full socket closes with `step`, maybe as a timewait socket takes over. Where the
/// role is not known, or a full table of timewait sockets hides whether a FIN came, it may be one byte too many.
pub(super) fn payload(
    counted: Bytes,
    role: Option<Role>,
    step: &Step,
    handover: Option<Handover>,
) -> Bytes {
    let old = step.old;
    // The SYN of an accepted socket was acknowledged to its request, which counts nothing.
    let syn_acknowledged =
        role == Some(Role::Client) && !matches!(old, TcpState::SynSent | TcpState::SynRecv);
    let orderly = handover.is_some() || step.error == 0;
    let fin_acknowledged = match old {
        TcpState::FinWait2 => true,
        TcpState::Closing | TcpState::LastAck => orderly,
        _ => false,
    };
    let fin_received = match old {
        TcpState::CloseWait | TcpState::LastAck | TcpState::Closing => true,
        TcpState::FinWait2 => {
            handover.is_some_and(|handover| handover.substate == TcpState::TimeWait)
        }
        _ => false,
    };
    let sent = u64::from(syn_acknowledged) + u64::from(fin_acknowledged);
    Bytes {
        sent: counted.sent.saturating_sub(sent),
        received: counted.received.saturating_sub(fin_received.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What SYN and FIN take of the counts, sent and received.
    fn taken(role: Role, old: TcpState, error: u16, substate: Option<TcpState>) -> (u64, u64) {
        let counted = Bytes {
            sent: 1000,
            received: 1000,
        };
        let step = Step {
            old,
            new: TcpState::Close,
            error,
            stillborn: false,
            details: None,
        };
        let handover = substate.map(|substate| Handover {
            timewait: 1,
            substate,
            time_ns: 1,
        });
        let left = payload(counted, Some(role), &step, handover);
        (1000 - left.sent, 1000 - left.received)
    }

    #[test]
    fn syn_and_fin_are_no_payload() {
        use TcpState::{CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, SynSent};
        const RESET: u16 = 104;
        let time_wait = Some(TcpState::TimeWait);
        for (old, error, substate, sent, received) in [
            (SynSent, 111, None, 0, 0),
            (Established, RESET, None, 1, 0),
            (FinWait1, RESET, None, 1, 0),
            (FinWait2, 0, time_wait, 2, 1),
            (FinWait2, 0, Some(FinWait2), 2, 0),
            (Closing, 0, time_wait, 2, 1),
            (Closing, RESET, None, 1, 1),
            (CloseWait, RESET, None, 1, 1),
            (LastAck, RESET, None, 1, 1),
            (LastAck, 0, None, 2, 1),
        ] {
            let client = taken(Role::Client, old, error, substate);
            assert_eq!(client, (sent, received), "{old} {error}");
            let server = taken(Role::Server, old, error, substate);
            let own = u64::from(old != SynSent);
            assert_eq!(server, (sent - own, received), "{old} {error}");
        }
    }
}
