//! The end of every event command: what was seen, what the kernel counted, what was lost, what it cost.
use std::fmt;

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap as _, SerializeStruct as _},
};

use crate::{
    sink::json::{self, SCHEMA},
    source::{Lost, kernel::Counted},
    tcp::{TcpState, Transition},
};

/// Transitions by state left and entered.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    cells: [[u64; 12]; 12],
    total: u64,
}

impl Tally {
    /// Counts one.
    pub fn count(&mut self, transition: &Transition) {
        self.cells[transition.from.index()][transition.to.index()] += 1;
        self.total += 1;
    }

    /// All together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Those from one state to another.
    #[must_use]
    pub fn get(&self, from: TcpState, to: TcpState) -> u64 {
        self.cells[from.index()][to.index()]
    }
}

/// The summary of a run.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Transitions given out, after every filter.
    pub tally: Tally,
    /// What the tracepoint reported for the whole host, whatever the filters; a recording does not tell.
    pub counted: Option<Counted>,
    /// What was lost.
    pub lost: Lost,
    /// Connections followed at the end.
    pub tracked: usize,
    /// CPU time of this process, s.
    pub cpu_seconds: f64,
    /// Run time of the programs, s, where it was measured.
    pub bpf_seconds: Option<f64>,
}

impl Summary {
    /// Appends the summary record with its newline.
    pub fn json_line(&self, line: &mut Vec<u8>) {
        json::write(line, self);
        line.push(b'\n');
    }
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Summary", 9)?;
        object.serialize_field("v", &SCHEMA)?;
        object.serialize_field("summary", &true)?;
        object.serialize_field("transitions", &self.tally.total)?;
        object.serialize_field("by_transition", &Pairs(|from, to| self.tally.get(from, to)))?;
        object.serialize_field(
            "kernel_transitions",
            &self
                .counted
                .as_ref()
                .map(|counted| Pairs(|from, to| counted.transitions(from, to))),
        )?;
        object.serialize_field("lost", &self.lost)?;
        object.serialize_field("tracked", &self.tracked)?;
        object.serialize_field("cpu_seconds", &self.cpu_seconds)?;
        object.serialize_field("bpf_seconds", &self.bpf_seconds)?;
        object.end()
    }
}

/// A table of pairs of states as `{"CLOSE->SYN_SENT": 3, …}`, without zeros.
struct Pairs<F>(F);

impl<F: Fn(TcpState, TcpState) -> u64> Serialize for Pairs<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for from in TcpState::ALL {
            for to in TcpState::ALL {
                let count = (self.0)(from, to);
                if count > 0 {
                    map.serialize_entry(&format!("{from}->{to}"), &count)?;
                }
            }
        }
        map.end()
    }
}

/// The last line on stderr.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} transitions, {} lost",
            self.tally.total,
            self.lost.total()
        )?;
        let causes: Vec<String> = self
            .lost
            .by_cause()
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(cause, count)| format!("{cause} {count}"))
            .collect();
        if !causes.is_empty() {
            write!(f, " ({})", causes.join(", "))?;
        }
        write!(
            f,
            ", {} tracked, {:.3} s CPU",
            self.tracked, self.cpu_seconds
        )?;
        if let Some(seconds) = self.bpf_seconds {
            write!(f, ", {seconds:.6} s BPF")?;
        }
        Ok(())
    }
}

/// CPU time that this process has used so far, s.
#[must_use]
pub fn cpu_seconds() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| {
        (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6
    })
}
