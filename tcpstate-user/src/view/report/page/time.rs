//! Rates and counts over time: one small chart a state, as lines of one chart would hide each other.
use maud::{Markup, html};

use super::{
    super::{
        findings::{ByState, Findings, OverTime},
        human,
    },
    axis::Axis,
    chart::{self, Words},
    group, scrolling, tables,
};

/// The section.
pub(super) fn section(findings: &Findings) -> Markup {
    let over_time = &findings.over_time;
    let span_s = findings.span_ns as f64 / 1e9;
    html! {
        h3 { "Transitions a second" }
        p class="note" {
            "Into each state, in steps of " (human::duration(over_time.width_ns)) "."
        }
        @if over_time.entered.0.is_empty() {
            p class="none" { "Nothing moved." }
        }
        div class="charts" {
            @for (state, counts) in over_time.entered.iter() {
                @let points = rates(over_time, counts);
                @let most = points.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
                @let all: u64 = counts.iter().sum();
                figure class=(group(state)) {
                    figcaption { (tables::state(state)) " " span { (human::count(all)) " in all, at most " (human::rate(most)) } }
                    (chart::over_time(&Words {
                        id: &format!("rate-{state}"),
                        title: format!("Transitions into {state} a second"),
                        desc: format!("{} in all, at most {}. Times since the begin.", human::count(all), human::rate(most)),
                    }, span_s, &points, Axis::amount(most), &human::rate))
                }
            }
        }
        @if !over_time.sockets.0.is_empty() {
            h3 { "Sockets" }
            p class="note" { "In each state, at that time." }
            div class="charts" {
                @for (state, counts) in over_time.sockets.iter() {
                    @let (least, most) = (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
                    figure class=(group(state)) {
                        figcaption { (tables::state(state)) " " span { (range(least, most)) } }
                        (chart::over_time(&Words {
                            id: &format!("sockets-{state}"),
                            title: format!("Sockets in {state}"),
                            desc: format!("{} over time. Times since the begin.", range(least, most)),
                        }, span_s, &sockets(over_time, counts), Axis::things(most), &human::number))
                    }
                }
            }
        }
        details {
            summary { "The same as tables" }
            (table("Transitions into each state", "From", &over_time.begin_ns, &over_time.entered))
            (table("Sockets in each state", "At", &over_time.sampled_ns, &over_time.sockets))
        }
    }
}

fn range(least: u64, most: u64) -> String {
    if least == most {
        human::count(least)
    } else {
        format!("{} to {}", human::count(least), human::count(most))
    }
}

/// Times in seconds and rates. A step of which less than half was measured tells no rate.
fn rates(over_time: &OverTime, counts: &[u64]) -> Vec<(f64, f64)> {
    let steps = over_time.begin_ns.iter().zip(&over_time.end_ns).zip(counts);
    let whole = steps.filter(|((begin, end), _)| (*end - *begin) * 2 >= over_time.width_ns);
    whole
        .flat_map(|((begin, end), count)| {
            let rate = *count as f64 * 1e9 / (end - begin) as f64;
            [(*begin as f64 / 1e9, rate), (*end as f64 / 1e9, rate)]
        })
        .collect()
}

fn sockets(over_time: &OverTime, counts: &[u64]) -> Vec<(f64, f64)> {
    let samples = over_time.sampled_ns.iter().zip(counts);
    samples
        .map(|(at_ns, count)| (*at_ns as f64 / 1e9, *count as f64))
        .collect()
}

fn table(label: &str, first: &str, times: &[u64], columns: &ByState<Vec<u64>>) -> Markup {
    scrolling(
        label,
        html! {
            table {
                caption { (label) }
                thead { tr {
                    th scope="col" class="number" { (first) }
                    @for (state, _) in columns.iter() { th scope="col" class="number" { (state) } }
                } }
                tbody {
                    @for (row, time) in times.iter().enumerate() {
                        tr {
                            th scope="row" class="number" { (human::duration(*time)) }
                            @for (_, column) in columns.iter() { td { (column[row]) } }
                        }
                    }
                }
            }
        },
    )
}
