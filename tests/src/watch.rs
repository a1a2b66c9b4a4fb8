//! A namespace under `trace`: what happens there, as lives.
use crate::{History, Line, Namespace, Tool};

/// The namespace and the tool that watches it.
pub struct Watch {
    /// The namespace.
    pub ns: Namespace,
    tool: Tool,
}

impl Watch {
    /// A new namespace under `trace`.
    ///
    /// # Panics
    /// The tool does not get ready.
    #[must_use]
    pub fn new() -> Self {
        Self {
            ns: Namespace::new(),
            tool: Tool::trace(&[]),
        }
    }

    /// Waits for a transition of the connection with these ports, local and remote as its socket has them.
    ///
    /// # Panics
    /// It does not come.
    pub fn wait_for(&self, local: u16, remote: u16, edge: &str) -> Line {
        self.wait_for_times(1, (local, remote), edge)
    }

    /// Waits until that transition has come so many times.
    ///
    /// # Panics
    /// It has not.
    pub fn wait_for_times(&self, times: usize, ports: (u16, u16), edge: &str) -> Line {
        self.wait_for_lines(times, |line| {
            line.edge() == edge && (line.lport, line.rport) == (Some(ports.0), Some(ports.1))
        })
    }

    /// Waits until there are so many lines of this namespace that `wanted` picks, and returns the last of them.
    ///
    /// # Panics
    /// They do not come.
    pub fn wait_for_lines(&self, times: usize, wanted: impl Fn(&Line) -> bool) -> Line {
        let mut seen = 0;
        let text = self.tool.wait_for("the transitions waited for", |text| {
            let line = Line::read(text);
            if line.netns == self.ns.inode() && wanted(&line) {
                seen += 1;
            }
            seen == times
        });
        Line::read(&text)
    }

    /// Stops the tool, which must have lost nothing, and returns the lives in the namespace.
    ///
    /// # Panics
    /// Something was lost, or a line does not follow from the one before it.
    #[must_use]
    pub fn end(self) -> (Namespace, Vec<History>) {
        let run = self.tool.stop();
        let mut summary = run.summary();
        // What tests before this one have left behind, in namespaces that are gone, may still be ending.
        summary.lost.remove("missed_start");
        summary.assert_nothing_lost();
        let lives = History::of(run.lines_in(&self.ns));
        for life in &lives {
            let first = life.lines[0].edge();
            let begins = first.starts_with("CLOSE->") || first == "LISTEN->SYN_RECV";
            let ports = |line: &Line| (line.lport, line.rport);
            let here = ports(&life.lines[0]);
            let of_ports = |other: &&History| other.lines.iter().any(|line| ports(line) == here);
            assert!(
                begins,
                "its start was missed: {:#?}",
                lives.iter().filter(of_ports).collect::<Vec<_>>()
            );
        }
        (self.ns, lives)
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}
