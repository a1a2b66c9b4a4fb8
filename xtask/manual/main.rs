//! Manual pages and shell completions of `tcpstate`, from the command line that the tool itself reads:
//! `cargo run -p xtask --features manual --bin manual -- FOLDER`, which `cargo xtask dist` does.
//!
//! What a command line cannot tell (privileges, files, exit status) stands in `prose.rs`.
mod page;
mod prose;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser};
use clap_complete::Shell;
use tcpstate::cli::Cli;

/// Write the manual pages and the shell completions of tcpstate
#[derive(Parser)]
struct Args {
    /// The folder to write to, made if it is missing
    folder: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let folder = Args::parse().folder;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in pages()? {
        write(&folder.join(name), &text)?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "tcpstate", &folder)
            .with_context(|| format!("cannot write the completions for {shell}"))?;
    }
    Ok(())
}

/// `tcpstate.1`, and one for each command.
fn pages() -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut tool = Cli::command().disable_help_subcommand(true);
    tool.build();
    let commands: Vec<_> = tool.get_subcommands().cloned().collect();
    let mut pages = vec![("tcpstate.1".to_owned(), page::of_tool(&tool)?)];
    for command in &commands {
        let name = command.get_name();
        let prose = prose::of_command(name)
            .with_context(|| format!("`{name}` has no entry in xtask/manual/prose.rs"))?;
        pages.push((
            format!("tcpstate-{name}.1"),
            page::of_command(command, prose)?,
        ));
    }
    Ok(pages)
}

fn write(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_what_its_command_line_cannot_tell() {
        let pages = pages().expect("they can be made");
        assert_eq!(pages.len(), 1 + Cli::command().get_subcommands().count());
        for (name, text) in pages {
            let text = String::from_utf8(text).expect("UTF-8");
            for section in [
                "NAME",
                "SYNOPSIS",
                "DESCRIPTION",
                "EXAMPLES",
                "PRIVILEGES",
                "EXIT STATUS",
                "SEE ALSO",
            ] {
                let heading = text.lines().filter(|line| {
                    line.strip_prefix(".SH ")
                        .is_some_and(|title| title.trim_matches('"') == section)
                });
                assert_eq!(heading.count(), 1, "{name}: {section}");
            }
        }
    }
}
