//! `cargo xtask soak --kernel NAME`: the soak in a virtual machine, for a host whose own kernel withholds events.
//!
//! It is the only test of its guest: init tells of it as of any other, and what it prints is passed on as it comes.
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context as _;

use super::guest::Guest;
use super::kit::Kit;
use super::matrix::{Arch, Clock, Matrix};
use super::report::Verdict;
use super::{binaries, fetch};
use crate::setup;

/// Boots the kernel of that name and runs the soak there; the arguments are the soak's own.
pub(crate) fn job(name: &str, args: &[OsString]) -> anyhow::Result<ExitCode> {
    let init = words(args)?;
    let matrix = Matrix::read()?;
    let kernels = matrix.select(Arch::X86_64, &[name.to_owned()])?;
    let kernel = kernels.first().context("a known kernel is selected")?;
    let machine = matrix.machine(kernel.arch)?;
    setup::for_machines(&machine.target, (&machine.qemu[0], &machine.package))?;

    let image = fetch::kernel(kernel, machine)?;
    let kit = Kit {
        matrix: &matrix,
        machine,
        init: binaries::init(machine)?,
        programs: vec![
            ("bin/tcpstate".to_owned(), binaries::tool(machine)?),
            ("bin/soak".to_owned(), binaries::soak(machine)?),
        ],
    };
    let title = format!("{}-{}-soak", kernel.arch, kernel.name);
    let guest = kit.guest(title, image, Clock::Real, init)?;
    verdict(&Guest {
        passes_on: true,
        ..guest
    })
}

/// What its init is called with. The kernel takes its command line apart at spaces and quotes.
fn words(args: &[OsString]) -> anyhow::Result<String> {
    let mut words = "soak".to_owned();
    for arg in args {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-=".contains(c);
        let word = arg.to_str().filter(|word| word.chars().all(plain));
        let word = word.with_context(|| format!("{arg:?} is no option of the soak"))?;
        words.extend([" ", word]);
    }
    Ok(words)
}

/// Runs the guest. A guest without a verdict is an error; a verdict is the exit status.
fn verdict(guest: &Guest<'_>) -> anyhow::Result<ExitCode> {
    let outcome = guest.run()?;
    let log = guest.log.display();
    if let Some(trouble) = outcome.trouble {
        anyhow::bail!(
            "no verdict, as the guest {}; all of its console: {log}",
            trouble.long
        );
    }
    let failed = |verdict: &Verdict| !matches!(verdict, Verdict::Passed(_));
    Ok(if outcome.report.count(failed) == 0 {
        ExitCode::SUCCESS
    } else {
        // The last line is init's: an exit status, or the signal that ended it.
        let printed = outcome
            .report
            .failures
            .iter()
            .flat_map(|(_, printed)| printed);
        let why = printed.last().map_or("?", String::as_str);
        eprintln!("vm: the soak has failed: {why}; all of its console: {log}");
        ExitCode::FAILURE
    })
}
