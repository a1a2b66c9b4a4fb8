//! The metrics by name: a snapshot as the families that both text formats are written from. Names, types and labels are a
//! contract with dashboards and alerts. Where a counter is meaningful it is there from the start, with 0.
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use super::{Snapshot, process, states};
use crate::tcp::{Reason, TcpState};

/// A series of a family.
pub struct Row(Metric);

impl Row {
    /// A gauge or counter with these labels and this value.
    pub fn new(labels: &[(&str, &str)], value: f64) -> Self {
        let mut row = Self::labelled(labels);
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        row.0.set_gauge(gauge);
        let mut counter = Counter::default();
        counter.set_value(value);
        row.0.set_counter(counter);
        row
    }

    fn labelled(labels: &[(&str, &str)]) -> Self {
        let labels = labels.iter().map(|(name, value)| {
            let mut label = LabelPair::default();
            label.set_name((*name).to_owned());
            label.set_value((*value).to_owned());
            label
        });
        Self(Metric::from_label(labels.collect()))
    }
}

/// A histogram with these labels: upper bounds with cumulative counts, the number of all, and their sum.
pub fn histogram_row(
    labels: &[(&str, &str)],
    below: impl Iterator<Item = (f64, u64)>,
    count: u64,
    sum: f64,
) -> Row {
    let buckets = below.map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(count);
    histogram.set_sample_sum(sum);
    let mut row = Row::labelled(labels);
    row.0.set_histogram(histogram);
    row
}

/// A family.
pub fn family(name: &str, help: &str, kind: MetricType, rows: Vec<Row>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(rows.into_iter().map(|row| row.0).collect());
    family
}

/// What does not come from the measurement, but from the system at the time of a scrape.
pub struct Surroundings {
    /// Release of the running kernel.
    pub kernel: String,
    /// Ephemeral ports to choose from; `None` where the system does not tell.
    pub available_ports: Option<u64>,
    /// Connections that ended without the TIME_WAIT that they should have had, by the kernel's counter; `None` where the
    /// measurement itself sees them, or where the counter has others in it.
    pub tw_overflows: Option<u64>,
    /// This process; `None` where the system does not tell.
    pub process: Option<process::Usage>,
}

/// All families that have a value, in the order in which they are shown.
#[must_use]
pub fn all(snapshot: &Snapshot, around: &Surroundings) -> Vec<MetricFamily> {
    let mut families = vec![
        sockets(snapshot),
        transitions(snapshot),
        dwell(snapshot),
        oldest(snapshot),
        ended(snapshot, around),
        lost(snapshot),
        drift(snapshot),
        ephemeral_ports(snapshot, around),
    ];
    families.extend(programs(snapshot));
    families.extend(around.process.iter().flat_map(process::families));
    families.push(build_info(snapshot, around));
    // Neither format has a family without a series.
    families.retain(|family| !family.get_metric().is_empty());
    families
}

/// Rows of the states that a socket can be counted in.
fn by_state(value: impl Fn(TcpState) -> Option<f64>) -> Vec<Row> {
    TcpState::live()
        .filter_map(|state| Some(Row::new(&[("state", states::label(state))], value(state)?)))
        .collect()
}

fn sockets(snapshot: &Snapshot) -> MetricFamily {
    family(
        "tcpstate_sockets",
        "TCP sockets in each state now.",
        MetricType::GAUGE,
        by_state(|state| Some(snapshot.sockets[state.index()] as f64)),
    )
}

fn transitions(snapshot: &Snapshot) -> MetricFamily {
    let mut rows = Vec::new();
    for from in TcpState::ALL {
        for to in TcpState::ALL {
            let count = snapshot.transitions.get(from, to);
            if count > 0 || states::TRANSITIONS.contains(&(from, to)) {
                let labels = [("from", states::label(from)), ("to", states::label(to))];
                rows.push(Row::new(&labels, count as f64));
            }
        }
    }
    family(
        "tcpstate_transitions_total",
        "Transitions of connections from state to state, with TIME_WAIT, FIN_WAIT2 and half-open SYN_RECV sockets followed to their ends.",
        MetricType::COUNTER,
        rows,
    )
}

fn dwell(snapshot: &Snapshot) -> MetricFamily {
    let rows = TcpState::live().map(|state| {
        histogram_row(
            &[("state", states::label(state))],
            snapshot.dwell.cumulative(state),
            snapshot.dwell.count(state),
            snapshot.dwell.sum_seconds(state),
        )
    });
    family(
        "tcpstate_dwell_seconds",
        "How long sockets stayed in a state, recorded when they leave it. Stays that were not seen from their beginning are not among them.",
        MetricType::HISTOGRAM,
        rows.collect(),
    )
}

fn oldest(snapshot: &Snapshot) -> MetricFamily {
    family(
        "tcpstate_oldest_seconds",
        "How long the oldest socket of a state has been in it. One that was in it before the measurement began counts from when it was first seen, so that this is a lower bound until it has left. Absent while no socket is in the state.",
        MetricType::GAUGE,
        by_state(|state| Some(snapshot.oldest_ns[state.index()]? as f64 / 1e9)),
    )
}

fn ended(snapshot: &Snapshot, around: &Surroundings) -> MetricFamily {
    let mut ended = snapshot.ended.clone();
    // The counter knows no states; but for a close of both ends at once, this is the one.
    *ended
        .entry((TcpState::FinWait2, Reason::TwOverflow))
        .or_default() += around.tw_overflows.unwrap_or(0);
    for (state, reason) in states::known_ends() {
        ended.entry((state, reason)).or_default();
    }
    let rows = ended.iter().map(|((state, reason), count)| {
        let labels = [("state", states::label(*state)), ("reason", reason.name())];
        Row::new(&labels, *count as f64)
    });
    family(
        "tcpstate_ended_total",
        "Connections that ended, by the state in which they did and why. An ordinary end, or one whose reason is not known, counts in tcpstate_transitions_total{to=\"close\"} only.",
        MetricType::COUNTER,
        rows.collect(),
    )
}

fn lost(snapshot: &Snapshot) -> MetricFamily {
    let causes = snapshot.lost.by_cause();
    let rows = causes.map(|(cause, count)| Row::new(&[("cause", cause)], count as f64));
    family(
        "tcpstate_lost_total",
        "What the measurement missed, by cause. While this stands still, every other number is exact.",
        MetricType::COUNTER,
        rows.into(),
    )
}

fn drift(snapshot: &Snapshot) -> MetricFamily {
    family(
        "tcpstate_count_drift",
        "Live count minus the kernel's own socket tables, as the last reconciliation found and repaired it. Absent before the first.",
        MetricType::GAUGE,
        by_state(|state| Some(snapshot.drift?.of(state) as f64)),
    )
}

fn ephemeral_ports(snapshot: &Snapshot, around: &Surroundings) -> MetricFamily {
    let used = Some(snapshot.max_used);
    let rows = [
        ("range", around.available_ports),
        ("max_used_per_destination", used),
    ]
    .into_iter()
    .filter_map(|(kind, ports)| Some(Row::new(&[("kind", kind)], ports? as f64)));
    family(
        "tcpstate_ephemeral_ports",
        "Local ports that connect() can choose from (range), and how many of them the connections from one local address to one remote address and port take at most (max_used_per_destination), in the network namespace of tcpstate, or that of -N.",
        MetricType::GAUGE,
        rows.collect(),
    )
}

fn programs(snapshot: &Snapshot) -> [MetricFamily; 2] {
    let rows = |value: fn(&crate::source::kernel::ProgramRuns) -> f64| {
        let programs = snapshot.programs.iter().flatten();
        programs
            .map(|program| Row::new(&[("program", &program.name)], value(program)))
            .collect()
    };
    [
        family(
            "tcpstate_bpf_run_seconds_total",
            "Time that a BPF program has run, with about 40 ns a run for measuring it.",
            MetricType::COUNTER,
            rows(|program| program.time.as_secs_f64()),
        ),
        family(
            "tcpstate_bpf_runs_total",
            "How many times a BPF program has run.",
            MetricType::COUNTER,
            rows(|program| program.runs as f64),
        ),
    ]
}

fn build_info(snapshot: &Snapshot, around: &Surroundings) -> MetricFamily {
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("kernel", &around.kernel),
        ("probes", &snapshot.probes),
    ];
    family(
        "tcpstate_build_info",
        "Always 1. Version of tcpstate, release of the kernel, and the kind of probes that follow TIME_WAIT, FIN_WAIT2 and SYN_RECV sockets.",
        MetricType::GAUGE,
        vec![Row::new(&labels, 1.0)],
    )
}
