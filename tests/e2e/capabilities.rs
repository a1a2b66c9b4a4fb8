//! Privilege: none is left once the tool measures, another process that holds what it takes looks into other namespaces,
//! and an ordinary user with two capabilities measures as truly as root.
use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    fs,
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::PathBuf,
    process::Command,
};

use nix::{
    sys::{
        resource::{RLIM_INFINITY, Resource, setrlimit},
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use rustix::{
    fs::{XattrFlags, setxattr},
    thread::{
        CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities,
        configure_capability_in_ambient_set, set_capabilities, set_capabilities_secure_bits,
    },
};
use tcpstate_tests::{
    Namespace, Served, Tool, bpf,
    live::Live,
    poll_until, sockets,
    task::{self, Task, set},
    tool::{NOBODY, PublicCopy},
    traffic::{self, V4},
};

const PORT: u16 = 27_000;

/// No task of the tool holds anything beyond `documented`. Root's may not even get others by starting a program.
fn assert_held(pid: u32, documented: u64) {
    for task in Task::all(pid) {
        task.assert_confined(documented);
        if task.field("Uid:").starts_with('0') {
            assert_eq!(task.set("CapBnd:"), 0, "{task:#?}");
        }
    }
}

fn helper_of(pid: u32) -> u32 {
    task::helper(pid).expect("a helper, as root may look into other namespaces")
}

fn assert_gone(helper: u32) {
    poll_until("the end of the helper", || {
        (!task::lives(helper))
            .then_some(())
            .ok_or(format!("{helper} lives"))
    });
}

/// The tool holds nothing, and its helper at most what it takes to look into other namespaces; returns the helper.
fn assert_confined(pid: u32) -> u32 {
    assert_held(pid, task::measuring());
    let helper = helper_of(pid);
    for task in Task::all(helper) {
        task.assert_confined(set::LOOK);
    }
    helper
}

#[test]
fn nothing_is_left_but_the_helpers() {
    let before = bpf::Objects::loaded();
    for command in ["trace", "life", "hist"] {
        let tool = Tool::start(&[command]);
        let helper = assert_confined(tool.pid());
        tool.stop().assert_summary();
        assert_gone(helper);
    }
    let served = Served::start(&["--bpf-stats"]);
    // With a scrape, which has the server look for overflows on one more thread.
    let samples = served.scrape();
    assert!(samples.has("tcpstate_bpf_runs_total"), "{samples:#?}");
    let helper = assert_confined(served.pid());
    served.stop().assert_summary();
    assert_gone(helper);
    bpf::assert_nothing_stays(&before);
}

/// Sockets that were there before are found in another namespace, and found again whenever counts are compared.
#[test]
fn other_namespaces_are_walked_without_privilege() {
    let ns = Namespace::new();
    let listener = ns.run(|| TcpListener::bind((V4, PORT)).expect("listening"));
    let pair = ns.run(|| traffic::connect(&listener));
    let live = Live::start(&PORT.to_string(), "1s");
    assert_held(live.pid(), task::measuring());
    let truth = || ns.run(|| sockets::by_state_at(PORT..=PORT));
    assert_eq!(live.now().counts, truth());
    let helper = helper_of(live.pid());
    // A terminal sends it to both, a service manager too; who measures needs the helper to the end.
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signal_to(helper, signal);
    }
    drop(pair);
    let moment = live.wait_for("a comparison", |moment| moment.drift.is_some());
    moment.assert_no_drift();
    assert_eq!(live.now().counts, truth());
    assert!(task::lives(helper));
    let _ = live.stop();
    assert_gone(helper);
}

fn signal_to(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("process ids are small"));
    kill(pid, signal).expect("it lives");
}

#[test]
fn the_helper_does_not_outlive_the_tool() {
    let before = bpf::Objects::loaded();
    let tool = Tool::trace(&[]);
    let helper = helper_of(tool.pid());
    tool.signal(Signal::SIGKILL);
    let _ = tool.finish();
    assert_gone(helper);
    bpf::assert_nothing_stays(&before);
}

/// The own namespace is measured all the same, and what is missing is said.
#[test]
fn the_tool_outlives_its_helper() {
    let served = Served::start(&["--reconcile", "1s"]);
    let helper = helper_of(served.pid());
    signal_to(helper, Signal::SIGKILL);
    assert_gone(helper);
    poll_until("a comparison", || {
        let there = served.scrape().has("tcpstate_count_drift");
        there.then_some(()).ok_or("none yet".to_owned())
    });
    served.stop().assert_summary();
}

/// An ordinary user with these capabilities, as systemd's `AmbientCapabilities=` makes one.
fn ambient(mut command: Command, wanted: u64) -> Command {
    command.uid(NOBODY).gid(NOBODY);
    // Of this thread, which the child inherits; it ends with the namespace's work.
    set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP).expect("securebits");
    let wanted = CapabilitySet::from_bits_retain(wanted);
    let held = capabilities(None).expect("own capabilities");
    let inheriting = CapabilitySets {
        inheritable: wanted,
        ..held
    };
    set_capabilities(None, inheriting).expect("inheritable capabilities");
    for capability in wanted.iter() {
        configure_capability_in_ambient_set(capability, true).expect("an ambient capability");
    }
    // The bounding set stays: it is root's.
    command
}

/// What `setcap` writes: a version 2 `struct vfs_cap_data`, effective.
fn set_file_capabilities(copy: &PublicCopy, wanted: u64) {
    let halves = [wanted as u32, (wanted >> 32) as u32];
    let words = [0x0200_0001, halves[0], 0, halves[1], 0];
    let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    setxattr(
        copy.path(),
        "security.capability",
        &bytes,
        XattrFlags::empty(),
    )
    .expect("a file system with capabilities");
}

/// As the unit for the own namespace does: what happens in others is not known without looking into them.
const OWN: [&str; 5] = ["trace", "--json", "--summary", "-N", "/proc/self/ns/net"];

/// Connections of the namespace as the tool shows them; nothing is lost, and nobody helps.
fn assert_measures(ns: &Namespace, tool: Tool) {
    tool.await_ready();
    assert_held(tool.pid(), task::measuring());
    assert_eq!(task::helper(tool.pid()), None);
    let listener = ns.run(|| traffic::listen(V4));
    ns.run(|| traffic::connect(&listener)).close_client_first();
    tool.wait_for_edge(ns.inode(), "LAST_ACK->CLOSE");
    let run = tool.stop();
    run.assert_summary();
    run.summary().assert_nothing_lost();
}

/// Kernels before 5.11 charge BPF maps to this limit, which an ordinary user cannot raise: whoever starts the tool does, as
/// the units do. Later ones do not care, and where it may not be raised it need not be.
fn raise_memory_limit() {
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
}

#[test]
fn an_ordinary_user_with_ambient_capabilities() {
    raise_memory_limit();
    let copy = PublicCopy::new();
    for capabilities in [set::LOAD, set::MEASURE] {
        let ns = Namespace::new();
        let tool = ns.run(|| {
            let command = copy.command(&OWN);
            Tool::launch(ambient(command, capabilities))
        });
        assert_measures(&ns, tool);
    }
}

#[test]
fn an_ordinary_user_with_capabilities_of_the_file() {
    raise_memory_limit();
    let copy = PublicCopy::new();
    set_file_capabilities(&copy, set::MEASURE);
    let ns = Namespace::new();
    let tool = ns.run(|| Tool::launch(copy.command_for_nobody(&OWN)));
    assert_measures(&ns, tool);
}

/// Both ways with what looks into other namespaces, too: a socket that was there before is found in another one.
#[test]
fn an_ordinary_user_who_may_look_into_other_namespaces() {
    raise_memory_limit();
    let copy = PublicCopy::new();
    let all = set::MEASURE | set::LOOK;
    let elsewhere = Namespace::new();
    let listener = elsewhere.run(|| TcpListener::bind((V4, PORT)).expect("listening"));
    let ns = Namespace::new();
    let assert_found = |command: &(dyn Fn() -> Command + Sync)| {
        let live =
            ns.run(|| Live::launch(command(), &["--reconcile", "1s", "-L", &PORT.to_string()]));
        assert_confined(live.pid());
        let moment = live.wait_for("a comparison", |moment| moment.drift.is_some());
        assert_eq!(moment.counts["LISTEN"], 1, "{moment:#?}");
        let _ = live.stop();
    };
    assert_found(&|| ambient(copy.command(&[]), all));
    set_file_capabilities(&copy, all);
    assert_found(&|| copy.command_for_nobody(&[]));
    drop(listener);
}

/// A folder that goes with this value.
struct Folder(PathBuf);

impl Folder {
    /// Of `owner` alone.
    fn of(owner: u32) -> Self {
        let name = format!("tcpstate-capabilities-{}-{owner}", std::process::id());
        let folder = Self(env::temp_dir().join(name));
        fs::create_dir(&folder.0).expect("making a folder");
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o700)).expect("closing it");
        chown(&folder.0, Some(owner), Some(owner)).expect("giving it away");
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a plain path").to_owned()
    }

    fn files(&self) -> BTreeSet<OsString> {
        let files = fs::read_dir(&self.0).expect("its files").flatten();
        files.map(|file| file.file_name()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `sudo tcpstate …` in a user's folder: files that are made late can still be made, by the one capability for that.
#[test]
fn files_in_the_folder_of_another_user() {
    for (owner, kept) in [(0, 0), (NOBODY, set::DAC_OVERRIDE)] {
        let folder = Folder::of(owner);
        let kept = task::measuring() | kept;
        let rotated = folder.path("rotated.arrows");
        let tool = Tool::start(&["record", &rotated, "--rotate-every", "1s", "--keep", "2"]);
        assert_held(tool.pid(), kept);
        let first = folder.files();
        poll_until("the removal of the first file", || {
            let files = folder.files();
            let removed = first.is_disjoint(&files);
            removed.then_some(()).ok_or(format!("{first:?} {files:?}"))
        });
        tool.stop().assert_summary();

        let before = folder.files().len();
        let tool = Tool::start(&["report", "-o", &folder.path("tcp.html")]);
        assert_held(tool.pid(), kept);
        tool.stop().assert_status(0);
        assert_eq!(folder.files().len(), before + 1);

        // What is open already needs nothing.
        let tool = Tool::start(&["record", &folder.path("whole.arrows")]);
        assert_held(tool.pid(), task::measuring());
        tool.stop().assert_summary();
    }
}
