//! `cargo xtask vm`: the end-to-end tests on real kernels, each in a virtual machine of its own.
//!
//! matrix → fetch the kernels → build static binaries → an initramfs for each kernel → guests side by side → a table.
pub(crate) mod apt;
pub(crate) mod binaries;
pub(crate) mod fetch;
pub(crate) mod guest;
pub(crate) mod initramfs;
mod kit;
pub(crate) mod matrix;
pub(crate) mod modules;
mod report;
pub(crate) mod soak;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;

use crate::{setup, workspace};
use guest::{Guest, Outcome};
use kit::Kit;
use matrix::{Arch, Clock, Matrix};

/// Which kernels and tests.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The kernels to boot, as tests/kernels.toml calls them [default: all of the architecture]
    kernels: Vec<String>,
    /// The machines to boot them on
    #[arg(long, default_value = "x86_64")]
    arch: Arch,
    /// Run only the tests whose names, like `target::module::test`, contain one of these
    #[arg(long, value_name = "FILTER,…", default_value = "")]
    test: String,
    /// Run the tests that wait for hours, and only these, in guests whose clock leaps over idle time
    #[arg(long)]
    hours: bool,
    /// Run the tests of what may happen to a whole machine, and only these: clock set, CPU gone, kernel locked down
    #[arg(long, conflicts_with = "hours")]
    faults: bool,
    /// How many guests run side by side; each has two processors and 1 GiB
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    jobs: u8,
}

/// Which tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suite {
    /// Those that run on a host, too.
    Everywhere,
    /// Those that wait for hours.
    Hours,
    /// Those that do to a machine what no other should have done to it.
    Faults,
}

impl Suite {
    fn clock(self) -> Clock {
        match self {
            Self::Everywhere | Self::Faults => Clock::Real,
            Self::Hours => Clock::Leaping,
        }
    }

    /// What it adds to the name of a guest.
    fn suffix(self) -> &'static str {
        match self {
            Self::Everywhere => "",
            Self::Hours => "-hours",
            Self::Faults => "-faults",
        }
    }
}

/// Boots the kernels, runs the tests and says how it went.
pub(crate) fn job(args: &Args) -> anyhow::Result<ExitCode> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_:-,".contains(c);
    anyhow::ensure!(
        args.test.chars().all(plain),
        "`{}` is in no test's name: letters, digits, `_` and `:` are, and `,` between names",
        args.test
    );
    let matrix = Matrix::read()?;
    let kernels = matrix.select(args.arch, &args.kernels)?;
    let machine = matrix.machine(args.arch)?;
    setup::for_machines(&machine.target, (&machine.qemu[0], &machine.package))?;

    let mut images = Vec::new();
    for kernel in kernels {
        images.push((kernel, fetch::kernel(kernel, machine)?));
    }
    let suite = match (args.hours, args.faults) {
        (true, _) => Suite::Hours,
        (_, true) => Suite::Faults,
        _ => Suite::Everywhere,
    };
    let clock = suite.clock();
    let binaries = binaries::build(machine, suite)?;
    let mut programs = vec![("bin/tcpstate".to_owned(), binaries.tool)];
    let tests = binaries.tests.into_iter();
    programs.extend(tests.map(|(name, test)| (format!("tests/{name}"), test)));
    let kit = Kit {
        matrix: &matrix,
        machine,
        init: binaries.init,
        programs,
    };
    let mut guests = Vec::new();
    for (kernel, image) in images {
        let title = format!("{}-{}{}", kernel.arch, kernel.name, suite.suffix());
        let init = format!("{} {}", matrix.limit(clock), args.test);
        guests.push(kit.guest(title, image, clock, init)?);
    }
    boot(&guests, args.jobs)
}

/// Where the files of guests are kept.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    let folder = workspace::target_dir()?.join("vm");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Runs the guests, `jobs` at a time, and says how it went.
pub(crate) fn boot(guests: &[Guest<'_>], jobs: u8) -> anyhow::Result<ExitCode> {
    let outcomes = side_by_side(guests, jobs)?;
    let table = table::draw(guests, &outcomes);
    println!(
        "{}\n{} passed, {} failed",
        table.text, table.passed, table.failed
    );
    Ok(if table.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the guests, `jobs` at a time. What came of each is in their order.
fn side_by_side(guests: &[Guest<'_>], jobs: u8) -> anyhow::Result<Vec<Outcome>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut outcomes = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(guest) = guests.get(index) else {
                return anyhow::Ok(outcomes);
            };
            outcomes.push((index, guest.run()?));
        }
    };
    let mut outcomes = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let mut outcomes = Vec::new();
        for worker in workers {
            outcomes.extend(worker.join().expect("watching a guest does not panic")?);
        }
        anyhow::Ok(outcomes)
    })?;
    outcomes.sort_by_key(|(index, _)| *index);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}
