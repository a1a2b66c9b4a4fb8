//! Tables of the page: transitions beside the diagram, ends, loss and confidence.
use maud::{Markup, html};

use super::{
    super::{
        findings::{EdgeFindings, Findings},
        human,
    },
    count_cell, group, micros_cell, name, rate_cell, scrolling,
};
use crate::tcp::TcpState;

/// One line on how far the numbers can be trusted.
pub(super) fn verdict(findings: &Findings) -> Markup {
    let states = || findings.states.iter().map(|(_, state)| state);
    let known: u64 = states()
        .map(|state| state.dwell.count + state.dwell.outliers)
        .sum();
    let unknown: u64 = states().map(|state| state.dwell.unknown).sum();
    let lost = findings.lost.total();
    html! {
        @if let Some(why) = &findings.incomplete {
            p class="verdict bad" {
                strong { "Not all of it: " (name(why)) "." } " This page is about what was read."
            }
        }
        p class={ "verdict " @if lost == 0 { "good" } @else { "bad" } } {
            @if lost == 0 {
                strong { "Nothing was lost." } " Counts are exact. "
            } @else {
                strong { "Lost: " (human::count(lost)) "." } " Counts may be off by so much: "
                a href="#confidence" { "see what was lost" } ". "
            }
            @if unknown == 0 && known > 0 {
                "The length of every stay that ended is known."
            } @else if known > 0 {
                "Of " (human::count(known + unknown)) " stays that ended, the length of all but " (human::count(unknown))
                " is known; these began before the measurement, or out of its sight."
            }
        }
    }
}

/// Transitions that Linux makes and the diagram does not have.
pub(super) fn beside(findings: &Findings) -> Markup {
    let beside: Vec<_> = findings.edges.iter().filter(|edge| !edge.rfc9293).collect();
    html! {
        @if !beside.is_empty() {
            h3 { "Beside the diagram" }
            p class="note" { "Transitions that Linux makes and the diagram of RFC 9293 does not draw: resets, timeouts, aborts." }
            (edge_table("Transitions beside the diagram", &beside))
        }
    }
}

/// All transitions.
pub(super) fn edges(findings: &Findings) -> Markup {
    edge_table(
        "All transitions",
        &findings.edges.iter().collect::<Vec<_>>(),
    )
}

fn edge_table(label: &str, edges: &[&EdgeFindings]) -> Markup {
    scrolling(
        label,
        html! {
            table {
                thead { tr {
                    th scope="col" { "Transition" }
                    @for column in ["Count", "Rate", "Median time in the state left", "Longest"] {
                        th scope="col" class="number" { (column) }
                    }
                } }
                tbody {
                    @for edge in edges {
                        tr {
                            th scope="row" { (state(edge.from)) " → " (state(edge.to)) }
                            (count_cell(edge.count))
                            (rate_cell(edge.per_second))
                            (micros_cell(edge.dwell_p50_us))
                            (micros_cell(edge.dwell_max_us))
                        }
                    }
                }
            }
        },
    )
}

/// A state with the colour of its phase.
pub(super) fn state(state: TcpState) -> Markup {
    html! { span class={ "state " (group(state)) } { (state) } }
}

/// How connections ended: the last state and the reason.
pub(super) fn ends(findings: &Findings) -> Markup {
    let all: u64 = findings.ends.iter().map(|end| end.count).sum();
    let most = findings.ends.first().map_or(1, |end| end.count);
    html! {
        @if findings.ends.is_empty() {
            p class="none" { "No socket ended while this was measured." }
        } @else {
            (scrolling("How connections ended", html! {
                table class="bars" {
                    thead { tr {
                        th scope="col" { "Last state" }
                        th scope="col" { "Reason" }
                        th scope="col" class="number" { "Sockets" }
                        th scope="col" class="number" { "Share" }
                        th scope="col" class="bar" aria-hidden="true" {}
                    } }
                    tbody {
                        @for end in &findings.ends {
                            tr {
                                th scope="row" { (state(end.state)) }
                                td { (why(end.state, end.reason)) }
                                (count_cell(end.count))
                                td class="number" { (human::share(end.count, all)) }
                                td class="bar" aria-hidden="true" { (bar(end.count, most)) }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// A bar as long as `count` is of `most`.
pub(super) fn bar(count: u64, most: u64) -> Markup {
    let width = count as f64 * 100.0 / most.max(1) as f64;
    html! {
        svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            rect width=(format!("{width:.1}")) height="10" {}
        }
    }
}

fn why(state: TcpState, reason: Option<&str>) -> Markup {
    let words = match reason {
        Some("expired") => "its time was over",
        Some("reused") => "a new connection took its place",
        Some("reset") => "the peer sent a reset",
        Some("refused") => "the peer refused",
        Some("timeout") => "no answer",
        Some("unreachable") => "the peer cannot be reached",
        Some("aborted") => "this end aborted",
        Some("listener_closed") => "its listener was closed",
        Some("tw_overflow") => "no TIME_WAIT: there are tcp_max_tw_buckets already",
        Some("netns_gone") => "its network namespace went away",
        Some(_) => "",
        None => match state {
            TcpState::LastAck => "closed by both ends",
            TcpState::Listen => "the listener was closed",
            _ => "not known",
        },
    };
    html! {
        @if let Some(reason) = reason { code { (reason) } " " }
        span class="why" { (words) }
    }
}

/// What was lost, and how well the times of each state are known.
pub(super) fn confidence(findings: &Findings) -> Markup {
    html! {
        h3 { "Lost" }
        (scrolling("What was lost", html! {
            table {
                thead { tr {
                    th scope="col" { "Cause" } th scope="col" class="number" { "Lost" } th scope="col" { "What it means" }
                } }
                tbody {
                    @for (cause, count) in findings.lost.by_cause() {
                        tr {
                            th scope="row" { code { (cause) } }
                            (count_cell(count))
                            td { (what_it_means(cause)) }
                        }
                    }
                }
            }
        }))
        h3 { "How well the times are known" }
        p class="note" {
            "A stay that began out of sight has no known length and is in no figure. An estimated one has a time that was recovered or "
            "bounded. Drift is the live count minus that of the kernel's own tables when they were last compared."
        }
        (scrolling("How well the times are known", html! {
            table {
                thead { tr {
                    th scope="col" { "State" }
                    @for column in ["Known", "Estimated", "Unknown", "Over 24 h", "Open now", "Of unknown age", "Drift"] {
                        th scope="col" class="number" { (column) }
                    }
                } }
                tbody {
                    @for (of, found) in findings.states.iter() {
                        tr {
                            th scope="row" { (state(of)) }
                            (count_cell(found.dwell.count))
                            (count_cell(found.dwell.estimated))
                            (count_cell(found.dwell.unknown))
                            (count_cell(found.dwell.outliers))
                            (count_cell(found.open.sockets))
                            (count_cell(found.open.unknown_age))
                            @match found.drift {
                                Some(drift) => td class={ "number" @if drift == 0 { " zero" } } { (drift) },
                                None => td class="number unknown" { "-" },
                            }
                        }
                    }
                }
            }
        }))
    }
}

fn what_it_means(cause: &str) -> &'static str {
    match cause {
        "ring_full" => {
            "a CPU's ring buffer had no room: transitions are missing; give more with --ring-size"
        }
        "table_full" => "too many connections at once: some were not followed",
        "reader_slow" => "tcpstate fell behind the kernel: transitions are missing",
        "writer_slow" => "whoever reads the output fell behind: lines are missing",
        "missed_start" => "connections first seen in the middle of their life",
        "nested" => "the kernel skipped a program that was already running on that CPU",
        _ => "",
    }
}
