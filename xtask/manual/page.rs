//! One manual page: the sections that clap_mangen makes of a command line, and those that stand in `prose.rs`.
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::prose::{self, Prose};

/// Where the columns of an example's explanation begin, at the least.
const GAP: &str = "  ";

/// The page of the tool as a whole.
pub(crate) fn of_tool(tool: &Command) -> anyhow::Result<Vec<u8>> {
    let man = man(tool);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    section("DESCRIPTION", &mut page, |roff| {
        paragraphs(roff, prose::TOOL)
    })?;
    section("COMMANDS", &mut page, |roff| {
        for command in tool.get_subcommands() {
            let about = command.get_about().map(ToString::to_string);
            let name = format!("tcpstate-{}(1)", command.get_name());
            entry(roff, &name, &about.unwrap_or_default());
        }
    })?;
    man.render_options_section(&mut page)?;
    section("EXAMPLES", &mut page, |roff| {
        examples(roff, prose::EXAMPLES)
    })?;
    section("PRIVILEGES", &mut page, |roff| {
        paragraphs(roff, prose::PRIVILEGES);
        entries(roff, prose::CAPABILITIES);
    })?;
    section("EXIT STATUS", &mut page, |roff| {
        entries(roff, prose::EXIT_STATUS)
    })?;
    section("ENVIRONMENT", &mut page, |roff| {
        entries(roff, prose::ENVIRONMENT)
    })?;
    section("FILES", &mut page, |roff| entries(roff, prose::FILES))?;
    section("SEE ALSO", &mut page, |roff| {
        paragraphs(roff, prose::SEE_ALSO)
    })?;
    section("VERSION", &mut page, |roff| {
        roff.text([roman(tool.get_version().unwrap_or_default())]);
    })?;
    Ok(page)
}

/// The page of one command.
pub(crate) fn of_command(command: &Command, prose: &Prose) -> anyhow::Result<Vec<u8>> {
    let man = man(command);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    section("DESCRIPTION", &mut page, |roff| {
        paragraphs(roff, prose.description)
    })?;
    man.render_options_section(&mut page)?;
    // In the tool's own help they come first, where they are read.
    let shown = command.get_before_help().map(ToString::to_string);
    section("EXAMPLES", &mut page, |roff| {
        examples(roff, &shown.unwrap_or_default())
    })?;
    section("PRIVILEGES", &mut page, |roff| {
        paragraphs(roff, prose.privileges)
    })?;
    section("EXIT STATUS", &mut page, |roff| {
        entries(roff, prose::EXIT_STATUS);
        paragraphs(roff, prose.exit_status);
    })?;
    section("SEE ALSO", &mut page, |roff| {
        roff_reference(roff, prose.see_also)
    })?;
    Ok(page)
}

/// With the short usage of the tool's own help: the options have a section of their own.
fn man(command: &Command) -> Man {
    let mut command = command.clone();
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let command = command.override_usage(usage).mut_args(|arg| {
        // A list in the heading of its option is a line that cannot be broken.
        let default = arg
            .get_default_values()
            .first()
            .and_then(|value| value.to_str());
        match (default, arg.get_help()) {
            (Some(default), Some(help)) if default.contains(',') => {
                let help = format!("{help}; by default {}", default.replace(',', ", "));
                arg.help(help).hide_default_value(true)
            }
            _ => arg,
        }
    });
    Man::new(command)
        .source(concat!("tcpstate ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands")
        // Not empty, which would leave the field out and move the others: a build has no date, so that it can be repeated.
        .date(" ")
}

fn section(title: &str, page: &mut Vec<u8>, fill: impl FnOnce(&mut Roff)) -> std::io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", [title]);
    fill(&mut roff);
    roff.to_writer(page)
}

fn paragraphs(roff: &mut Roff, texts: &[&str]) {
    for text in texts {
        roff.control("PP", []);
        roff.text([roman(*text)]);
    }
}

fn entries(roff: &mut Roff, entries: &[(&str, &str)]) {
    for (name, text) in entries {
        entry(roff, name, text);
    }
}

fn entry(roff: &mut Roff, name: &str, text: &str) {
    roff.control("TP", []);
    roff.text([bold(name)]);
    if !text.is_empty() {
        roff.text([roman(text)]);
    }
}

fn roff_reference(roff: &mut Roff, pages: &[&str]) {
    let mut pages = pages.to_vec();
    pages.insert(0, "tcpstate(1)");
    roff.text([roman(pages.join(", "))]);
}

/// `command  explanation` on each line; a line that is only deeply indented goes on with the explanation.
fn examples(roff: &mut Roff, text: &str) {
    for line in text.lines().filter(|line| *line != "Examples:") {
        let line = line.strip_prefix(GAP).unwrap_or(line);
        if line.starts_with(' ') {
            roff.text([roman(line.trim())]);
            continue;
        }
        let (command, explanation) = line.split_once(GAP).unwrap_or((line, ""));
        entry(roff, command, explanation.trim());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_a_command_and_its_explanation() {
        let mut roff = Roff::default();
        let text = "Examples:\n  tcpstate a -T    all of it\n  tcpstate a --long\n                   the rest\n  tcpstate b";
        examples(&mut roff, text);
        let rendered = roff.render();
        let lines: Vec<_> = rendered
            .lines()
            .filter(|line| !line.starts_with(".ie") && !line.starts_with(".el"))
            .collect();
        assert_eq!(
            lines,
            [
                ".TP",
                r"\fBtcpstate a \-T\fR",
                "all of it",
                ".TP",
                r"\fBtcpstate a \-\-long\fR",
                "the rest",
                ".TP",
                r"\fBtcpstate b\fR",
            ]
        );
    }
}
