//! The running kernel as a source of facts: loads and attaches the programs, reads their rings and counters. The only
//! module that knows aya.
mod counters;
mod fields;
mod plan;
mod rings;
mod symbols;
mod timers;
mod walk;

use std::{os::fd::AsFd, path::Path};

use anyhow::{Context as _, anyhow};
use aya::{
    Btf, Ebpf, EbpfLoader,
    programs::{BtfTracePoint, Iter, tp_btf::BtfTracePointLink},
};
use aya_log::EbpfLogger;
use nix::{
    errno::Errno,
    sys::resource::{RLIM_INFINITY, Resource, setrlimit},
};

pub use self::{
    counters::Counted,
    plan::{Plan, Probe, Tier},
    walk::{Walk, Walked},
};
use self::{counters::CounterMap, rings::Rings, symbols::Handlers, timers::Timers};
use super::{Lost, Source};
use crate::{clock, fact::Fact, netns::Found};

/// How the kernel side is set up.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bytes of all ring buffers together; each CPU gets an equal part.
    pub ring_bytes: u32,
    /// Follow mini-sockets; otherwise full sockets only.
    pub minis: bool,
    /// The programs send messages.
    pub verbose: bool,
    /// Measure the programs' run time (about 40 ns a run).
    pub bpf_stats: bool,
}

/// The programs, attached, and what they write.
pub struct KernelSource {
    /// Holds the programs; dropping it removes them from the kernel.
    ebpf: Ebpf,
    plan: Plan,
    /// The programs of the main tracepoint are attached while these exist.
    link: Option<[BtfTracePointLink; 2]>,
    rings: Rings,
    timers: Timers,
    /// Facts before the timers are understood.
    unsettled: Vec<Fact>,
    counters: CounterMap,
    logs: Option<EbpfLogger<&'static dyn log::Log>>,
    /// Run-time statistics are on while this is open.
    stats: Option<std::os::fd::OwnedFd>,
    /// Length of a jiffy, ns.
    tick_ns: u32,
}

/// Name of the program at the main tracepoint.
const MAIN_PROGRAM: &str = "inet_sock_set_state";
/// Name of the program that takes over where the main one is not run, because it is running already.
const NESTED_PROGRAM: &str = "nested_set_state";
/// Name of the program that walks the socket tables.
const WALK_PROGRAM: &str = "walk_tcp";

impl KernelSource {
    /// Loads and attaches the programs.
    ///
    /// # Errors
    /// The kernel has no BTF, a capability is missing, or the kernel refuses the main program; says what to do.
    pub fn start(config: Config) -> anyhow::Result<Self> {
        let types = kernel_types()?;
        let offsets = fields::offsets(&types)?;
        let has_cookie = u8::from(fields::has_function(&types, "bpf_get_socket_ptr_cookie"));
        let (handlers, watchable) = match symbols::handlers() {
            Ok(handlers) => (handlers, Ok(())),
            Err(error) => (Handlers::default(), Err(error)),
        };
        let tick_ns = clock::tick_ns().context("reading the length of a jiffy")?;
        // Kernels before 5.11 charge BPF memory to this limit; later ones do not care, so a refusal is no error.
        if let Err(error) = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY) {
            log::debug!("raising RLIMIT_MEMLOCK: {error}");
        }
        let btf = Btf::from_sys_fs().context("reading the kernel's types")?;
        let log_level = if config.verbose { u8::MAX } else { 0 };
        let cpus =
            aya::util::nr_cpus().map_err(|(path, error)| anyhow!("reading {path}: {error}"))?;
        let mut loader = EbpfLoader::new();
        loader
            .btf(Some(&btf))
            .map_max_entries("RINGS", u32::try_from(cpus)?)
            .override_global(aya_log::LEVEL, &log_level, false)
            .override_global("HAS_COOKIE", &has_cookie, true)
            .override_global("TW_TIMER_HANDLER", &handlers.timewait, true)
            .override_global("REQ_TIMER_HANDLER", &handlers.request, true);
        for (symbol, offset) in &offsets {
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
            config.ring_bytes,
            tick_ns,
            logs.as_ref().map(AsFd::as_fd),
        )
        .map_err(|error| refused(error, "making the ring buffers"))?;
        let counters = CounterMap::new(&mut ebpf)?;
        let stats = config
            .bpf_stats
            .then(|| aya::sys::enable_stats(aya::sys::Stats::RunTime))
            .transpose()
            .map_err(|error| refused(error.into(), "turning on BPF run-time statistics"))?;
        let walk: &mut Iter = program(&mut ebpf, WALK_PROGRAM)?;
        walk.load("tcp", &btf)
            .map_err(|error| refused(error.into(), "loading the socket iterator"))?;
        // Mini-sockets first: a full socket's end is understood only where its timewait socket was seen.
        let plan = if config.minis {
            Plan::attach(&mut ebpf, &btf, &types, &watchable)
        } else {
            Plan::full_sockets_only()
        };
        let link = [
            attach_main(&mut ebpf, MAIN_PROGRAM, &btf)?,
            attach_main(&mut ebpf, NESTED_PROGRAM, &btf)?, // attached later, it runs after the first
        ];
        Ok(Self {
            ebpf,
            plan,
            link: Some(link),
            rings,
            timers: Timers::default(),
            unsettled: Vec::new(),
            counters,
            logs,
            stats,
            tick_ns,
        })
    }

    /// The probes of mini-sockets.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Prepares a walk over the socket tables of the namespaces that were found. Until [`KernelSource::walked`] takes
    /// its facts, nothing later than now is drained.
    ///
    /// # Errors
    /// The object has no such program.
    pub fn walk(&mut self, found: Found) -> anyhow::Result<Walk> {
        let walk = Walk::prepare(program(&mut self.ebpf, WALK_PROGRAM)?, found);
        self.rings.hold_back(walk.start_ns());
        Ok(walk)
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

    /// Detaches the programs and drains what they have written: after this nothing more comes.
    ///
    /// # Errors
    /// A record that is none of ours.
    pub fn stop(&mut self, facts: &mut Vec<Fact>) -> anyhow::Result<()> {
        self.link = None;
        self.plan.detach();
        self.rings.finish(&mut self.unsettled)?;
        self.settle(u64::MAX, facts);
        Ok(())
    }

    /// The transitions that the tracepoint reported, exact whatever was lost on the way.
    ///
    /// # Errors
    /// The counters cannot be read.
    pub fn counted(&self) -> anyhow::Result<Counted> {
        self.counters.read()
    }

    /// Run time of all programs so far, in seconds; `None` unless it is measured.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn bpf_seconds(&self) -> anyhow::Result<Option<f64>> {
        if self.stats.is_none() {
            return Ok(None);
        }
        let mut total = std::time::Duration::ZERO;
        // A program that is not loaded, because the plan does without it, has no run time.
        for (name, program) in self
            .ebpf
            .programs()
            .filter(|(_, program)| program.fd().is_ok())
        {
            let info = program
                .info()
                .with_context(|| format!("asking about program {name}"))?;
            total += info.run_time();
        }
        Ok(Some(total.as_secs_f64()))
    }

    fn settle(&mut self, now_ns: u64, facts: &mut Vec<Fact>) {
        for fact in self.unsettled.drain(..) {
            self.timers.apply(fact, facts);
        }
        self.timers.settle(now_ns, facts);
    }
}

impl Source for KernelSource {
    fn drain(&mut self, facts: &mut Vec<Fact>) -> anyhow::Result<u64> {
        if let Some(logs) = &mut self.logs {
            logs.flush();
        }
        let now_ns = self.rings.drain(&mut self.unsettled)?;
        self.settle(now_ns, facts);
        Ok(now_ns)
    }

    fn facts_lost(&mut self) -> anyhow::Result<u64> {
        Ok(self.counters.read()?.ring_full)
    }

    fn lost(&mut self) -> anyhow::Result<Lost> {
        let skipped: u64 = self
            .ebpf
            .programs()
            .filter(|(name, _)| *name != NESTED_PROGRAM) // what it was not run for, the first was
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

fn kernel_types() -> anyhow::Result<btf_rs::Btf> {
    let path = Path::new(fields::BTF_PATH);
    if !path.exists() {
        return Err(anyhow!(
            "reading the kernel's types: {} does not exist; use a kernel built with CONFIG_DEBUG_INFO_BTF (Debian 11, Ubuntu 20.10, RHEL 8.2 and later have it)",
            path.display()
        ));
    }
    btf_rs::Btf::from_file(path)
        .with_context(|| format!("reading the kernel's types from {}", path.display()))
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
    // Not EACCES: that is the verifier's word for a program it does not like.
    let not_permitted = error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.raw_os_error() == Some(Errno::EPERM as i32))
    });
    if not_permitted {
        anyhow!(
            "{doing}: operation not permitted; needs CAP_BPF and CAP_PERFMON: run it as root (sudo tcpstate …)"
        )
    } else {
        error.context(doing)
    }
}
