//! One row of a recording, typed.
use crate::{tcp::Transition, tracker::Open};

/// A row. Times are monotonic, ns.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// A socket as it was found: at the start every one that exists, later one that had been missed; in `CLOSE`, one
    /// whose end had been missed.
    Snapshot {
        /// When it was found so.
        mono_ns: u64,
        /// The socket.
        socket: Open,
    },
    /// A transition.
    Transition {
        /// Place in the order of the recording, from 0.
        seq: u64,
        /// The transition.
        transition: Transition,
    },
    /// Something was lost since the row before that names the same cause.
    Loss {
        /// When that was noticed.
        mono_ns: u64,
        /// One of the words of [`crate::source::Lost::by_cause`].
        cause: &'static str,
        /// How many.
        lost: u64,
    },
    /// The measurement ended as it should.
    End {
        /// When.
        mono_ns: u64,
    },
}

impl Row {
    /// When it happened, monotonic, ns.
    #[must_use]
    pub fn mono_ns(&self) -> u64 {
        match self {
            Self::Transition { transition, .. } => transition.mono_ns,
            Self::Snapshot { mono_ns, .. } | Self::Loss { mono_ns, .. } | Self::End { mono_ns } => {
                *mono_ns
            }
        }
    }
}
