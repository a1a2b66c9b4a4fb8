//! What the manual says and the command line cannot: what a command is for, what it may do, what it reads, how it ends.

/// One command's share.
pub(crate) struct Prose {
    name: &'static str,
    pub(crate) description: &'static [&'static str],
    pub(crate) privileges: &'static [&'static str],
    /// Beyond [`EXIT_STATUS`].
    pub(crate) exit_status: &'static [&'static str],
    /// Besides tcpstate(1).
    pub(crate) see_also: &'static [&'static str],
}

/// A name, and what is said of it.
type Entry = (&'static str, &'static str);

/// The command of this name.
pub(crate) fn of_command(name: &str) -> Option<&'static Prose> {
    COMMANDS.iter().find(|prose| prose.name == name)
}

pub(crate) const TOOL: &[&str] = &[
    "tcpstate tells how the TCP sockets of a Linux host move between states: every transition as it happens, how many sockets are in each state now, and how long they stay there. It measures with eBPF programs, and also follows what the kernel keeps as mini-sockets: TIME_WAIT, FIN_WAIT2 and half-open SYN_RECV sockets, with their real lifetimes.",
    "The numbers are true. A state means what ss(8) would show for that socket. What is not known is '-' in text, empty in CSV and null in JSON, and never 0. Whatever was lost is counted and shown: at the end of every run, on the screen, in the metrics.",
    "Each command has a page of its own. Those that measure take the same filters (addresses, ports, owner, cgroup, network namespace, state, dwell time) and end cleanly on SIGINT and SIGTERM.",
];

pub(crate) const EXAMPLES: &str = "\
  sudo tcpstate trace -L 443             transitions of local port 443, as they happen
  sudo tcpstate life -d 1m               a line for every connection that ends within a minute
  sudo tcpstate top                      states, rates and the oldest sockets, live
  sudo tcpstate hist --state TIME_WAIT   how long sockets really stay in TIME_WAIT
  tcpstate count TIME-WAIT               one integer, without root
  sudo systemctl start tcpstate          metrics for Prometheus at http://127.0.0.1:9817/metrics
  sudo tcpstate doctor                   what is wrong with TCP here, and what to do about it";

pub(crate) const PRIVILEGES: &[&str] = &[
    "count, doctor --no-measure, and every command with --from work for an ordinary user. What measures loads programs into the kernel and needs root, or these capabilities:",
];

pub(crate) const CAPABILITIES: &[Entry] = &[
    (
        "CAP_BPF, CAP_PERFMON",
        "to load the programs, which read kernel memory and change nothing.",
    ),
    (
        "CAP_SYSLOG",
        "to see the addresses of kernel functions, which is needed where functions cannot be traced (the tracepoint tier of 'tcpstate doctor --probes').",
    ),
    (
        "CAP_SYS_ADMIN",
        "to enter other network namespaces, and for --bpf-stats.",
    ),
    (
        "CAP_SYS_PTRACE",
        "to find the network namespaces of other users' processes.",
    ),
];

pub(crate) const EXIT_STATUS: &[Entry] = &[
    (
        "0",
        "done; also when ended by SIGINT or SIGTERM, and when whoever read the output has gone away.",
    ),
    (
        "1",
        "failed; one line on standard error says why, and what to do.",
    ),
    ("2", "bad usage."),
];

pub(crate) const ENVIRONMENT: &[Entry] = &[
    ("NO_COLOR", "if set and not empty, nothing is coloured."),
    ("TZ", "the time zone in which times of day are shown."),
];

pub(crate) const FILES: &[Entry] = &[
    (
        "/sys/kernel/btf/vmlinux",
        "where the fields of kernel structures are; without it nothing can be measured.",
    ),
    (
        "/proc/kallsyms",
        "the addresses of two timer functions, for the tracepoint tier.",
    ),
    (
        "/proc/PID/ns/net, /run/netns",
        "the network namespaces of the host and their names.",
    ),
    (
        "/run/systemd/journal/socket",
        "where 'trace --journal' sends its entries.",
    ),
    (
        "tcpstate.service, tcpstate-all-netns.service",
        "systemd units that run 'tcpstate serve' as a user of its own, for the host's own network namespace or for all of them. Neither is enabled by the package; start one of the two.",
    ),
    (
        "/usr/share/doc/tcpstate",
        "the contract of all outputs (output.md), what each metric means (monitoring.md), and in examples/ the kits for Prometheus, Grafana, Zabbix and Kubernetes.",
    ),
];

pub(crate) const SEE_ALSO: &[&str] = &["ss(8), tcp(7), bpf(2), capabilities(7), systemctl(1)"];

const AS_MEASURED: &[&str] = &[
    "Root, or CAP_BPF and CAP_PERFMON; CAP_SYSLOG where functions cannot be traced, CAP_SYS_ADMIN to take up the sockets of other network namespaces that exist already. See tcpstate(1). None with --from.",
];
const NOTHING_MORE: &[&str] = &[];

const COMMANDS: &[Prose] = &[
    Prose {
        name: "trace",
        description: &[
            "Prints a line for every transition of a TCP socket. MS (dwell_ns in CSV and JSON) is the time spent in the state that was left, '-' where its beginning was not seen. PID and COMM are those of the socket's owner: who connected, accepted or uses it, not whatever ran on the CPU.",
            "Once every transition is seen it says 'tcpstate: ready' on standard error; its last line there tells what was lost, if anything was.",
        ],
        privileges: AS_MEASURED,
        exit_status: NOTHING_MORE,
        see_also: &[
            "tcpstate-life(1)",
            "tcpstate-record(1)",
            "systemd.journal-fields(7)",
        ],
    },
    Prose {
        name: "life",
        description: &[
            "Prints a line for every connection when it has ended for good, its TIME_WAIT included: who opened it, who closed it first, how it ended, how long it lived, and with -w or -J how long it was in each state. Whoever closes first has the line a minute later.",
            "A connection that existed before the start has a line too; what was not seen of it is not known.",
        ],
        privileges: AS_MEASURED,
        exit_status: NOTHING_MORE,
        see_also: &["tcpstate-trace(1)", "tcpstate-hist(1)"],
    },
    Prose {
        name: "top",
        description: &[
            "Shows the states of all TCP sockets live in the terminal: how many there are, rates in and out, percentiles of the time spent there, the oldest socket; and for the selected state who has its sockets. '?' explains keys and columns, 'q' ends it.",
        ],
        privileges: AS_MEASURED,
        exit_status: NOTHING_MORE,
        see_also: &["tcpstate-hist(1)", "tcpstate-count(1)"],
    },
    Prose {
        name: "hist",
        description: &[
            "Prints histograms of the time that sockets spent in each state. Stays that have ended are counted; those that last are shown apart, with the processes that hold the sockets.",
        ],
        privileges: AS_MEASURED,
        exit_status: NOTHING_MORE,
        see_also: &["tcpstate-top(1)", "tcpstate-report(1)"],
    },
    Prose {
        name: "record",
        description: &[
            "Writes all transitions into a file in the Arrow IPC stream format, which trace, life, top, hist and report show with --from, and pyarrow, pandas and Polars read as it is. With rotation it uses no more than a given space.",
            "A recording holds addresses, process names and cgroups of the host. Kernel addresses are left out unless they are asked for.",
        ],
        privileges: AS_MEASURED,
        exit_status: NOTHING_MORE,
        see_also: &["tcpstate-trace(1)", "tcpstate-report(1)"],
    },
    Prose {
        name: "report",
        description: &[
            "Measures, or reads a recording, and writes one HTML page: the state diagram with counts, rates and dwell times, distributions, owners and peers, the slowest connections, how connections ended, how far each number can be trusted, and what doctor advises.",
            "The page has everything in it: no script, nothing from the network.",
        ],
        privileges: AS_MEASURED,
        exit_status: NOTHING_MORE,
        see_also: &["tcpstate-record(1)", "tcpstate-doctor(1)"],
    },
    Prose {
        name: "count",
        description: &[
            "Asks the kernel how many sockets are in each state right now, in a fraction of the time that counting the lines of ss(8) takes. With --live it follows every transition instead, and shows rates and how far the kernel's own tables disagree.",
        ],
        privileges: &[
            "None for the own network namespace. -N and --all-netns need CAP_SYS_ADMIN, and CAP_SYS_PTRACE for namespaces of other users' processes; --live needs what tcpstate-trace(1) needs.",
        ],
        exit_status: NOTHING_MORE,
        see_also: &["tcpstate-top(1)", "ss(8)"],
    },
    Prose {
        name: "serve",
        description: &[
            "Serves the measurement over HTTP, as OpenMetrics or Prometheus text: live counts, transitions, dwell histograms, the oldest socket of each state, why connections ended, ephemeral ports, and what was lost. It listens on the loopback device unless told otherwise, knows no password and no TLS, and answers GET only.",
            "The package has two systemd units that run it with little privilege: tcpstate.service for the host's own network namespace, tcpstate-all-netns.service for all.",
        ],
        privileges: AS_MEASURED,
        exit_status: NOTHING_MORE,
        see_also: &["tcpstate-count(1)", "systemd.exec(5)"],
    },
    Prose {
        name: "doctor",
        description: &[
            "Reads settings, counters and sockets, measures for five seconds, and says what is wrong with TCP here, why it matters, what to do and what not to do. A healthy host gives no warning. With --probes it shows what this kernel can measure, probe by probe.",
        ],
        privileges: &[
            "None with --no-measure. The measurement needs root, or the capabilities of tcpstate(1). Without them it judges what it can and says what is missing.",
        ],
        exit_status: &["With --strict, 1 also when there is a warning."],
        see_also: &["tcpstate-report(1)", "tcp(7)"],
    },
];
