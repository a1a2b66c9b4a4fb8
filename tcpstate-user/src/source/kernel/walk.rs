//! Walks over the kernel's socket tables: an iterator in every network namespace that has a task or a name.
use std::{
    fs::File,
    io::Read as _,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use anyhow::Context as _;
use hashbrown::HashSet;
use tcpstate_ebpf::FullRecord;

use super::iterator::iterate;
use crate::{
    clock,
    decode::decode,
    fact::Fact,
    netns::{self, Found, Netns},
};

/// What a walk found.
#[derive(Clone, Debug, Default)]
pub struct Walked {
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

/// The iterators, attached.
pub(super) struct Links {
    /// Over the sockets of a network namespace.
    pub(super) sockets: OwnedFd,
    /// Over the open files of every process, which tells who holds the sockets; where owners are wanted.
    pub(super) files: Option<OwnedFd>,
}

/// A walk that is prepared: no iterator has run.
pub struct Walk {
    links: Arc<Links>,
    namespaces: Vec<Netns>,
    report: Walked,
}

impl Walk {
    /// Prepares a walk of the namespaces that were found; it begins now.
    pub(super) fn prepare(links: Arc<Links>, found: Found) -> Self {
        Self {
            links,
            namespaces: found.namespaces,
            report: Walked {
                skipped: found.unseen,
                why: found.unseen_why,
                start_ns: clock::monotonic_ns(),
                ..Walked::default()
            },
        }
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
            links,
            namespaces,
            mut report,
        } = self;
        let mut facts = Vec::new();
        for namespace in namespaces {
            let opened = netns::iterate(&namespace, links.sockets.as_fd());
            let opened = opened.context("opening an iterator");
            match opened.and_then(|file| read(file, tick_ns, &mut facts)) {
                Ok(()) => drop(report.namespaces.insert(namespace.inode)),
                Err(error) => {
                    log::info!("{namespace}: {error:#}");
                    report.skipped += 1;
                    report.why.get_or_insert_with(|| format!("{error:#}"));
                }
            }
        }
        let files = links.files.as_ref().map(|link| {
            let opened = iterate(link.as_fd()).context("opening an iterator");
            opened.and_then(|file| read(file.into(), tick_ns, &mut facts))
        });
        if let Some(Err(error)) = files {
            log::info!("open files: {error:#}");
            report.skipped += 1;
            report.why.get_or_insert_with(|| format!("{error:#}"));
        }
        report.end_ns = clock::monotonic_ns();
        (facts, report)
    }
}

fn read(mut file: File, tick_ns: u32, facts: &mut Vec<Fact>) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .context("reading an iterator")?;
    for record in bytes.chunks_exact(size_of::<FullRecord>()) {
        facts.push(decode(record, tick_ns).context("reading an iterator")?);
    }
    Ok(())
}
