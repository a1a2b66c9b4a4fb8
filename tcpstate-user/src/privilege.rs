//! Privilege: what the process holds once its probes are attached, which is nothing, if the kernel lets it measure so.
//!
//! Capabilities belong to threads, so each thread gives up its own: those that exist before the probes are attached as
//! their first act ([`spawn`]), the first one in [`confine`]; the others are its children. Looking into other network
//! namespaces needs CAP_SYS_ADMIN for as long as it is done. A thread that kept it would be no boundary, so a process of
//! its own has it ([`Helper`]): it opens what can be opened there, and hands it over.
mod filter;
mod helper;
mod message;

use std::{
    io,
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, JoinHandle},
};

use anyhow::Context as _;
use rustix::{
    io::Errno,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
    },
};

pub use self::helper::{Helper, is_helper};

/// What the helper holds: CAP_SYS_ADMIN enters network namespaces, CAP_SYS_PTRACE finds those of other users' tasks.
const HELPER: CapabilitySet = CapabilitySet::SYS_ADMIN.union(CapabilitySet::SYS_PTRACE);

/// Files are yet to be made or replaced in a folder of another user.
static WRITES: AtomicBool = AtomicBool::new(false);

/// Says that files are yet to be made or replaced in `folder`. Where root may do so by CAP_DAC_OVERRIDE alone, as in a
/// user's own folder, it is kept.
pub fn keep_for(folder: &Path) {
    let Ok(before) = capabilities(None) else {
        return;
    };
    if !before.effective.contains(CapabilitySet::DAC_OVERRIDE) {
        return;
    }
    let plain = CapabilitySets {
        effective: CapabilitySet::empty(),
        ..before
    };
    // The kernel alone knows all rules by which it refuses.
    if set_capabilities(None, plain).is_ok() {
        let refused = tempfile::tempfile_in(folder).is_err();
        WRITES.fetch_or(refused, Ordering::Relaxed);
        // What is permitted can be made effective at any time.
        let _ = set_capabilities(None, before);
    }
}

/// A thread without capabilities, but for what the process keeps for its files.
///
/// # Errors
/// It cannot be started.
pub fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Err(error) = hold_only(kept()) {
            log::error!("dropping the capabilities of a thread: {error}");
        }
        work()
    })
}

/// Gives up what the measurement does not need any more, for ever. Starts the helper first, where it can be of use. Where
/// the measurement does not go on without CAP_BPF, as `measures` tells, that is kept: kernels before 5.19 ask for it at
/// every call of bpf(2).
///
/// # Errors
/// The kernel refuses.
pub fn confine(measures: impl FnOnce() -> bool) -> anyhow::Result<()> {
    let held = capabilities(None).context("reading the capabilities of this process")?;
    if held.effective.contains(CapabilitySet::SYS_ADMIN) {
        Helper::start().context("starting the helper that looks into other network namespaces")?;
    }
    give_up(held, measures).context("dropping capabilities")?;
    filter::apply(&filter::MEASURE);
    Ok(())
}

fn give_up(held: CapabilitySets, measures: impl FnOnce() -> bool) -> io::Result<()> {
    if held.effective.contains(CapabilitySet::SETPCAP) {
        empty_bounding_set()?;
    }
    let mut keep = kept();
    set_capabilities(
        None,
        CapabilitySets {
            effective: keep & held.permitted,
            ..held
        },
    )?;
    if !measures() {
        keep |= CapabilitySet::BPF;
    }
    hold_only(keep)
}

/// What is kept for files.
fn kept() -> CapabilitySet {
    if WRITES.load(Ordering::Relaxed) {
        CapabilitySet::DAC_OVERRIDE
    } else {
        CapabilitySet::empty()
    }
}

/// Drops what the calling thread holds beyond `keep`; it cannot gain anything again.
fn hold_only(keep: CapabilitySet) -> io::Result<()> {
    let held = capabilities(None)?;
    if held.effective.contains(CapabilitySet::SETPCAP) {
        empty_bounding_set()?;
    }
    let keep = keep & held.permitted;
    clear_ambient_capability_set()?;
    set_capabilities(
        None,
        CapabilitySets {
            effective: keep,
            permitted: keep,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(set_no_new_privs(true)?)
}

/// No program that this thread could start would get any.
fn empty_bounding_set() -> io::Result<()> {
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            Ok(()) | Err(Errno::INVAL) => {} // an older kernel does not know it
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The helper's whole life.
#[must_use]
pub fn help() -> ExitCode {
    match helper::serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tcpstate: looking into other network namespaces: {error:#}");
            ExitCode::FAILURE
        }
    }
}
