//! From what was gathered and the state of the end to what the report says.
use std::{cmp::Reverse, net::IpAddr};

use hdrhistogram::Histogram;

use super::{
    diagram::EDGES,
    findings::{
        Addresses, Bucket, ByState, Dwells, EdgeFindings, End, Findings, Holder, OpenSockets,
        OverTime, PartyFindings, PartyList, Peer, Percentile, Process, Ranked, StateFindings,
        StayFindings, Subject,
    },
    gather::{Gathered, RANKED},
    parties::{Party, Ranking},
    slowest::{Slowest, Stay},
};
use crate::{
    places::Places,
    sink::{
        WallClock,
        json::{Rfc3339, SCHEMA},
    },
    tcp::{Reason, TcpState},
    tracker::{Open, StillOpen},
    view::Moment,
};

/// The live states in the order in which connections go through them: opened, open, closed by this end, by the peer.
pub(super) const IN_ORDER: [TcpState; 10] = [
    TcpState::Listen,
    TcpState::SynSent,
    TcpState::SynRecv,
    TcpState::Established,
    TcpState::FinWait1,
    TcpState::FinWait2,
    TcpState::Closing,
    TcpState::TimeWait,
    TcpState::CloseWait,
    TcpState::LastAck,
];

/// Buckets of a distribution in each decade.
const PER_DECADE: f64 = 8.0;
/// Points of the percentile curve between 50 % and 75 %, between 75 % and 87.5 %, and so on.
const PER_HALF: u32 = 5;

/// What the report says at `moment`, the end.
pub(super) fn findings(
    gathered: &mut Gathered,
    about: Subject,
    moment: &mut Moment<'_>,
    clock: &mut WallClock,
) -> Findings {
    // What happened while the probes were being attached is counted, so its time counts too.
    let begin_ns = gathered
        .first_ns
        .map_or(moment.start_ns, |first_ns| first_ns.min(moment.start_ns));
    let span_ns = moment.now_ns.saturating_sub(begin_ns);
    let transitions = gathered.edges.values().map(|edge| edge.count).sum();
    let open: Vec<Open> = moment.tracker.open().collect();
    let mut time = |mono_ns| {
        let (second, nanos) = clock.rfc3339(mono_ns);
        Rfc3339 { second, nanos }.to_string()
    };
    Findings {
        v: SCHEMA,
        about,
        begin: time(begin_ns),
        end: time(moment.now_ns),
        span_ns,
        transitions,
        transitions_per_second: per_second(transitions, span_ns),
        lost: moment.lost,
        incomplete: moment.damage.map(ToString::to_string),
        states: states(gathered, &open, moment, span_ns),
        edges: edges(gathered, span_ns),
        over_time: over_time(gathered, begin_ns, moment.now_ns),
        ends: ends(gathered),
        ranked: ranked(gathered, &open, moment.places, moment.now_ns),
        advice: None,
    }
}

fn per_second(count: u64, span_ns: u64) -> Option<f64> {
    (span_ns > 0).then(|| count as f64 * 1e9 / span_ns as f64)
}

fn states(
    gathered: &Gathered,
    open: &[Open],
    moment: &Moment<'_>,
    span_ns: u64,
) -> ByState<StateFindings> {
    let mut slowest = gathered.slowest.clone();
    for socket in open.iter().filter(|open| open.state != TcpState::Listen) {
        slowest.consider(socket.state, still_there(socket, moment.now_ns));
    }
    let still_open = moment.tracker.still_open(moment.now_ns);
    let state = |state: TcpState| {
        let along = |wanted: &dyn Fn(TcpState, TcpState) -> bool| -> u64 {
            let edges = gathered.edges.iter();
            let wanted = edges.filter(|((from, to), _)| wanted(*from, *to));
            wanted.map(|(_, edge)| edge.count).sum()
        };
        let entered = along(&|_, to| to == state);
        let left = along(&|from, to| {
            // A listener does not leave its state for its child.
            from == state && (from, to) != (TcpState::Listen, TcpState::SynRecv)
        });
        let findings = StateFindings {
            entered,
            left,
            entered_per_second: per_second(entered, span_ns),
            left_per_second: per_second(left, span_ns),
            open: open_sockets(still_open[state.index()]),
            drift: moment.tracker.drift().map(|drift| drift.of(state)),
            dwell: dwells(gathered, state),
            slowest: stays(&slowest, state),
        };
        (state, findings)
    };
    ByState(IN_ORDER.into_iter().map(state).collect())
}

fn open_sockets(open: StillOpen) -> OpenSockets {
    OpenSockets {
        sockets: open.sockets,
        unknown_age: open.unknown_age,
        oldest_ns: open.oldest_ns.filter(|_| open.unknown_age == 0),
        oldest_at_least_ns: open.oldest_ns,
    }
}

fn still_there(socket: &Open, now_ns: u64) -> Stay {
    let (dwell_ns, exact) = socket.age(now_ns);
    Stay {
        dwell_ns,
        at_least: !exact,
        estimated: false,
        to: None,
        reason: None,
        tuple: socket.tuple,
        owner: socket.owner,
    }
}

fn stays(slowest: &Slowest, state: TcpState) -> Vec<StayFindings> {
    let stay = |stay: &Stay| StayFindings {
        dwell_ns: (!stay.at_least).then_some(stay.dwell_ns),
        at_least_ns: stay.dwell_ns,
        estimated: stay.estimated,
        to: stay.to.map(TcpState::name),
        reason: stay.reason.map(Reason::name),
        connection: Addresses::of(stay.tuple),
        owner: Process::of(stay.owner),
    };
    slowest.of(state).iter().map(stay).collect()
}

fn dwells(gathered: &Gathered, state: TcpState) -> Dwells {
    let histogram = gathered.dwell.histogram(state);
    let confidence = gathered.confidence[state.index()];
    let any = !histogram.is_empty();
    let at = |quantile: f64| any.then(|| histogram.value_at_quantile(quantile));
    Dwells {
        count: histogram.len(),
        unknown: confidence.unknown,
        estimated: confidence.estimated,
        outliers: gathered.dwell.outliers(state),
        min_us: any.then(|| histogram.min()),
        mean_us: any.then(|| histogram.mean()),
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: any.then(|| histogram.max()),
        distribution: distribution(histogram),
        percentiles: percentiles(histogram),
    }
}

/// Counts by logarithmic buckets, from the first to the last one that holds something. What is shorter than 1 µs is
/// in a bucket that begins at 0.
fn distribution(histogram: &Histogram<u64>) -> Vec<Bucket> {
    let number = |us: u64| match us {
        0 => -1,
        _ => ((us as f64).log10() * PER_DECADE + 1e-9).floor() as i32,
    };
    let edge = |number: i32| match number {
        ..0 => 0.0,
        _ => 10f64.powf(f64::from(number) / PER_DECADE),
    };
    let mut buckets: Vec<(i32, u64)> = Vec::new();
    for step in histogram.iter_recorded() {
        let number = number(histogram.lowest_equivalent(step.value_iterated_to()));
        let last = buckets.last().map_or(number - 1, |(last, _)| *last);
        buckets.extend((last + 1..=number).map(|number| (number, 0)));
        if let Some((_, count)) = buckets.last_mut() {
            *count += step.count_at_value();
        }
    }
    let bucket = |(number, count): (i32, u64)| Bucket {
        from_us: edge(number),
        to_us: edge(number + 1),
        count,
    };
    buckets.into_iter().map(bucket).collect()
}

fn percentiles(histogram: &Histogram<u64>) -> Vec<Percentile> {
    let mut points: Vec<Percentile> = Vec::new();
    for step in histogram.iter_quantiles(PER_HALF) {
        points.push(Percentile {
            quantile: step.quantile(),
            us: step.value_iterated_to().min(histogram.max()),
        });
    }
    points.dedup_by(|next, last| next.quantile == last.quantile && next.us == last.us);
    points
}

fn edges(gathered: &Gathered, span_ns: u64) -> Vec<EdgeFindings> {
    let mut edges: Vec<EdgeFindings> = gathered
        .edges
        .iter()
        .map(|((from, to), edge)| {
            let any = !edge.dwell.is_empty();
            EdgeFindings {
                from: *from,
                to: *to,
                rfc9293: EDGES.iter().any(|rfc| rfc.joins(*from, *to)),
                count: edge.count,
                per_second: per_second(edge.count, span_ns),
                dwell_count: edge.dwell.len(),
                dwell_p50_us: any.then(|| edge.dwell.value_at_quantile(0.5)),
                dwell_max_us: any.then(|| edge.dwell.max()),
            }
        })
        .collect();
    let place = |state: TcpState| IN_ORDER.iter().position(|other| *other == state);
    edges.sort_by_key(|edge| (place(edge.from), place(edge.to)));
    edges
}

fn over_time(gathered: &mut Gathered, begin_ns: u64, now_ns: u64) -> OverTime {
    let bins = gathered.timeline.bins(begin_ns, now_ns);
    let samples = gathered.timeline.samples();
    let since = |at_ns: u64| at_ns.saturating_sub(begin_ns);
    let by_state = |of: &dyn Fn(TcpState) -> Vec<u64>| {
        let states = IN_ORDER.into_iter().map(|state| (state, of(state)));
        ByState(
            states
                .filter(|(_, line)| line.iter().any(|count| *count > 0))
                .collect(),
        )
    };
    OverTime {
        width_ns: gathered.timeline.width_ns(),
        begin_ns: bins.iter().map(|(begin, ..)| since(*begin)).collect(),
        end_ns: bins.iter().map(|(_, end, _)| since(*end)).collect(),
        entered: by_state(&|state| bins.iter().map(|bin| bin.2[state.index()]).collect()),
        sampled_ns: samples.iter().map(|sample| since(sample.at_ns)).collect(),
        sockets: by_state(&|state| {
            let sockets = samples.iter().map(|sample| sample.sockets[state.index()]);
            sockets.collect()
        }),
    }
}

fn ends(gathered: &Gathered) -> Vec<End> {
    let mut ends: Vec<End> = gathered
        .ends
        .iter()
        .map(|((state, reason), count)| End {
            state: *state,
            reason: reason.map(Reason::name),
            count: *count,
        })
        .collect();
    ends.sort_by_key(|end| (Reverse(end.count), end.state, end.reason));
    ends
}

fn ranked(gathered: &Gathered, open: &[Open], places: &Places, now_ns: u64) -> ByState<Ranked> {
    let ranked = |(place, state): (usize, TcpState)| {
        let here = || open.iter().filter(move |open| open.state == state);
        let by_pid = here().map(|open| (open.owner.map(|owner| owner.pid), open));
        let by_peer = here().map(|open| (open.tuple.map(|tuple| tuple.raddr), open));
        let holder = |pid: Option<u32>, party: &Party| Holder {
            process: Process::of(party.owner),
            command_line: pid.and_then(|pid| places.command_line(pid)),
        };
        let peer = |raddr: Option<IpAddr>, _: &Party| Peer { raddr };
        let ranked = Ranked {
            processes: list(gathered.processes[place].rank(by_pid, now_ns), holder),
            peers: list(gathered.peers[place].rank(by_peer, now_ns), peer),
        };
        (state, ranked)
    };
    ByState(RANKED.into_iter().enumerate().map(ranked).collect())
}

fn list<K, T>(ranking: Ranking<K>, who: impl Fn(Option<K>, &Party) -> T) -> PartyList<T> {
    let first = ranking.first.into_iter().map(|(key, party)| PartyFindings {
        who: who(key, &party),
        entered: party.entered,
        longest_ns: party.longest_ns,
        open: open_sockets(party.open),
    });
    PartyList {
        first: first.collect(),
        others: ranking.others,
        others_open: ranking.others_open,
        others_entered: ranking.others_entered,
        unranked: ranking.unranked,
    }
}
