//! Walks over the kernel's socket tables: an iterator in every network namespace that has a task or a name.
use std::io::Read as _;

use anyhow::Context as _;
use aya::programs::{Iter, iter::IterLink};
use hashbrown::HashSet;
use tcpstate_ebpf::FullRecord;

use crate::{
    clock,
    decode::decode,
    fact::Fact,
    netns::{self, Found, Netns},
};

/// What a walk found.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    /// Sockets met.
    pub sockets: usize,
    /// Inodes of the namespaces walked.
    pub namespaces: HashSet<u32>,
    /// Namespaces, and tasks whose namespace cannot be seen, that were not walked: sockets there are unknown until
    /// their next transition.
    pub skipped: usize,
    /// Why the first of them was not.
    pub why: Option<String>,
    /// When it began, monotonic, ns.
    pub start_ns: u64,
    /// When it ended, monotonic, ns.
    pub end_ns: u64,
}

/// A walk that is prepared: the iterators are attached, none has run.
pub struct Walk {
    visits: Vec<(Netns, anyhow::Result<IterLink>)>,
    /// The walk over the open files, where owners are wanted.
    files: Option<anyhow::Result<IterLink>>,
    report: Walked,
}

impl Walk {
    /// Prepares a walk of the namespaces that were found; it begins now.
    pub(super) fn prepare(program: &mut Iter, found: Found) -> Self {
        let report = Walked {
            skipped: found.unseen,
            why: found.unseen_why,
            start_ns: clock::monotonic_ns(),
            ..Walked::default()
        };
        let visits = found
            .namespaces
            .into_iter()
            .map(|namespace| (namespace, attach(program)))
            .collect();
        Self {
            visits,
            files: None,
            report,
        }
    }

    /// Adds a walk over the open files of every process, which tells who holds the sockets.
    pub(super) fn prepare_files(&mut self, program: &mut Iter) {
        self.files = Some(attach(program));
    }

    /// When it began, monotonic, ns.
    pub(super) fn start_ns(&self) -> u64 {
        self.report.start_ns
    }

    /// Walks. Blocks for about a millisecond for every 3,000 sockets. A namespace that cannot be entered is reported,
    /// not fatal.
    #[must_use]
    pub fn run(self, tick_ns: u32) -> (Vec<Fact>, Walked) {
        let Self {
            visits,
            files,
            mut report,
        } = self;
        let mut facts = Vec::new();
        for (namespace, link) in visits {
            match link.and_then(|link| visit(&namespace, link, tick_ns, &mut facts)) {
                Ok(()) => drop(report.namespaces.insert(namespace.inode)),
                Err(error) => {
                    log::info!("{namespace}: {error:#}");
                    report.skipped += 1;
                    report.why.get_or_insert_with(|| format!("{error:#}"));
                }
            }
        }
        report.sockets = facts.len();
        if let Some(Err(error)) =
            files.map(|link| link.and_then(|link| read(link, tick_ns, &mut facts)))
        {
            log::info!("open files: {error:#}");
            report.skipped += 1;
            report.why.get_or_insert_with(|| format!("{error:#}"));
        }
        report.end_ns = clock::monotonic_ns();
        (facts, report)
    }
}

fn attach(program: &mut Iter) -> anyhow::Result<IterLink> {
    let link = program.attach().context("attaching an iterator")?;
    program
        .take_link(link)
        .context("taking the iterator's link")
}

fn visit(
    namespace: &Netns,
    link: IterLink,
    tick_ns: u32,
    facts: &mut Vec<Fact>,
) -> anyhow::Result<()> {
    // The iterator belongs to the namespace of the task that opens it.
    netns::within(namespace, || read(link, tick_ns, facts))?
}

fn read(link: IterLink, tick_ns: u32, facts: &mut Vec<Fact>) -> anyhow::Result<()> {
    let mut file = link.into_file().context("opening an iterator")?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .context("reading an iterator")?;
    for record in bytes.chunks_exact(size_of::<FullRecord>()) {
        facts.push(decode(record, tick_ns).context("reading an iterator")?);
    }
    Ok(())
}
