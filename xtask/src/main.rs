//! The one door to every job of this repository: `cargo xtask COMMAND`, one file a job.
//!
//! A job that needs something installed asks [`setup`] for it first, so that each command works on a new machine.
mod build;
mod command;
mod debian;
mod demo;
mod deny;
mod dist;
mod e2e;
mod fuzz;
mod harness;
mod lint;
mod package;
mod page;
mod prometheus;
mod run;
mod setup;
mod systemd;
mod test;
mod vm;
mod workspace;
mod zabbix;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Everything that is done with this repository.
///
/// Each command first installs what it needs and lacks: bpf-linker goes into target/tools, Rust components come
/// through rustup, and the tests' programs through apt-get. Commands that touch the kernel use sudo when you are not root.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", version, arg_required_else_help = true, after_help = EXAMPLES)]
enum Job {
    /// Install what building, linting and testing need (the other commands do it by themselves)
    ///
    /// Prints each step before it is done. Costs a fraction of a second when nothing is missing.
    Setup,
    /// Build the optimised binary: target/release/tcpstate
    Build,
    /// Build, then run tcpstate with ARGS, as root
    ///
    /// The exit status is tcpstate's own. Ctrl-C ends it cleanly, with its summary.
    #[command(
        after_help = "Examples:\n  cargo xtask run -- trace -d 10\n  cargo xtask run -- hist --help"
    )]
    Run {
        /// What tcpstate is called with
        #[arg(value_name = "ARGS", last = true)]
        args: Vec<OsString>,
    },
    /// Build, then trace for five seconds while a few loopback connections are made
    ///
    /// The connections are real ones: closed by the client first, closed by the server first, and refused.
    Demo,
    /// Run every test: unit and property tests, then the end-to-end tests as root
    ///
    /// The exit status is the verdict; the last lines are the test runner's own summary.
    Test,
    /// Run the end-to-end tests (package tests/) as root, on the optimised binary
    #[command(after_help = "Example:\n  cargo xtask e2e refused")]
    E2e {
        /// Run only the tests whose names contain one of these
        filter: Vec<String>,
    },
    /// Run the end-to-end tests on real kernels, each booted in a virtual machine of its own
    #[command(
        after_help = "Examples:\n  cargo xtask vm\n  cargo xtask vm 5.10 newest-7 --test time_wait\n  cargo xtask vm --arch arm64\n  cargo xtask vm newest-6 --hours\n  cargo xtask vm --faults"
    )]
    Vm(vm::Args),
    /// Import the shipped Zabbix templates into a real server, and have it poll a real agent with the shipped file
    ///
    /// Runs as root; installs Debian's Zabbix 6.0 server, frontend and agent, and PostgreSQL, where they are missing.
    Zabbix,
    /// Run the tests of `serve` that need a real Prometheus: promtool, rules, dashboard, two minutes of scraping
    Prometheus,
    /// Check the page of `tcpstate report` in a browser: no console message, no network request; take its pictures
    ///
    /// Without FILE it builds, and takes the page of the demo recording. The pictures, at 1280 and 400 pixels, light and
    /// dark, go to target/page/.
    Page {
        /// A page that is there already
        file: Option<PathBuf>,
    },
    /// Measure what each command costs under a load of real connections: throughput kept, ns per transition, loss
    ///
    /// docs/performance.md says what the tables mean. `cargo xtask bench --help` shows the options of the harness.
    #[command(disable_help_flag = true)]
    Bench {
        /// What the harness is called with
        #[arg(
            value_name = "ARGS",
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        args: Vec<OsString>,
    },
    /// Let connections of every kind come and go for minutes or hours under serve and trace: memory flat, drift 0, loss 0
    ///
    /// docs/reliability.md has the figures of such a run. `cargo xtask soak --help` shows the options of the harness.
    #[command(disable_help_flag = true)]
    Soak {
        /// Run it in a virtual machine with this kernel, as tests/kernels.toml calls it (before the harness's options)
        #[arg(long, value_name = "NAME")]
        kernel: Option<String>,
        /// What the harness is called with
        #[arg(
            value_name = "ARGS",
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        args: Vec<OsString>,
    },
    /// Make what is given to others: a static binary and a Debian package, in target/dist
    ///
    /// The package has manual pages, shell completions, systemd units, documents and the kits of contrib/.
    Dist,
    /// Make the package, install it in a clean Debian system, use all that is in it, and purge it
    ///
    /// The system is made by debootstrap in target/debian, once. Needs root.
    Package,
    /// Run the systemd units of the package in a virtual machine, with systemd as its init
    ///
    /// They must be confined as their comments say, show true numbers, stop cleanly, and go with the package. Needs root.
    Systemd {
        /// The kernels to boot, as tests/kernels.toml calls them [default: 6.1]
        kernels: Vec<String>,
    },
    /// Feed what reads other people's bytes and text with anything, each target of tests/fuzz for a while
    ///
    /// Begins with the kept corpora, tests/fuzz/corpus. The first finding ends it with exit status 1 and the input's place.
    #[command(
        after_help = "Examples:\n  cargo xtask fuzz\n  cargo xtask fuzz recording --seconds 600\n  cargo xtask fuzz --seconds 600 --keep"
    )]
    Fuzz(fuzz::Args),
    /// Check what is depended upon, as deny.toml says: licences, sources, no crate in two versions
    Deny {
        /// Known vulnerabilities and unmaintained crates, too; fetches the RustSec database from the network
        #[arg(long)]
        advisories: bool,
    },
    /// Check formatting, clippy for user space and for the BPF target, and the documentation
    Lint,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo                 see TCP transitions now
  cargo xtask run -- trace         see those of this host, until Ctrl-C
  cargo xtask test                 everything that must pass
  cargo xtask e2e time_wait        the end-to-end tests with `time_wait` in their names";

fn main() -> ExitCode {
    let done = match Job::parse() {
        Job::Setup => setup::everything(),
        Job::Build => build::job(),
        Job::Run { args } => run::job(&args),
        Job::Demo => demo::job(),
        Job::Test => test::job(),
        Job::E2e { filter } => e2e::job(&filter),
        Job::Vm(args) => vm::job(&args),
        Job::Zabbix => zabbix::job(),
        Job::Prometheus => prometheus::job(),
        Job::Page { file } => page::job(file.as_deref()),
        Job::Bench { args } => harness::job("bench", &args),
        Job::Soak { kernel, args } => match kernel {
            Some(kernel) => vm::soak::job(&kernel, &args),
            None => harness::job("soak", &args),
        },
        Job::Dist => dist::job(),
        Job::Package => package::job(),
        Job::Systemd { kernels } => systemd::job(&kernels),
        Job::Fuzz(args) => fuzz::job(&args),
        Job::Deny { advisories } => deny::job(advisories),
        Job::Lint => lint::job(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
