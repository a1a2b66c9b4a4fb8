//! A card for each state that anything is known of: figures, distribution, percentiles, longest stays.
use std::net::IpAddr;

use maud::{Markup, html};

use super::{
    super::{
        findings::{Addresses, Dwells, Findings, StateFindings, StayFindings},
        human,
    },
    chart::{self, Words},
    duration, group, meaning, micros, micros_cell,
    parties::{oldest, process},
    rate_cell, scrolling, tables,
};
use crate::tcp::TcpState;

/// The section.
pub(super) fn section(findings: &Findings) -> Markup {
    let touched: Vec<_> = findings
        .states
        .iter()
        .filter(|(_, found)| found.entered > 0 || found.left > 0 || found.open.sockets > 0)
        .collect();
    html! {
        @if touched.is_empty() {
            p class="none" { "No socket was in any state." }
        } @else {
            (overview(&touched))
            @for (state, found) in &touched { (card(*state, found)) }
        }
    }
}

fn overview(states: &[(TcpState, &StateFindings)]) -> Markup {
    scrolling(
        "States",
        html! {
            table {
                thead { tr {
                    th scope="col" { "State" }
                    @for column in ["Now", "In", "Out", "Finished", "p50", "p90", "p99", "p99.9", "Max", "Oldest open"] {
                        th scope="col" class="number" { (column) }
                    }
                } }
                tbody {
                    @for (state, found) in states {
                        tr {
                            th scope="row" { a href={ "#state-" (state) } { (tables::state(*state)) } }
                            (super::count_cell(found.open.sockets))
                            (rate_cell(found.entered_per_second))
                            (rate_cell(found.left_per_second))
                            (super::count_cell(found.dwell.count))
                            @for quantile in [found.dwell.p50_us, found.dwell.p90_us, found.dwell.p99_us, found.dwell.p999_us, found.dwell.max_us] {
                                (micros_cell(quantile))
                            }
                            td class="number" { (oldest(&found.open)) }
                        }
                    }
                }
            }
        },
    )
}

fn card(state: TcpState, found: &StateFindings) -> Markup {
    html! {
        article id={ "state-" (state) } class={ "card " (group(state)) } {
            h3 { (tables::state(state)) " " span class="meaning" { (meaning(state)) } }
            p {
                strong { (human::count(found.open.sockets)) } " now"
                @if found.open.sockets > 0 { ", the oldest for " (oldest(&found.open)) }
                "; " strong { (human::count(found.entered)) } " entered, "
                strong { (human::count(found.left)) } " left."
            }
            @if found.dwell.count > 0 { (dwell(state, &found.dwell)) }
            @if !found.slowest.is_empty() { (slowest(state, &found.slowest)) }
        }
    }
}

fn dwell(state: TcpState, dwell: &Dwells) -> Markup {
    let known = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), micros);
    let words = format!(
        "{} finished stays: median {}, 90 % up to {}, 99 % up to {}, longest {}.",
        human::count(dwell.count),
        known(dwell.p50_us),
        known(dwell.p90_us),
        known(dwell.p99_us),
        known(dwell.max_us)
    );
    html! {
        div class="charts two" {
            figure {
                figcaption { "Finished stays by length" }
                (chart::distribution(&Words {
                    id: &format!("dist-{state}"),
                    title: format!("Distribution of the time in {state}"),
                    desc: words.clone(),
                }, &dwell.distribution))
            }
            figure {
                figcaption { "Percentiles" }
                (chart::percentiles(&Words {
                    id: &format!("perc-{state}"),
                    title: format!("Percentiles of the time in {state}"),
                    desc: words.clone(),
                }, &dwell.percentiles, dwell.count))
            }
        }
        details {
            summary { "The same as a table" }
            p { (words) @if let Some(mean) = dwell.mean_us { " Mean " (micros(mean.round() as u64)) "." } @if let Some(min) = dwell.min_us { " Shortest " (micros(min)) "." } }
            (scrolling(&format!("Distribution of {state}"), html! {
                table {
                    thead { tr { th scope="col" class="number" { "From" } th scope="col" class="number" { "To less than" } th scope="col" class="number" { "Stays" } } }
                    tbody {
                        @for bucket in dwell.distribution.iter().filter(|bucket| bucket.count > 0) {
                            tr {
                                (micros_cell(Some(bucket.from_us.round() as u64)))
                                (micros_cell(Some(bucket.to_us.round() as u64)))
                                (super::count_cell(bucket.count))
                            }
                        }
                    }
                }
            }))
        }
    }
}

fn slowest(state: TcpState, stays: &[StayFindings]) -> Markup {
    html! {
        h4 { "Slowest" }
        (scrolling(&format!("Longest stays in {state}"), html! {
            table {
                thead { tr {
                    th scope="col" class="number" { "Time" }
                    th scope="col" { "Connection" }
                    th scope="col" { "Process" }
                    th scope="col" { "Then" }
                } }
                tbody {
                    @for stay in stays {
                        tr {
                            td class="number" {
                                @if stay.dwell_ns.is_none() { span class="bound" title="at least: its begin was not seen" { "≥ " } }
                                @if stay.estimated { span class="bound" title="estimated: recovered or bounded, not seen" { "≈ " } }
                                (duration(stay.at_least_ns))
                            }
                            td { (connection(&stay.connection)) }
                            td { (process(&stay.owner)) }
                            td {
                                @match stay.to {
                                    Some(to) => (to),
                                    None => span class="still" { "still there" },
                                }
                                @if let Some(reason) = stay.reason { " " code { (reason) } }
                            }
                        }
                    }
                }
            }
        }))
    }
}

fn connection(addresses: &Addresses) -> Markup {
    let end = |address: Option<IpAddr>, port: Option<u16>| {
        let port = port.map_or_else(|| "-".to_owned(), |port| port.to_string());
        match address {
            Some(IpAddr::V6(address)) => format!("[{address}]:{port}"),
            Some(address) => format!("{address}:{port}"),
            None => "-".to_owned(),
        }
    };
    html! {
        code {
            (end(addresses.laddr, addresses.lport))
            " → "
            (end(addresses.raddr, addresses.rport))
        }
    }
}
