//! Whose sockets are, or were, in CLOSE_WAIT and TIME_WAIT: processes and peers.
use maud::{Markup, html};

use super::{
    super::{
        findings::{Findings, Holder, OpenSockets, PartyFindings, PartyList, Process},
        human,
    },
    count_cell, duration, meaning, name, scrolling, tables,
};

/// Command lines are cut after so many characters; the whole is a hint.
const COMMAND: usize = 60;

/// The section.
pub(super) fn section(findings: &Findings) -> Markup {
    html! {
        @for (state, ranked) in findings.ranked.iter() {
            h3 { (tables::state(state)) " " span class="meaning" { (meaning(state)) } }
            @if ranked.processes.first.is_empty() {
                p class="none" { "No socket was in " (state) "." }
            } @else {
                div class="pair" {
                    (table("Process", &ranked.processes, |who: &Holder| holder(who)))
                    (table("Peer", &ranked.peers, |who| html! {
                        @match who.raddr {
                            Some(raddr) => code { (raddr) },
                            None => span class="unknown" { "not known" },
                        }
                    }))
                }
            }
        }
    }
}

fn table<T>(what: &str, list: &PartyList<T>, who: impl Fn(&T) -> Markup) -> Markup {
    scrolling(
        what,
        html! {
            table {
                thead { tr {
                    th scope="col" { (what) }
                    @for (column, hint) in [
                    ("Now", "sockets in the state at the end"),
                    ("Oldest", "how long the oldest of them has been there"),
                    ("Entered", "sockets that came into the state"),
                    ("Longest", "longest stay that has ended"),
                ] {
                    th scope="col" class="number" title=(hint) { (column) }
                }
                } }
                tbody {
                    @for party in &list.first { (row(party, &who)) }
                    @if list.others > 0 || list.unranked > 0 {
                        tr {
                            th scope="row" class="others" {
                                (human::count(list.others as u64)) " others"
                                @if list.unranked > 0 { " and more, too many to tell apart" }
                            }
                            (count_cell(list.others_open))
                            td {}
                            (count_cell(list.others_entered))
                            td {}
                        }
                    }
                }
            }
        },
    )
}

fn row<T>(party: &PartyFindings<T>, who: impl Fn(&T) -> Markup) -> Markup {
    html! {
        tr {
            th scope="row" { (who(&party.who)) }
            (count_cell(party.open.sockets))
            td class="number" { (oldest(&party.open)) }
            @match party.entered {
                Some(entered) => (count_cell(entered)),
                None => td class="number unknown" { "-" },
            }
            td class="number" { @match party.longest_ns { Some(ns) => (duration(ns)), None => "-" } }
        }
    }
}

/// The age of the oldest socket, a bound where its begin was not seen.
pub(super) fn oldest(open: &OpenSockets) -> Markup {
    html! {
        @match (open.oldest_ns, open.oldest_at_least_ns) {
            (Some(ns), _) => (duration(ns)),
            (None, Some(ns)) => { span class="bound" title="at least: its begin was not seen" { "≥ " } (duration(ns)) },
            (None, None) => "-",
        }
    }
}

fn holder(holder: &Holder) -> Markup {
    html! {
        (process(&holder.process))
        @if let Some(command) = &holder.command_line {
            @let command = name(command);
            span class="command" title=(command) {
                (command.chars().take(COMMAND).collect::<String>())
                @if command.chars().count() > COMMAND { "…" }
            }
        }
    }
}

/// `nginx[123]`; a guess is said to be one.
pub(super) fn process(process: &Process) -> Markup {
    html! {
        @match (&process.comm, process.pid) {
            (Some(comm), Some(pid)) => {
                span class="process" { (name(comm)) "[" (pid) "]" }
                @if process.owner_source == Some("listen") { " " span class="hint" { "its listener's" } }
            },
            _ => span class="unknown" { "no known process" },
        }
    }
}
