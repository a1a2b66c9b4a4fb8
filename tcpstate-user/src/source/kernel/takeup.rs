//! Taking up the sockets that exist: an iterator walk in every network namespace that has a task or a name.
use std::io::Read as _;

use anyhow::Context as _;
use aya::programs::Iter;
use tcpstate_ebpf::FullRecord;

use crate::{
    clock,
    decode::decode,
    fact::Fact,
    netns::{self, Netns},
};

/// What taking up found.
#[derive(Clone, Debug, Default)]
pub struct TakenUp {
    /// Sockets met.
    pub sockets: usize,
    /// Namespaces walked.
    pub namespaces: usize,
    /// Namespaces that could not be walked: sockets there are unknown until their next transition.
    pub skipped: usize,
    /// Why the first of them could not.
    pub why: Option<String>,
    /// When the walk ended, monotonic, ns.
    pub end_ns: u64,
}

/// Walks every namespace. One that cannot be entered is reported, not fatal.
pub(super) fn walk_all(program: &mut Iter) -> (Vec<Fact>, TakenUp) {
    let found = netns::all();
    let mut report = TakenUp {
        skipped: found.unseen,
        why: found.unseen_why.clone(),
        ..TakenUp::default()
    };
    let mut facts = Vec::new();
    for namespace in &found.namespaces {
        match walk(program, namespace, &mut facts) {
            Ok(()) => report.namespaces += 1,
            Err(error) => {
                log::info!("namespace {}: {error:#}", namespace.inode);
                report.skipped += 1;
                report.why.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
    report.sockets = facts.len();
    report.end_ns = clock::monotonic_ns();
    (facts, report)
}

fn walk(program: &mut Iter, namespace: &Netns, facts: &mut Vec<Fact>) -> anyhow::Result<()> {
    let link = program.attach().context("attaching the socket iterator")?;
    let link = program
        .take_link(link)
        .context("taking the iterator's link")?;
    let bytes = netns::within(namespace, || -> anyhow::Result<Vec<u8>> {
        // The iterator belongs to the namespace of the task that opens it.
        let mut file = link.into_file().context("opening the socket iterator")?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .context("walking the sockets")?;
        Ok(bytes)
    })??;
    for record in bytes.chunks_exact(size_of::<FullRecord>()) {
        facts.push(decode(record).context("reading the socket iterator")?);
    }
    Ok(())
}
