//! The systemd journal behind a thread and a bounded queue: transitions as entries with structured fields. A journal
//! that stalls never stalls the measurement; entries that do not get into it are counted.
use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use anyhow::{Context as _, anyhow};
use log::{
    Level, Record,
    kv::{Error, Key, Source, Value, VisitSource},
};
use systemd_journal_logger::JournalLog;

use super::{
    WallClock,
    json::{Address, Rfc3339},
    printable,
};
use crate::{
    privilege,
    tcp::{Reason, Role, Transition, Tuple},
};

/// Entries that wait for a slow journal before others are dropped: about 6 MiB.
const QUEUE: usize = 16 << 10;

/// Transitions on their way to the journal.
pub struct Journal {
    /// `None` after the last one.
    queue: Option<SyncSender<(u64, Transition)>>,
    handed: u64,
    /// Entries that found no room in the queue, or were given up.
    dropped: u64,
    done: Arc<Done>,
    writer: JoinHandle<()>,
}

/// What has become of the entries that the thread took.
#[derive(Debug, Default)]
struct Done {
    sent: AtomicU64,
    refused: AtomicU64,
}

impl Journal {
    /// Starts the thread that writes; times in the entries are of `clock`.
    ///
    /// # Errors
    /// No journal listens, or no thread can be started.
    pub fn connect(clock: WallClock) -> anyhow::Result<Self> {
        let log = JournalLog::empty()
            .map_err(|error| {
                anyhow!("the systemd journal does not listen at /run/systemd/journal/socket: {error}; is systemd-journald running?")
            })?
            .with_syslog_identifier("tcpstate".to_owned());
        let (queue, entries) = sync_channel(QUEUE);
        let done = Arc::new(Done::default());
        let counters = Arc::clone(&done);
        let writer = privilege::spawn("journal", move || write(&log, clock, &entries, &counters))
            .context("starting the journal's thread")?;
        Ok(Self {
            queue: Some(queue),
            handed: 0,
            dropped: 0,
            done,
            writer,
        })
    }

    /// Hands the `seq`th transition of the run to the thread.
    pub fn send(&mut self, seq: u64, transition: &Transition) {
        let Some(queue) = &self.queue else {
            return;
        };
        match queue.try_send((seq, *transition)) {
            Ok(()) => self.handed += 1,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped += 1,
        }
    }

    /// Entries that did not get into the journal.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped + self.done.refused.load(Ordering::Relaxed)
    }

    /// Whether everything is sent. Nothing may be handed over after the first call.
    pub fn finished(&mut self) -> bool {
        self.queue = None; // the thread ends when it has sent what is queued
        self.writer.is_finished()
    }

    /// Gives up on a journal that takes nothing more: what did not get out counts as dropped.
    pub fn abandon(&mut self) {
        let taken =
            self.done.sent.load(Ordering::Relaxed) + self.done.refused.load(Ordering::Relaxed);
        self.dropped += self.handed - taken;
    }
}

/// Sends what comes. An entry that the journal refuses, as while it restarts, is counted; the first one is reported.
fn write(
    log: &JournalLog,
    mut clock: WallClock,
    entries: &Receiver<(u64, Transition)>,
    done: &Done,
) {
    for (seq, transition) in entries {
        match send(log, &mut clock, seq, &transition) {
            Ok(()) => {
                done.sent.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                if done.refused.fetch_add(1, Ordering::Relaxed) == 0 {
                    eprintln!(
                        "tcpstate: the systemd journal refuses an entry: {error}; it counts as lost (writer_slow)"
                    );
                }
            }
        }
    }
}

fn send(
    log: &JournalLog,
    clock: &mut WallClock,
    seq: u64,
    transition: &Transition,
) -> io::Result<()> {
    let fields = Fields(fields(clock, seq, transition));
    let message = message(transition);
    log.journal_send(
        &Record::builder()
            .level(Level::Info) // the journal's NOTICE, as bcc's tcpstates has it
            .target("tcpstate")
            .args(format_args!("{message}"))
            .key_values(&fields)
            .build(),
    )
}

/// What `journalctl` shows in its line, as bcc's tcpstates words it.
fn message(transition: &Transition) -> String {
    let comm = transition
        .owner
        .map_or_else(|| "-".to_owned(), |owner| printable(owner.comm.bytes()));
    let end = |ip: Option<IpAddr>, port: Option<u16>| {
        let ip = ip.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
        let port = port.map_or_else(|| "-".to_owned(), |port| port.to_string());
        format!("{ip} {port}")
    };
    let tuple = transition.tuple;
    format!(
        "{comm} {} → {} {} → {}",
        end(
            tuple.map(|tuple| tuple.laddr),
            tuple.and_then(|tuple| tuple.lport)
        ),
        end(
            tuple.map(|tuple| tuple.raddr),
            tuple.map(|tuple| tuple.rport)
        ),
        transition.from,
        transition.to
    )
}

/// The fields of an entry: bcc's names where it has them. What is not known has no field.
fn fields(clock: &mut WallClock, seq: u64, transition: &Transition) -> Vec<(&'static str, String)> {
    let (second, nanos) = clock.rfc3339(transition.mono_ns);
    let owner = transition.owner;
    let tuple = transition.tuple;
    let [source, destination] = match tuple.map(|tuple| tuple.raddr) {
        Some(IpAddr::V6(_)) => [
            "OBJECT_IPV6_SOURCE_ADDRESS",
            "OBJECT_IPV6_DESTINATION_ADDRESS",
        ],
        Some(IpAddr::V4(_)) | None => [
            "OBJECT_IPV4_SOURCE_ADDRESS",
            "OBJECT_IPV4_DESTINATION_ADDRESS",
        ],
    };
    let of_tuple = |get: fn(Tuple) -> String| tuple.map(get);
    let fields = [
        ("OBJECT_PID", owner.map(|owner| owner.pid.to_string())),
        ("OBJECT_UID", owner.map(|owner| owner.uid.to_string())),
        (
            "OBJECT_COMM",
            owner.map(|owner| printable(owner.comm.bytes())),
        ),
        (source, of_tuple(|tuple| tuple.laddr.to_string())),
        (
            "OBJECT_TCP_SOURCE_PORT",
            tuple
                .and_then(|tuple| tuple.lport)
                .map(|port| port.to_string()),
        ),
        (destination, of_tuple(|tuple| tuple.raddr.to_string())),
        (
            "OBJECT_TCP_DESTINATION_PORT",
            of_tuple(|tuple| tuple.rport.to_string()),
        ),
        ("OBJECT_TCP_OLD_STATE", Some(transition.from.to_string())),
        ("OBJECT_TCP_NEW_STATE", Some(transition.to.to_string())),
        (
            "OBJECT_TCP_SPAN_TIME",
            transition.dwell_ns.map(|dwell| (dwell / 1000).to_string()),
        ),
        (
            "CONTAINER_ID_FULL",
            transition.container.map(|id| id.to_string()),
        ),
        ("TCPSTATE_ID", Some(transition.id.to_string())),
        ("TCPSTATE_SEQ", Some(seq.to_string())),
        ("TCPSTATE_TIME", Some(Rfc3339 { second, nanos }.to_string())),
        ("TCPSTATE_MONO_NS", Some(transition.mono_ns.to_string())),
        (
            "TCPSTATE_SKADDR",
            Some(Address(transition.skaddr).to_string()),
        ),
        ("TCPSTATE_NETNS", Some(transition.netns.to_string())),
        (
            "TCPSTATE_DWELL_NS",
            transition.dwell_ns.map(|dwell| dwell.to_string()),
        ),
        ("TCPSTATE_ESTIMATED", Some(transition.estimated.to_string())),
        (
            "TCPSTATE_REASON",
            transition
                .reason
                .map(|reason| Reason::name(reason).to_owned()),
        ),
        (
            "TCPSTATE_ROLE",
            transition.role.map(|role| Role::name(role).to_owned()),
        ),
        (
            "TCPSTATE_OWNER_SOURCE",
            owner.map(|owner| owner.source.name().to_owned()),
        ),
        (
            "TCPSTATE_CGROUP",
            transition.cgroup.map(|cgroup| cgroup.to_string()),
        ),
    ];
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// Fields as the logger takes them; it writes each in the journal's binary-safe form.
struct Fields(Vec<(&'static str, String)>);

impl Source for Fields {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        self.0.iter().try_for_each(|(name, value)| {
            visitor.visit_pair(Key::from_str(name), Value::from(&**value))
        })
    }
}
