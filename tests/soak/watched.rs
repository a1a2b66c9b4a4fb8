//! The two that are watched: `serve`, which is scraped, and `trace -J`, whose lines are counted.
use std::{collections::BTreeMap, io::pipe};

use tcpstate_tests::{Namespace, Served, Tool, bpf, host, poll_until, sockets, tool};

use crate::{
    lines::Lines,
    verdict::{Tracked, Verdict, loss},
};

/// How often both compare their counts with the kernel's.
const RECONCILE: &str = "5s";

/// Both, running.
pub struct Watched {
    serve: Served,
    trace: Tool,
    lines: Lines,
}

/// Both at a moment.
pub struct Look {
    /// `serve`.
    pub serve: Tracked,
    /// What the last reconciliation of `serve` found, by state.
    pub drift: BTreeMap<String, i64>,
    /// What `serve` shows as lost, by cause.
    pub lost: BTreeMap<String, i64>,
    /// `trace -J`.
    pub trace: Tracked,
    /// Lines that have come.
    pub lines: u64,
}

impl Watched {
    /// Starts both for `ns`.
    pub fn start(ns: &Namespace) -> anyhow::Result<Self> {
        let inode = ns.inode().to_string();
        let here = ["-N", &inode, "--reconcile", RECONCILE];
        let (reader, writer) = pipe()?;
        let args = [&["trace", "--json", "--summary"], &here[..]].concat();
        let trace = Tool::launch_into(writer, tool::command(&args));
        trace.await_ready();
        Ok(Self {
            serve: Served::start(&here),
            trace,
            lines: Lines::of(reader),
        })
    }

    /// What both show now.
    pub fn look(&self) -> Look {
        let samples = self.serve.scrape();
        let of = |metric: &str, label: &str| -> BTreeMap<String, i64> {
            let found = samples.nonzero(&format!("tcpstate_{metric}{{"));
            let named = |(labels, value): (&str, f64)| (value_of(labels, label), value as i64);
            found.into_iter().map(named).collect()
        };
        let lost = of("lost_total", "cause");
        let serve = Tracked {
            resident_bytes: host::resident_bytes(self.serve.pid()),
            live: of("sockets", "state").values().sum(),
            lost: lost.values().sum(),
        };
        self.lines.look(|lines| Look {
            serve,
            drift: of("count_drift", "state"),
            lost,
            trace: Tracked {
                resident_bytes: self.trace.resident_bytes(),
                live: lines.live.len() as i64,
                lost: lines.missing as i64,
            },
            lines: lines.edges.values().sum(),
        })
    }

    /// Ends both, and compares what they have seen with each other and with the kernel. The traffic has ended.
    pub fn end(self, ns: &Namespace, verdict: &mut Verdict) -> anyhow::Result<()> {
        // A TIME_WAIT may end between two looks.
        let (samples, truth) = poll_until("the sockets of the kernel in serve", || {
            let samples = self.serve.scrape();
            let truth = ns.run(sockets::by_state);
            let shown = samples.nonzero("tcpstate_sockets{");
            let shown: BTreeMap<String, u64> = shown
                .into_iter()
                .map(|(labels, value)| (state(labels, "state"), value as u64))
                .collect();
            let mut there = truth.clone();
            there.retain(|_, count| *count > 0);
            if shown == there {
                Ok((samples, truth))
            } else {
                Err(format!("{shown:?} instead of {there:?}"))
            }
        });
        let live: u64 = truth.values().sum();
        verdict.note(format!(
            "serve counts the kernel's {live} sockets: {truth:?}"
        ));
        // Which programs `nested` speaks of, if it will.
        let skipped = [self.serve.pid(), self.trace.pid()].map(bpf::skipped);
        self.trace.signal(nix::sys::signal::Signal::SIGINT);
        let (summary, lines) = self.lines.end()?;
        self.trace.finish().assert_summary();
        self.serve.stop().assert_summary();
        let causes = summary.lost.iter();
        let (good, what) = loss(
            "trace -J",
            causes.map(|(cause, lost)| (&**cause, *lost as i64)),
        );
        verdict.check(good, what);
        let [of_serve, of_trace] = skipped;
        verdict.note(format!(
            "programs that the kernel skipped: {of_serve:?} of serve, {of_trace:?} of trace"
        ));
        for line in &lines.met {
            verdict.check(false, format!("not seen from its beginning: {line}"));
        }
        verdict.check(
            summary.transitions == lines.edges.values().sum::<u64>(),
            format!(
                "trace gave out {} transitions, all of which came",
                summary.transitions
            ),
        );
        // What expired since: serve was asked earlier.
        const EXPIRED: &str = "TIME_WAIT->CLOSE";
        let mut traced = lines.edges;
        let mut served: BTreeMap<String, u64> = samples
            .nonzero("tcpstate_transitions_total{")
            .into_iter()
            .map(|(labels, value)| {
                let edge = format!("{}->{}", state(labels, "from"), state(labels, "to"));
                (edge, value as u64)
            })
            .collect();
        let since =
            traced.remove(EXPIRED).unwrap_or(0) as i64 - served.remove(EXPIRED).unwrap_or(0) as i64;
        verdict.check(
            traced == served && since >= 0,
            if traced == served {
                format!(
                    "both saw the same transitions, of {} kinds",
                    traced.len() + 1
                )
            } else {
                format!("serve saw {served:?}, trace {traced:?}")
            },
        );
        Ok(())
    }
}

/// Of labels such as `from="close",to="listen"}`: the state that `name` names, as lines have it.
fn state(labels: &str, name: &str) -> String {
    value_of(labels, name).to_uppercase()
}

/// The value of the label `name`.
fn value_of(labels: &str, name: &str) -> String {
    let value = labels
        .split(',')
        .find_map(|part| part.strip_prefix(name)?.strip_prefix("=\""))
        .unwrap_or_else(|| panic!("no {name} in {labels}"));
    value.trim_end_matches(['"', '}']).to_owned()
}
