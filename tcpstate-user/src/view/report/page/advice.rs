//! What the rules of `doctor` say, warnings first.
use maud::{Markup, html};

use super::name;
use crate::view::report::findings::Findings;

/// The section.
pub(super) fn section(findings: &Findings) -> Markup {
    match findings.advice.as_deref() {
        None => html! {
            p class="note" {
                "A recording has no settings and no counters of its host. On that host, " code { "tcpstate doctor" } " gives advice."
            }
        },
        Some([]) => html! {
            p class="note" { "Settings, counters and sockets of this network namespace: nothing that asks for a change." }
        },
        Some(all) => html! {
            @for advice in all {
                article class={ "advice " (advice.severity) } {
                    h3 { (advice.severity) ": " (name(&advice.headline)) }
                    ul { @for seen in &advice.seen { li { (name(seen)) } } }
                    dl {
                        dt { "Why" } dd { (advice.why) }
                        dt { "Do" } dd { (advice.advice) }
                        dt { "Do not" } dd { (advice.avoid) }
                        dt { "Read" } dd { (advice.reference) }
                    }
                }
            }
        },
    }
}
