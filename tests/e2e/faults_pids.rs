//! A process id that is used again: what the first process did stays its own, also what ends after it.
use tcpstate_tests::{Namespace, Other, Tool, history::find_ports, host, other, traffic::V4};

/// Seconds that an orphan stays in `FIN_WAIT2`: time enough for another process.
const ORPHAN: &str = "5";

/// No test: what the other processes run.
#[test]
#[ignore = "the other processes of these tests run it"]
fn other_process() {
    other::run();
}

#[test]
fn a_process_id_that_is_used_again() {
    let ns = Namespace::new();
    ns.run(|| host::set("tcp_fin_timeout", ORPHAN));
    let tool = Tool::trace(&["-N", &ns.inode().to_string()]);
    let mut server = Other::start(&ns, "server");
    let (listener, address) = server.listen(V4);

    let mut first = Other::start(&ns, "first");
    let pid = first.pid();
    let (_, before) = first.connect(address);
    let _unclosed = server.accept(listener);
    first.exit(); // its end waits for one that does not come
    tool.wait_for_edge(ns.inode(), "FIN_WAIT1->FIN_WAIT2");

    let mut second = Other::start_as(&ns, "second", pid);
    let (end, after) = second.connect(address);
    let accepted = server.accept(listener);
    second.close(end);
    server.read(accepted);
    server.close(accepted);
    tool.wait_for_edge(ns.inode(), "FIN_WAIT2->CLOSE");

    let run = tool.stop();
    run.summary().assert_nothing_lost();
    let lives = run.histories_in(&ns);
    for (from, name) in [(before, "first"), (after, "second")] {
        let life = find_ports(&lives, from.port(), address.port());
        for line in &life.lines {
            let owner = (line.pid, line.comm.as_deref());
            assert_eq!(owner, (Some(pid), Some(name)), "{life:#?}");
        }
    }
    let orphan = find_ports(&lives, before.port(), address.port());
    let reused = find_ports(&lives, after.port(), address.port());
    assert_eq!(orphan.last().edge(), "FIN_WAIT2->CLOSE");
    assert!(
        reused.lines[0].mono_ns < orphan.last().mono_ns,
        "the second came too late: {orphan:#?}"
    );
}
