//! `doctor` as text in 80 columns: what is wrong comes first, and each finding says what to do about it.
use std::io::Write as _;

use super::{Shown, plan};
use crate::{
    doctor::{
        evidence::Space,
        finding::{Finding, Place, Severity},
    },
    sink::printable,
};

/// Columns of a terminal that nobody has made wider.
const WIDTH: usize = 80;

/// Where the text of a finding begins.
const BELOW: usize = 9;

/// Codes of a terminal; whoever writes to something else takes them out.
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

/// Appends everything.
pub(super) fn write(out: &mut Vec<u8>, shown: &Shown<'_>) {
    let findings = &shown.report.findings;
    let of = |severity| {
        let those = findings.iter();
        those.filter(move |finding| finding.seen.severity == severity)
    };
    let number = |severity| of(severity).count();
    let (warnings, notes) = (number(Severity::Warning), number(Severity::Info));
    let colour = if warnings > 0 { RED } else { GREEN };
    let several = shown.spaces.len() > 1;
    // Writing to a vector cannot fail, here and below.
    let _ = writeln!(
        out,
        "{colour}{warnings} warning{}{PLAIN}, {notes} note{}, {} fine: {}",
        plural(warnings),
        plural(notes),
        number(Severity::Ok),
        looked_at(shown.spaces)
    );
    for finding in of(Severity::Warning).chain(of(Severity::Info)) {
        block(out, finding, several);
    }
    let mut title = Some("\nfine:");
    for finding in of(Severity::Ok) {
        if let Some(title) = title.take() {
            let _ = writeln!(out, "{title}");
        }
        let Finding { rule, seen, places } = finding;
        let place = if several {
            places_in_words(places)
        } else {
            String::new()
        };
        wrapped(
            out,
            &format!("  {:<22} ", rule.id),
            &format!("{}{place}", seen.headline),
        );
    }
    if !shown.report.not_judged.is_empty() || !shown.missing.is_empty() {
        let _ = writeln!(out, "\nnot known:");
    }
    for (rule, places) in &shown.report.not_judged {
        let place = if several {
            places_in_words(places)
        } else {
            String::new()
        };
        let text = format!("not judged: what it looks at cannot be read here{place}");
        wrapped(out, &format!("  {:<22} ", rule.id), &text);
    }
    for missing in shown.missing {
        wrapped(out, "  ", &printable(missing.as_bytes()));
    }
    if let Some(plan) = shown.plan {
        let _ = writeln!(out);
        plan::in_short(out, plan);
    }
}

fn block(out: &mut Vec<u8>, finding: &Finding, several: bool) {
    let Finding { rule, seen, places } = finding;
    let (colour, word) = match seen.severity {
        Severity::Warning => (RED, "WARNING"),
        Severity::Info | Severity::Ok => (YELLOW, "note"),
    };
    // The codes take no columns, so they are put in when the lines are made.
    let mut head = Vec::new();
    wrapped(&mut head, &format!("{word} {}: ", rule.id), &seen.headline);
    let _ = write!(out, "\n{colour}");
    out.extend_from_slice(head.trim_ascii_end());
    let _ = writeln!(out, "{PLAIN}");
    if several {
        wrapped(out, "  where  ", places_in_words(places).trim_start());
    }
    for (place, detail) in seen.details.iter().enumerate() {
        wrapped(
            out,
            if place == 0 { "  seen   " } else { "         " },
            detail,
        );
    }
    wrapped(out, "  why    ", rule.why);
    wrapped(out, "  do     ", rule.advice);
    wrapped(out, "  don't  ", rule.avoid);
    wrapped(out, "  see    ", rule.reference);
}

/// Appends `text` behind `before`, and what does not fit in that line below it.
fn wrapped(out: &mut Vec<u8>, before: &str, text: &str) {
    let below = " ".repeat(if before.starts_with(' ') {
        before.len()
    } else {
        BELOW
    });
    let options = textwrap::Options::new(WIDTH)
        .initial_indent(before)
        .subsequent_indent(&below)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    for line in textwrap::wrap(text, options) {
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

fn looked_at(spaces: &[Space]) -> String {
    let place = match spaces {
        [one] => place_in_words(one.netns, one.name.as_deref()),
        several => format!("{} network namespaces", several.len()),
    };
    let measured = spaces.iter().find_map(|space| space.measured.as_ref());
    let watched = spaces
        .iter()
        .find_map(|space| space.counters.watched.as_ref());
    let how = match (measured, watched) {
        (Some(measured), _) => format!(
            "measured for {:.1} s, {} facts lost",
            measured.span_ms as f64 / 1e3,
            measured.lost
        ),
        (None, Some(watched)) => {
            format!("counters watched for {:.1} s", watched.span_ms as f64 / 1e3)
        }
        (None, None) => "not measured".to_owned(),
    };
    format!("{place}, {how}")
}

fn places_in_words(places: &[Place]) -> String {
    const SHOWN: usize = 3;
    let names: Vec<String> = places
        .iter()
        .take(SHOWN)
        .map(|place| place_in_words(place.netns, place.name.as_deref()))
        .collect();
    let more = match places.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(" (in {}{more})", names.join(", "))
}

fn place_in_words(netns: u32, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("netns {} ({netns})", printable(name.as_bytes())),
        None => format!("netns {netns}"),
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
