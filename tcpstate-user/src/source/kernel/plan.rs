//! The plan of probes: which the kernel can have, found out by attaching them one at a time, and what is missing
//! without those that it cannot.
use std::fmt;

use anyhow::Context as _;
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, FEntry, FExit},
};

use super::{fields::Types, program};

/// How mini-sockets are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Entries and exits of kernel functions.
    Fentry,
    /// Timer tracepoints, where functions cannot be traced.
    Tracepoint,
    /// Not at all.
    None,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fentry => "fentry",
            Self::Tracepoint => "tracepoint",
            Self::None => "full-socket",
        })
    }
}

/// Kinds of attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Entry,
    Exit,
    Tracepoint,
}

/// A probe that the plan knows.
struct Spec {
    /// Program in the object.
    program: &'static str,
    kind: Kind,
    /// What it attaches to: the first that the kernel has.
    targets: &'static [&'static str],
    /// The tier is nothing without it.
    essential: bool,
    /// What cannot be measured without it.
    without: &'static str,
}

const fn entry(
    program: &'static str,
    targets: &'static [&'static str],
    essential: bool,
    without: &'static str,
) -> Spec {
    Spec {
        program,
        kind: Kind::Entry,
        targets,
        essential,
        without,
    }
}

const TIMEWAIT: &str = "TIME_WAIT and orphaned FIN_WAIT2";
const REQUEST: &str = "half-open SYN_RECV";

/// The fentry tier.
const FENTRY: &[Spec] = &[
    entry("timewait_ended", &["tcp_twsk_destructor"], true, TIMEWAIT),
    entry(
        "timewait_scheduled",
        &["__inet_twsk_schedule"],
        true,
        TIMEWAIT,
    ),
    entry(
        "timewait_created",
        &["inet_twsk_hashdance_schedule", "inet_twsk_hashdance"],
        true,
        TIMEWAIT,
    ),
    entry(
        "request_ended_v4",
        &["tcp_v4_reqsk_destructor"],
        true,
        REQUEST,
    ),
    entry(
        "request_ended_v6",
        &["tcp_v6_reqsk_destructor"],
        false,
        "half-open SYN_RECV over IPv6",
    ),
    entry(
        "request_added",
        &["inet_csk_reqsk_queue_hash_add"],
        true,
        REQUEST,
    ),
    entry(
        "timewait_timer",
        &["tw_timer_handler"],
        false,
        "that a TIME_WAIT expired",
    ),
    entry(
        "timewait_descheduled",
        &["inet_twsk_deschedule_put"],
        false,
        "that a TIME_WAIT was reused",
    ),
    entry(
        "timewait_segment",
        &["tcp_timewait_state_process"],
        false,
        "that a TIME_WAIT was reset",
    ),
    entry(
        "request_timer",
        &["reqsk_timer_handler"],
        false,
        "that a half-open connection timed out",
    ),
    entry(
        "request_segment",
        &["tcp_check_req"],
        false,
        "that a half-open connection was reset",
    ),
    entry(
        "request_unreachable",
        &["tcp_req_err"],
        false,
        "that a half-open connection's peer is unreachable",
    ),
    entry(
        "socket_aborted",
        &["tcp_abort"],
        false,
        "that a mini-socket was destroyed by SOCK_DESTROY",
    ),
    Spec {
        program: "timewait_allocated",
        kind: Kind::Exit,
        targets: &["inet_twsk_alloc"],
        essential: false,
        without: "that no TIME_WAIT was made (tw_overflow)",
    },
];

/// The tracepoint tier.
const TRACEPOINT: &[Spec] = &[
    tracepoint(
        "timer_expire_entry",
        &["timer_expire_entry"],
        true,
        "mini-sockets",
    ),
    tracepoint("timer_cancel", &["timer_cancel"], true, "mini-sockets"),
    tracepoint("timer_start", &["timer_start"], true, "mini-sockets"),
    tracepoint(
        "kfree_skb",
        &["kfree_skb"],
        false,
        "FIN_WAIT2 -> TIME_WAIT of an orphan as it happens (it is recovered at the end, marked estimated)",
    ),
];

/// The kernel function that returns an accepted socket.
const ACCEPT: &str = "inet_csk_accept";

/// The tracepoint of receiving system calls, from 6.3.
const RECEIVE: &str = "sock_recv_length";

/// Who owns accepted sockets, whatever the tier; by the number of arguments of [`ACCEPT`].
const fn accepted(program: &'static str) -> Spec {
    Spec {
        program,
        kind: Kind::Exit,
        targets: &[ACCEPT],
        essential: false,
        without: "who accepts a socket, at that moment (known from the first receive, the close, or the next walk over open files)",
    }
}

/// Who uses sockets, whatever the tier; the tracepoint of receiving system calls is there from 6.3.
const fn received(program: &'static str, tracepoint_name: &'static [&'static str]) -> Spec {
    tracepoint(
        program,
        tracepoint_name,
        false,
        "who receives from a socket (known from the close, or the next walk over open files)",
    )
}

const fn tracepoint(
    program: &'static str,
    targets: &'static [&'static str],
    essential: bool,
    without: &'static str,
) -> Spec {
    Spec {
        program,
        kind: Kind::Tracepoint,
        targets,
        essential,
        without,
    }
}

/// A probe after it was tried.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Program in the object.
    pub program: &'static str,
    /// What it attaches to.
    pub target: String,
    /// Tier that it belongs to.
    pub tier: Tier,
    /// Why it is not attached; `None` if it is.
    pub refused: Option<String>,
    /// What cannot be measured without it.
    pub without: &'static str,
}

/// The probes of mini-sockets as they were tried, and the links of those that are attached.
pub struct Plan {
    /// Every probe that was tried.
    pub probes: Vec<Probe>,
    /// The tier that works.
    pub tier: Tier,
    /// A probe is attached as long as its link exists.
    links: Vec<Box<dyn Send>>,
}

impl Plan {
    /// How it went, to be kept longer than the probes are attached.
    #[must_use]
    pub fn record(&self) -> Self {
        Self {
            probes: self.probes.clone(),
            tier: self.tier,
            links: Vec::new(),
        }
    }

    /// A plan that follows full sockets only.
    pub(super) fn full_sockets_only() -> Self {
        Self {
            probes: Vec::new(),
            tier: Tier::None,
            links: Vec::new(),
        }
    }

    /// Attaches the best tier that the kernel takes. `handlers`: why timers cannot be watched, if they cannot.
    pub(super) fn attach(
        ebpf: &mut Ebpf,
        btf: &Btf,
        types: &Types,
        handlers: &anyhow::Result<()>,
    ) -> Self {
        let mut plan = Self::full_sockets_only();
        if plan.attach_tier(ebpf, btf, types, Tier::Fentry, FENTRY) {
            return plan;
        }
        if let Err(why) = handlers {
            plan.probes.extend(TRACEPOINT.iter().map(|spec| Probe {
                program: spec.program,
                target: spec.program.to_owned(),
                tier: Tier::Tracepoint,
                refused: Some(format!("{why:#}")),
                without: spec.without,
            }));
        } else {
            plan.attach_tier(ebpf, btf, types, Tier::Tracepoint, TRACEPOINT);
        }
        plan
    }

    /// Detaches every probe.
    pub(super) fn detach(&mut self) {
        self.links.clear();
    }

    /// Attaches what tells the owners of accepted sockets; each stands for itself.
    pub(super) fn attach_owners(&mut self, ebpf: &mut Ebpf, btf: &Btf, types: &Types) {
        // The function has two arguments from 6.10, four before.
        let program = match types.parameters(ACCEPT) {
            Some(2) => "socket_accepted",
            _ => "socket_accepted_4",
        };
        let received = if types.has_tracepoint(RECEIVE) {
            received("socket_received", &[RECEIVE])
        } else {
            received("socket_copied", &["tcp_rcv_space_adjust"])
        };
        for (spec, tier) in [
            (accepted(program), Tier::Fentry),
            (received, Tier::Tracepoint),
        ] {
            let target = target(types, &spec);
            let attached = attach(ebpf, btf, &spec, target);
            self.probes.push(Probe {
                program: spec.program,
                target: target.to_owned(),
                tier,
                refused: attached.as_ref().err().map(brief),
                without: spec.without,
            });
            self.links.extend(attached.ok());
        }
    }

    /// Tries every probe of a tier; nothing of it stays attached if an essential one is refused.
    fn attach_tier(
        &mut self,
        ebpf: &mut Ebpf,
        btf: &Btf,
        types: &Types,
        tier: Tier,
        specs: &[Spec],
    ) -> bool {
        let mut links = Vec::new();
        let mut works = true;
        for spec in specs {
            let target = target(types, spec);
            let refused = if works {
                match attach(ebpf, btf, spec, target) {
                    Ok(link) => {
                        links.push(link);
                        None
                    }
                    Err(error) => {
                        works = !spec.essential;
                        Some(brief(&error))
                    }
                }
            } else {
                Some("not tried: its tier does not work without the one refused above".to_owned())
            };
            self.probes.push(Probe {
                program: spec.program,
                target: target.to_owned(),
                tier,
                refused,
                without: spec.without,
            });
        }
        if works {
            self.links = links;
            self.tier = tier;
        } else {
            let first = self.probes.len() - specs.len();
            for probe in &mut self.probes[first..] {
                probe
                    .refused
                    .get_or_insert_with(|| "taken off again: its tier does not work".to_owned());
            }
        }
        works
    }
}

/// The functions that the plan asks for.
pub(super) fn functions() -> impl Iterator<Item = &'static str> {
    let specs = FENTRY.iter().chain(TRACEPOINT);
    specs.flat_map(|spec| spec.targets).copied().chain([ACCEPT])
}

/// The tracepoints that the plan asks for.
pub(super) fn tracepoints() -> impl Iterator<Item = &'static str> {
    [RECEIVE].into_iter()
}

/// What a probe attaches to: the first of its targets that the kernel has.
fn target(types: &Types, spec: &Spec) -> &'static str {
    let known = spec.targets.iter().find(|name| types.has_function(name));
    known.or(spec.targets.first()).copied().unwrap_or_default()
}

fn attach(ebpf: &mut Ebpf, btf: &Btf, spec: &Spec, target: &str) -> anyhow::Result<Box<dyn Send>> {
    Ok(match spec.kind {
        Kind::Entry => {
            let program: &mut FEntry = program(ebpf, spec.program)?;
            program.load(target, btf).context("loading")?;
            let link = program.attach().context("attaching")?;
            Box::new(program.take_link(link)?)
        }
        Kind::Exit => {
            let program: &mut FExit = program(ebpf, spec.program)?;
            program.load(target, btf).context("loading")?;
            let link = program.attach().context("attaching")?;
            Box::new(program.take_link(link)?)
        }
        Kind::Tracepoint => {
            let program: &mut BtfTracePoint = program(ebpf, spec.program)?;
            program.load(target, btf).context("loading")?;
            let link = program.attach().context("attaching")?;
            Box::new(program.take_link(link)?)
        }
    })
}

/// An error in one line, without the verifier's log, which `-v` shows.
fn brief(error: &anyhow::Error) -> String {
    let whole = format!("{error:#}");
    log::debug!("{whole}");
    let cause = error.root_cause().to_string();
    let doing = error.to_string();
    match cause.lines().next() {
        Some(first) if first != doing => format!("{doing}: {first}"),
        _ => doing,
    }
}
