//! The running kernel as a source of facts: loads and attaches the programs, reads their rings and counters. The only
//! module that knows aya.
pub(crate) mod counters;
pub(crate) mod fields;
pub(crate) mod filter;
mod iterator;
mod lockdown;
mod plan;
mod rings;
pub(crate) mod symbols;
pub(crate) mod timers;
mod wake;
mod walk;

use std::{
    io::ErrorKind,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use aya::{
    Btf, Ebpf, EbpfLoader, Endianness,
    programs::{BtfTracePoint, Iter, tp_btf::BtfTracePointLink},
};
use aya_log::EbpfLogger;
use nix::{
    errno::Errno,
    sys::resource::{RLIM_INFINITY, Resource, setrlimit},
};

use rustix::thread::{CapabilitySet, capabilities};
use tcpstate_ebpf::{Filter, Want};

pub(crate) use self::iterator::iterate;
pub use self::{
    counters::Counted,
    filter::in_kernel,
    plan::{Plan, Probe, Tier},
    walk::{Walk, Walked},
};
use self::{
    counters::CounterMap, fields::Types, rings::Rings, symbols::Handlers, timers::Timers,
    wake::WakeNext, walk::Links,
};
use super::{Lost, Source};
use crate::{clock, fact::Fact, netns::Found, proc};

/// How the kernel side is set up.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Which facts are delivered, as far as the kernel side can tell.
    pub filter: Filter,
    /// Bytes of all ring buffers together; each CPU gets an equal part.
    pub ring_bytes: u32,
    /// Follow mini-sockets; otherwise full sockets only.
    pub minis: bool,
    /// How the owners of sockets are learned.
    pub owners: Owners,
    /// The programs send messages.
    pub verbose: bool,
    /// Measure the programs' run time (about 40 ns a run).
    pub bpf_stats: bool,
}

/// How the owners of sockets are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owners {
    /// Not at all.
    None,
    /// As sockets connect or listen, and by walks over the open files: at the start, at the end, and whenever counts are reconciled.
    Walks,
    /// As sockets are accepted, used and shut down as well; with cookies, cgroups and the payload that they carried.
    Events,
}

/// What a program has cost.
#[derive(Clone, Debug)]
pub struct ProgramRuns {
    /// Its name in the object.
    pub name: String,
    /// How many times it has run.
    pub runs: u64,
    /// How long it has run.
    pub time: Duration,
}

/// The programs, attached, and what they write.
pub struct KernelSource {
    /// Holds the programs; dropping it removes them from the kernel.
    ebpf: Ebpf,
    plan: Plan,
    /// The programs of the main tracepoint are attached while these exist.
    link: Option<[BtfTracePointLink; 2]>,
    rings: Rings,
    wake_next: WakeNext,
    timers: Timers,
    counters: CounterMap,
    logs: Option<EbpfLogger<&'static dyn log::Log>>,
    /// Run-time statistics are on while this is open.
    stats: Option<OwnedFd>,
    /// Length of a jiffy, ns.
    tick_ns: u32,
    links: Arc<Links>,
}

/// Name of the program at the main tracepoint.
const MAIN_PROGRAM: &str = "inet_sock_set_state";
/// Name of the program that takes over where the main one is not run, because it is running already.
const NESTED_PROGRAM: &str = "nested_set_state";
/// Programs that may be skipped without a loss: what the second one at the tracepoint is not run for, the first was; and
/// who uses a socket is told again by the next receive, by the shutdown, or by a walk.
const TOLD_AGAIN: [&str; 5] = [
    NESTED_PROGRAM,
    "socket_accepted",
    "socket_accepted_4",
    "socket_received",
    "socket_copied",
];
/// The helper that gives the programs a socket's cookie.
const COOKIE: &str = "bpf_get_socket_ptr_cookie";
/// What fails where the kernel's types cannot be had.
const READING_TYPES: &str = "reading the kernel's types";
/// Name of the program that walks the socket tables.
const WALK_PROGRAM: &str = "walk_tcp";
/// Name of the program that walks the open files.
const FILES_PROGRAM: &str = "walk_files";

impl KernelSource {
    /// Loads and attaches the programs.
    ///
    /// # Errors
    /// There is no `/proc`, the kernel has no BTF, a capability is missing, or the kernel refuses the main program; says what to do.
    pub fn start(config: Config) -> anyhow::Result<Self> {
        // Without it mini-sockets, owners and what exists already would be missing, one by one and quietly.
        proc::demand()?;
        let description = kernel_types()?;
        let functions = plan::functions().chain([COOKIE]);
        let types =
            Types::read(&description, functions, plan::tracepoints()).context(READING_TYPES)?;
        let has_cookie = u8::from(types.has_function(COOKIE));
        let filtered = u8::from(config.filter != Filter::default());
        let filter = filter::Bytes(config.filter);
        let want = match config.owners {
            Owners::None => Want::States,
            Owners::Walks => Want::Openers,
            Owners::Events => Want::Everything,
        } as u8;
        let (handlers, watchable) = match symbols::handlers() {
            Ok(handlers) => (handlers, Ok(())),
            Err(error) => (Handlers::default(), Err(error)),
        };
        let tick_ns = clock::tick_ns().context("reading the length of a jiffy")?;
        // Kernels before 5.11 charge BPF memory to this limit; later ones do not care, so a refusal is no error.
        if let Err(error) = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY) {
            log::debug!("raising RLIMIT_MEMLOCK: {error}");
        }
        let btf = Btf::parse(&description, Endianness::default()).context(READING_TYPES)?;
        let log_level = if config.verbose { u8::MAX } else { 0 };
        let cpus =
            aya::util::nr_cpus().map_err(|(path, error)| anyhow!("reading {path}: {error}"))?;
        let ring_bytes = rings::share(config.ring_bytes, cpus)?;
        let wake_mask = rings::wake_mask(ring_bytes);
        let mut loader = EbpfLoader::new();
        loader
            .btf(Some(&btf))
            .map_max_entries("RINGS", u32::try_from(cpus)?)
            .override_global(aya_log::LEVEL, &log_level, false)
            .override_global("HAS_COOKIE", &has_cookie, true)
            .override_global("FILTERED", &filtered, true)
            .override_global("FILTER", &filter, true)
            .override_global("WANT", &want, true)
            .override_global("WAKE_MASK", &wake_mask, true)
            .override_global("TW_TIMER_HANDLER", &handlers.timewait, true)
            .override_global("REQ_TIMER_HANDLER", &handlers.request, true);
        for (symbol, offset) in &types.offsets {
            loader.override_global(symbol, offset, true);
        }
        let mut ebpf = loader
            .load(aya::include_bytes_aligned!(concat!(
                env!("OUT_DIR"),
                "/tcpstate-ebpf"
            )))
            .map_err(|error| refused(error.into(), "loading the programs"))?;
        let logs = config
            .verbose
            .then(|| EbpfLogger::init(&mut ebpf))
            .transpose()
            .context("opening the programs' messages")?;
        let rings = Rings::new(
            &mut ebpf,
            cpus,
            ring_bytes,
            tick_ns,
            logs.as_ref().map(AsFd::as_fd),
        )
        .map_err(|error| refused(error, "making the ring buffers"))?;
        let wake_next = WakeNext::new(&mut ebpf)?;
        let counters = CounterMap::new(&mut ebpf)?;
        let stats = config
            .bpf_stats
            .then(|| aya::sys::enable_stats(aya::sys::Stats::RunTime))
            .transpose()
            .map_err(|error| refused(error.into(), "turning on BPF run-time statistics"))?;
        let sockets = attach_iterator(&mut ebpf, WALK_PROGRAM, "tcp", &btf)?;
        let files = (config.owners >= Owners::Walks)
            .then(|| attach_iterator(&mut ebpf, FILES_PROGRAM, "task_file", &btf))
            .transpose()?;
        // Mini-sockets first: a full socket's end is understood only where its timewait socket was seen.
        let mut plan = if config.minis {
            Plan::attach(&mut ebpf, &btf, &types, &watchable)
        } else {
            Plan::full_sockets_only()
        };
        if config.owners == Owners::Events {
            plan.attach_owners(&mut ebpf, &btf, &types);
        }
        let link = [
            attach_main(&mut ebpf, MAIN_PROGRAM, &btf)?,
            attach_main(&mut ebpf, NESTED_PROGRAM, &btf)?, // attached later, it runs after the first
        ];
        Ok(Self {
            ebpf,
            plan,
            link: Some(link),
            rings,
            wake_next,
            timers: Timers::default(),
            counters,
            logs,
            stats,
            tick_ns,
            links: Arc::new(Links { sockets, files }),
        })
    }

    /// The probes of mini-sockets.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Prepares a walk over the socket tables of the namespaces that were found. Until [`KernelSource::walked`] takes
    /// its facts, nothing later than now is drained.
    pub fn walk(&mut self, found: Found) -> Walk {
        let walk = Walk::prepare(Arc::clone(&self.links), found);
        self.rings.hold_back(walk.start_ns());
        walk
    }

    /// Takes the facts of a walk, which are drained with the others in order of time.
    pub fn walked(&mut self, facts: Vec<Fact>) {
        self.rings.add(facts);
    }

    /// Length of a jiffy, ns.
    #[must_use]
    pub fn tick_ns(&self) -> u32 {
        self.tick_ns
    }

    /// Waits until a ring has a wake-up's worth of records, or the programs have a message to show.
    ///
    /// # Errors
    /// The rings can no longer be waited for.
    pub async fn ready(&self) -> anyhow::Result<()> {
        self.rings
            .ready()
            .await
            .context("waiting for the ring buffers")
    }

    /// From now on the next record that comes is enough for [`KernelSource::ready`]. One that is there already is not: to be
    /// followed by a fetch.
    pub fn wake_at_next(&self) {
        self.wake_next.ask();
    }

    /// Detaches the programs and drains what they have written: after this nothing more comes.
    ///
    /// # Errors
    /// A record that is none of ours.
    pub fn stop(&mut self, give: &mut dyn FnMut(&Fact)) -> anyhow::Result<()> {
        self.link = None;
        self.plan.detach();
        let timers = &mut self.timers;
        self.rings.finish(|fact| timers.apply(fact, give))?;
        timers.settle(u64::MAX, give);
        Ok(())
    }

    /// The transitions that the tracepoint reported, exact whatever was lost on the way.
    ///
    /// # Errors
    /// The counters cannot be read.
    pub fn counted(&self) -> anyhow::Result<Counted> {
        self.counters.read()
    }

    /// What each loaded program has cost so far; `None` unless it is measured.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn program_runs(&self) -> anyhow::Result<Option<Vec<ProgramRuns>>> {
        if self.stats.is_none() {
            return Ok(None);
        }
        // A program that is not loaded, because the plan does without it, does not run.
        let loaded = self
            .ebpf
            .programs()
            .filter(|(_, program)| program.fd().is_ok());
        let runs = loaded.map(|(name, program)| {
            let info = program
                .info()
                .with_context(|| format!("asking about program {name}"))?;
            Ok(ProgramRuns {
                name: name.to_owned(),
                runs: info.run_count(),
                time: info.run_time(),
            })
        });
        runs.collect::<anyhow::Result<_>>().map(Some)
    }
}

impl Source for KernelSource {
    fn fetch(&mut self) -> anyhow::Result<bool> {
        if let Some(logs) = &mut self.logs {
            logs.flush();
        }
        self.rings.fetch()
    }

    fn drain(&mut self, give: &mut dyn FnMut(&Fact)) -> u64 {
        let timers = &mut self.timers;
        let now_ns = self.rings.drain(|fact| timers.apply(fact, give));
        timers.settle(now_ns, give);
        now_ns
    }

    fn facts_lost(&mut self) -> anyhow::Result<u64> {
        Ok(self.counters.read()?.ring_full)
    }

    fn lost(&mut self) -> anyhow::Result<Lost> {
        let skipped: u64 = self
            .ebpf
            .programs()
            .filter(|(name, _)| !TOLD_AGAIN.contains(name))
            .filter_map(|(_, program)| program.fd().ok())
            .map(counters::recursion_misses)
            .sum();
        let counted = self.counters.read()?;
        Ok(Lost {
            ring_full: counted.ring_full,
            nested: skipped.saturating_sub(counted.nested),
            ..Lost::default()
        })
    }
}

/// The kernel's description of its types, read once: both libraries that need it would read it in small pieces.
fn kernel_types() -> anyhow::Result<Vec<u8>> {
    let path = fields::BTF_PATH;
    std::fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow!(
            "{READING_TYPES}: {path} does not exist; use a kernel built with CONFIG_DEBUG_INFO_BTF (Debian 11, Ubuntu 20.10, RHEL 8.2 and later have it)"
        ),
        _ => anyhow::Error::new(error).context(format!("{READING_TYPES} from {path}")),
    })
}

/// Loads and attaches a program of the main tracepoint.
fn attach_main(ebpf: &mut Ebpf, name: &str, btf: &Btf) -> anyhow::Result<BtfTracePointLink> {
    let main: &mut BtfTracePoint = program(ebpf, name)?;
    main.load(MAIN_PROGRAM, btf).map_err(|error| {
        refused(
            error.into(),
            "loading the program for sock:inet_sock_set_state",
        )
    })?;
    main.attach()
        .and_then(|link| main.take_link(link))
        .map_err(|error| refused(error.into(), "attaching to sock:inet_sock_set_state"))
}

/// Loads and attaches a program that walks over a table of the kernel.
fn attach_iterator(ebpf: &mut Ebpf, name: &str, table: &str, btf: &Btf) -> anyhow::Result<OwnedFd> {
    let walk: &mut Iter = program(ebpf, name)?;
    walk.load(table, btf)
        .map_err(|error| refused(error.into(), "loading an iterator"))?;
    let loaded = walk.fd().context("loading an iterator")?;
    iterator::attach(loaded.as_fd()).map_err(|error| refused(error.into(), "attaching an iterator"))
}

/// A program of the object by its name and type.
fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut P>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = aya::programs::ProgramError>,
{
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("the object has no program {name}"))?;
    program
        .try_into()
        .with_context(|| format!("program {name}"))
}

/// Turns a refusal of the kernel into one line that says what to do about it.
fn refused(error: anyhow::Error, doing: &'static str) -> anyhow::Error {
    if lockdown::is_confidential() {
        // A helper that reads memory does not exist then: the verifier's words for that would explain nothing.
        log::debug!("{error:#}");
        return anyhow!(
            "{doing}: this kernel is locked down for confidentiality, so that nobody may read its memory; boot it with lockdown=integrity, or without lockdown=confidentiality"
        );
    }
    // Not EACCES: that is the verifier's word for a program it does not like.
    let not_permitted = error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.raw_os_error() == Some(Errno::EPERM as i32))
    });
    let loads = CapabilitySet::BPF | CapabilitySet::PERFMON;
    let held = capabilities(None).is_ok_and(|held| held.effective.contains(loads));
    if not_permitted && held {
        anyhow!(
            "{doing}: operation not permitted, although it has CAP_BPF and CAP_PERFMON; run it as root (sudo tcpstate …), or, before Linux 5.11, without a limit of locked memory (ulimit -l unlimited)"
        )
    } else if not_permitted {
        anyhow!(
            "{doing}: operation not permitted; needs CAP_BPF and CAP_PERFMON: run it as root (sudo tcpstate …)"
        )
    } else {
        error.context(doing)
    }
}
