//! The report as one HTML page: no script, nothing from elsewhere. Text is escaped by maud; names that other people
//! chose lose their control characters as well.
mod advice;
mod axis;
mod chart;
mod drawing;
mod layout;
mod parties;
mod states;
mod tables;
mod time;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::{findings::Findings, human};
use crate::{sink::printable, tcp::TcpState};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const STYLE: &str = include_str!("page/style.css");

/// The page.
pub(super) fn page(findings: &Findings) -> String {
    let host = name(&findings.about.host);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "tcpstate " (VERSION) };
                meta name="referrer" content="no-referrer";
                link rel="icon" href="data:,"; // so that no browser asks a server for one
                title { "TCP states of " (host) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                header {
                    h1 { "TCP states of " span class="host" { (host) } }
                    (about(findings))
                }
                main id="main" {
                    (figures(findings))
                    (tables::verdict(findings))
                    nav aria-label="Sections" {
                        @for (id, title) in SECTIONS { a href={ "#" (id) } { (title) } }
                    }
                    (section("diagram", html! {
                        (drawing::diagram(findings))
                        p class="note" {
                            "Arrows: transitions and their rate, with the median time spent in the state they leave. "
                            "Boxes: sockets in a state at the end. Pale: not seen. The diagram is that of RFC 9293."
                        }
                        (tables::beside(findings))
                        details { summary { "All transitions as a table" } (tables::edges(findings)) }
                    }))
                    (section("time", time::section(findings)))
                    (section("who", parties::section(findings)))
                    (section("ends", tables::ends(findings)))
                    (section("states", states::section(findings)))
                    (section("confidence", tables::confidence(findings)))
                    (section("advice", advice::section(findings)))
                }
                footer {
                    p {
                        "Measured by tcpstate " (name(&findings.about.tool)) ", written by tcpstate " (VERSION) ". Times have three significant digits; the exact "
                        "numbers are in the hints of the cells and in " code { "tcpstate report --json" } ". A dash is a number that is not known."
                    }
                }
            }
        }
    };
    markup.into_string()
}

/// Sections: anchor and heading.
const SECTIONS: [(&str, &str); 7] = [
    ("diagram", "State diagram"),
    ("time", "Over time"),
    ("who", "Who has them"),
    ("ends", "How connections ended"),
    ("states", "State by state"),
    ("confidence", "Loss and confidence"),
    ("advice", "Advice"),
];

fn section(id: &str, content: Markup) -> Markup {
    let title = SECTIONS.iter().find(|(section, _)| *section == id);
    html! {
        section id=(id) aria-labelledby={ "h-" (id) } {
            h2 id={ "h-" (id) } { (title.map_or("", |(_, title)| title)) }
            (content)
        }
    }
}

/// Nothing may be loaded or run; the one style is named by its hash.
fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
}

fn about(findings: &Findings) -> Markup {
    let about = &findings.about;
    let time = |rfc3339: &str| {
        let short = rfc3339.get(..19).unwrap_or(rfc3339).replace('T', " ");
        html! { time datetime=(rfc3339) title=(rfc3339) { (short) } }
    };
    html! {
        p class="about" {
            (time(&findings.begin)) " to " (time(&findings.end)) " UTC, "
            strong { (duration(findings.span_ns)) } " · Linux " (name(&about.kernel)) ", " (name(&about.tier)) " tier"
        }
        p class="about" { code { (name(&about.command)) } }
    }
}

/// Reasons that are no orderly end.
const FAILURES: [&str; 5] = ["reset", "refused", "timeout", "unreachable", "aborted"];

/// The numbers that one looks for first.
fn figures(findings: &Findings) -> Markup {
    let edges = |wanted: &dyn Fn(TcpState, TcpState) -> bool| -> u64 {
        let edges = findings
            .edges
            .iter()
            .filter(|edge| wanted(edge.from, edge.to));
        edges.map(|edge| edge.count).sum()
    };
    let opened = edges(&|from, to| {
        (from, to) == (TcpState::Close, TcpState::SynSent)
            || (from, to) == (TcpState::Listen, TcpState::SynRecv)
    });
    let ended = edges(&|_, to| to == TcpState::Close);
    let failed: u64 = findings
        .ends
        .iter()
        .filter(|end| end.reason.is_some_and(|reason| FAILURES.contains(&reason)))
        .map(|end| end.count)
        .sum();
    let open: u64 = findings
        .states
        .iter()
        .map(|(_, state)| state.open.sockets)
        .sum();
    let lost = findings.lost.total();
    let figure = |number: String, what: &str, more: String| {
        html! { div class="figure" { dt { (what) } dd { strong { (number) } span { (more) } } } }
    };
    html! {
        dl class="figures" {
            (figure(human::count(findings.transitions), "transitions",
                findings.transitions_per_second.map_or_else(String::new, human::rate)))
            (figure(human::count(opened), "connections opened", "SYN sent or received".to_owned()))
            (figure(human::count(ended), "sockets ended", "any state to CLOSE".to_owned()))
            (figure(human::count(failed), "ended by failure", "reset, refused, …".to_owned()))
            (figure(human::count(open), "sockets now", "all states, at the end".to_owned()))
            (figure(human::count(lost), "lost", if lost == 0 { "nothing is missing" } else { "see below" }.to_owned()))
        }
    }
}

/// Text that other people chose, without what could change the look of the text around it.
fn name(text: &str) -> String {
    printable(text.as_bytes())
}

/// A time as people read it, with the exact one as a hint.
fn duration(ns: u64) -> Markup {
    html! { span title={ (human::count(ns)) " ns" } { (human::duration(ns)) } }
}

/// Whole microseconds as people read them.
fn micros(us: u64) -> String {
    if us == 0 {
        return "< 1 µs".to_owned();
    }
    human::duration(us.saturating_mul(1000))
}

/// A cell with a time in microseconds, exact as a hint.
fn micros_cell(us: Option<u64>) -> Markup {
    html! {
        @match us {
            Some(us) => td class="number" title={ (human::count(us)) " µs" } { (micros(us)) },
            None => td class="number unknown" { "-" },
        }
    }
}

/// A cell with a rate.
fn rate_cell(rate: Option<f64>) -> Markup {
    html! {
        @match rate {
            Some(rate) => td class="number" title={ (rate) "/s" } { (human::rate(rate)) },
            None => td class="number unknown" { "-" },
        }
    }
}

/// A cell with a number of things.
fn count_cell(count: u64) -> Markup {
    html! { td class={ "number" @if count == 0 { " zero" } } { (human::count(count)) } }
}

/// A table that scrolls by itself where the page is too narrow for it, by the keyboard too.
fn scrolling(label: &str, table: Markup) -> Markup {
    html! { div class="scroll" tabindex="0" role="region" aria-label=(label) { (table) } }
}

/// States of one phase share a colour.
const fn group(state: TcpState) -> &'static str {
    match state {
        TcpState::Listen | TcpState::SynSent | TcpState::SynRecv => "opening",
        TcpState::Established => "open",
        TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing | TcpState::TimeWait => {
            "active"
        }
        TcpState::CloseWait | TcpState::LastAck => "passive",
        TcpState::Close => "closed",
    }
}

/// What a state means, for those who do not live with TCP.
const fn meaning(state: TcpState) -> &'static str {
    match state {
        TcpState::Listen => "waits for connections",
        TcpState::SynSent => "this end connects, no answer yet",
        TcpState::SynRecv => "half open: the peer connects, its ACK has not come",
        TcpState::Established => "open",
        TcpState::FinWait1 => "this end has closed, its FIN is not acknowledged yet",
        TcpState::FinWait2 => "this end has closed, the peer has not",
        TcpState::Closing => "both ends have closed at the same time",
        TcpState::TimeWait => "closed here first; waits 60 s for stray segments",
        TcpState::CloseWait => "the peer has closed, this process has not",
        TcpState::LastAck => "both have closed, the last ACK has not come",
        TcpState::Close => "no connection",
    }
}
