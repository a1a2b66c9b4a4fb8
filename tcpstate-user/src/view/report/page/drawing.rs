//! The state diagram as SVG: sockets on its nodes, transitions on its edges, what was not seen pale.
use maud::{Markup, html};

use super::{
    super::{
        conclude::IN_ORDER,
        diagram::EDGES,
        findings::{EdgeFindings, Findings},
        human,
    },
    layout::{Layout, NARROW, WIDE},
    micros,
};
use crate::tcp::TcpState;

/// Both drawings; the style shows the one that fits.
pub(super) fn diagram(findings: &Findings) -> Markup {
    html! {
        (drawing(findings, &WIDE))
        (drawing(findings, &NARROW))
    }
}

fn drawing(findings: &Findings, layout: &Layout) -> Markup {
    let (width, height) = layout.size;
    let (title, desc) = (format!("t-{}", layout.class), format!("d-{}", layout.class));
    html! {
        svg class={ "diagram " (layout.class) } viewBox={ "0 0 " (width) " " (height) } role="img"
            aria-labelledby={ (title) " " (desc) } {
            title id=(title) { "TCP state diagram with what was measured" }
            desc id=(desc) {
                "States as boxes with the sockets that are in them now; transitions as arrows with their number, rate "
                "and the median time that was spent in the state left. The table of transitions below has the same numbers."
            }
            defs {
                @for (id, class) in [("used", "tip"), ("pale", "tip pale")] {
                    marker id={ (id) "-" (layout.class) } class=(class) viewBox="0 0 10 10" refX="9" refY="5"
                        markerWidth="11" markerHeight="11" markerUnits="userSpaceOnUse" orient="auto" {
                        path d="M0 0L10 5L0 10z" {}
                    }
                }
            }
            // Those that were taken come last, to lie above the pale ones.
            @for taken in [false, true] {
                @for number in 0..EDGES.len() {
                    @let found = found(findings, number);
                    @if found.is_some() == taken { (arrow(found, layout, number)) }
                }
            }
            (node(findings, layout, TcpState::Close, false))
            (node(findings, layout, TcpState::Close, true))
            @for state in IN_ORDER { (node(findings, layout, state, false)) }
            @for number in 0..EDGES.len() {
                @if let Some(found) = found(findings, number) { (label(found, layout, number)) }
            }
        }
    }
}

fn found(findings: &Findings, number: usize) -> Option<&EdgeFindings> {
    let rfc = EDGES[number];
    findings
        .edges
        .iter()
        .find(|edge| rfc.joins(edge.from, edge.to))
}

fn arrow(found: Option<&EdgeFindings>, layout: &Layout, number: usize) -> Markup {
    let rfc = EDGES[number];
    let (class, tip, width) = match found {
        // From one transition to a million, one to six wide.
        Some(edge) => (
            "edge",
            "used",
            1.5 + (edge.count as f64).log10().min(6.0) * 0.75,
        ),
        None => ("edge pale", "pale", 1.0),
    };
    html! {
        path class=(class) d=(layout.path(number)) stroke-width=(format!("{width:.1}"))
            marker-end={ "url(#" (tip) "-" (layout.class) ")" } {
            title {
                (rfc.from) " → " (rfc.to) ": " (rfc.event)
                @match found {
                    Some(edge) => { "; " (human::count(edge.count)) " times" }
                    None => { "; not seen" }
                }
            }
        }
    }
}

fn label(edge: &EdgeFindings, layout: &Layout, number: usize) -> Markup {
    let (x, y, anchor) = layout.labels[number];
    let line = if layout.roomy { 17.0 } else { 13.0 };
    let count = match edge.per_second {
        Some(rate) if layout.roomy => {
            format!("{} · {}", human::count(edge.count), human::rate(rate))
        }
        _ => human::count(edge.count),
    };
    html! {
        text class="label" x=(x) y=(y) text-anchor=(anchor.name()) {
            tspan class="number" { (count) }
            @if let Some(median) = edge.dwell_p50_us {
                tspan class="dwell" x=(x) dy=(line) {
                    @if layout.roomy { "median " }
                    (micros(median))
                }
            }
        }
    }
}

fn node(findings: &Findings, layout: &Layout, state: TcpState, end: bool) -> Markup {
    let (x, y) = layout.at(state, end);
    let (width, height) = layout.node;
    let found = findings.states.get(state);
    let open = found.map_or(0, |found| found.open.sockets);
    let median = found.and_then(|found| found.dwell.p50_us);
    let touched = if state == TcpState::Close {
        let mut edges = findings.edges.iter();
        edges.any(|edge| {
            if end {
                edge.to == state
            } else {
                edge.from == state
            }
        })
    } else {
        found.is_some_and(|found| open > 0 || found.entered > 0 || found.left > 0)
    };
    let [first, second, third] = match (layout.roomy, median) {
        (true, Some(_)) => [-12.0, 9.0, 25.0],
        (true, None) => [-5.0, 17.0, 0.0],
        (false, _) => [-5.0, 13.0, 0.0],
    };
    let text = |line: f64, class: &str, words: Markup| {
        html! { text class=(class) x=(x) y=(y + line) text-anchor="middle" { (words) } }
    };
    html! {
        g class={ "node " (super::group(state)) @if !touched { " pale" } } {
            rect x=(x - width / 2.0) y=(y - height / 2.0) width=(width) height=(height) rx="9" {}
            @if state == TcpState::Close {
                (text(if layout.roomy { -4.0 } else { -3.0 }, "name", html! { (state) }))
                (text(if layout.roomy { 16.0 } else { 13.0 }, "small", html! { @if end { "the end" } @else { "no socket" } }))
            } @else {
                (text(first, "name", html! { (state) }))
                (text(second, "now", html! { (human::count(open)) " now" }))
                @if let Some(median) = median && layout.roomy {
                    (text(third, "small", html! { "median stay " (micros(median)) }))
                }
            }
        }
    }
}
