//! Cgroups and containers: which one a socket belongs to, and filters by them.
use std::process;

use tcpstate_tests::{
    History, Namespace, Other, Tool,
    cgroup::{self, Cgroup},
    history::find_ports,
    mounts, other, poll_until, sockets, tool,
    traffic::{self, V4},
};

const CONTAINER: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// No test: what the other processes run.
#[test]
#[ignore = "the other processes of these tests run it"]
fn other_process() {
    other::run();
}

/// A cgroup whose name no other run has.
fn fresh(name: &str) -> Cgroup {
    Cgroup::new(&format!("tcpstate-e2e-{}-{name}", process::id()))
}

/// A connection between a client in `client` and a server in `server`, closed; returns the ports of both.
fn converse(ns: &Namespace, client: &Cgroup, server: &Cgroup) -> (u16, u16) {
    let (mut serving, mut connecting) = (Other::start(ns, "server"), Other::start(ns, "client"));
    serving.join(server.folder());
    connecting.join(client.folder());
    let (listener, address) = serving.listen(V4);
    let (client_end, from) = connecting.connect(address);
    let server_end = serving.accept(listener);
    connecting.close(client_end);
    serving.read(server_end);
    serving.close(server_end);
    // The last acknowledgment may be on its way; a measurement that ends or begins now would be in the middle of it.
    poll_until("the end of the connection", || {
        let closing = ns.run(sockets::by_state)["LAST_ACK"];
        (closing == 0).then_some(()).ok_or(format!("{closing}"))
    });
    (from.port(), address.port())
}

/// The lives that `trace` with `options` shows of [`converse`].
fn shown(
    ns: &Namespace,
    options: &[&str],
    client: &Cgroup,
    server: &Cgroup,
) -> ((u16, u16), Vec<History>) {
    let inode = ns.inode().to_string();
    let tool = Tool::trace(&[&["-N", &inode], options].concat());
    let ports = converse(ns, client, server);
    let run = tool.stop();
    run.summary().assert_nothing_lost();
    (ports, run.histories_in(ns))
}

#[test]
fn every_socket_tells_its_cgroup_and_its_container() {
    let ns = Namespace::new();
    let (plain, pod) = (fresh("plain"), fresh("pod"));
    let container = pod.child(&format!("docker-{CONTAINER}.scope"));
    let ((local, remote), lives) = shown(&ns, &[], &plain, &container);
    for (life, id, container) in [
        (find_ports(&lives, local, remote), plain.id(), None),
        (
            find_ports(&lives, remote, local),
            container.id(),
            Some(CONTAINER),
        ),
        (
            find_ports(&lives, remote, 0),
            container.id(),
            Some(CONTAINER),
        ),
    ] {
        for line in &life.lines {
            assert_eq!(line.cgroup, Some(id), "{line:#?}");
            assert_eq!(line.container.as_deref(), container, "{line:#?}");
        }
    }
}

#[test]
fn a_filter_takes_the_subtree_and_nothing_else() {
    let ns = Namespace::new();
    let (client, server) = (fresh("client"), fresh("server"));
    let below = server.child("below");
    let ids = [server.id().to_string(), below.id().to_string()];
    for (options, of_server) in [
        (&["--cgroup", server.path()][..], true),
        (&["--cgroup", below.path()], true),
        (&["--cgroup", &server.folder().display().to_string()], true),
        (&["--cgroup", &ids[1]], true),
        (&["--cgroup", &ids[0]], false), // an id means one cgroup
    ] {
        let ((local, remote), lives) = shown(&ns, options, &client, &below);
        if of_server {
            // The listener and what it accepted.
            assert_eq!(lives.len(), 2, "{options:?}: {lives:#?}");
            find_ports(&lives, remote, local).assert_edges(&[
                "LISTEN->SYN_RECV",
                "SYN_RECV->ESTABLISHED",
                "ESTABLISHED->CLOSE_WAIT",
                "CLOSE_WAIT->LAST_ACK",
                "LAST_ACK->CLOSE",
            ]);
        } else {
            assert!(lives.is_empty(), "{options:?}: {lives:#?}");
        }
    }
}

/// Many at once, each used as soon as it is there: none is overlooked.
#[test]
fn cgroups_that_are_made_while_the_tool_runs() {
    let ns = Namespace::new();
    let (elsewhere, wanted) = (fresh("elsewhere"), fresh("wanted"));
    let inode = ns.inode().to_string();
    let tool = Tool::trace(&["-N", &inode, "--cgroup", wanted.path()]);
    let made: Vec<_> = (0..15)
        .map(|number| {
            let new = wanted.child(&number.to_string());
            (converse(&ns, &elsewhere, &new), new)
        })
        .collect();
    let run = tool.stop();
    run.summary().assert_nothing_lost();
    let lives = run.histories_in(&ns);
    assert_eq!(lives.len(), 2 * made.len(), "{lives:#?}");
    for ((local, remote), new) in &made {
        for line in &find_ports(&lives, *remote, *local).lines {
            assert_eq!(line.cgroup, Some(new.id()), "{line:#?}");
        }
    }
}

/// As on a host that has only hierarchies of version 1: everything is measured, and no cgroup is taken for another.
#[test]
fn without_a_hierarchy_of_version_2() {
    let ns = Namespace::new();
    let inode = ns.inode().to_string();
    mounts::privately(|| {
        cgroup::hide();
        let run = tool::run(tool::command(&["trace", "--cgroup", "/anything"]));
        run.assert_status(2);
        let message = run.stderr.join("\n");
        assert!(
            message.contains("no cgroup hierarchy of version 2 is mounted"),
            "{message}"
        );
        let tool = Tool::trace(&["-N", &inode]);
        let listener = ns.run(|| traffic::listen(V4));
        let port = traffic::address(&listener).port();
        ns.run(|| traffic::connect(&listener)).reset_by_client();
        let run = tool.stop();
        run.summary().assert_nothing_lost();
        let lives = run.histories_in(&ns);
        let server = lives.iter().find(|life| life.last().lport == Some(port));
        let client = lives.iter().find(|life| life.last().rport == Some(port));
        for life in [server, client] {
            let life = life.expect("both ends");
            assert!(
                life.lines.iter().all(|line| line.container.is_none()),
                "{life:#?}"
            );
        }
    });
}
