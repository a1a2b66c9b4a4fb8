//! Owners: every socket belongs to the process that connected, accepted or holds it, never to whoever was on the CPU.
use tcpstate_tests::{
    History, Line, Namespace, Other, Sight, Tool,
    history::find_ports,
    other::{self, Socket},
    poll_until,
    traffic::V4,
};

/// Nobody, as far as this matters.
const USER: u32 = 65_534;

/// No test: what the other processes run.
#[test]
#[ignore = "the other processes of these tests run it"]
fn other_process() {
    other::run();
}

/// `trace` of one namespace: what else happens on the machine is none of these tests' business.
fn trace(ns: &Namespace, more: &[&str]) -> Tool {
    Tool::trace(&[&["-N", &ns.inode().to_string()], more].concat())
}

/// A connection of two processes, by its ports.
#[derive(Clone, Copy)]
struct Ports {
    client: u16,
    server: u16,
}

/// The line of this edge at one end; `tool` prints it now or has printed it.
fn wait_for(tool: &Tool, local: u16, remote: u16, edge: &str) -> Line {
    let mut found = None;
    tool.wait_for(edge, |text| {
        let line = Line::read(text);
        let wanted = (line.lport, line.rport) == (Some(local), Some(remote)) && line.edge() == edge;
        found = Some(line);
        wanted
    });
    found.expect("a line was found")
}

fn assert_owner(line: &Line, owner: &Other, source: &str) {
    let shown = (line.pid, line.comm.as_deref(), line.owner_source.as_deref());
    assert_eq!(
        shown,
        (Some(owner.pid()), Some(owner.name()), Some(source)),
        "{line:#?}"
    );
}

/// What the lines up to `ESTABLISHED` show, and those after it.
fn halves(life: &History) -> (&[Line], &[Line]) {
    let middle = life
        .lines
        .iter()
        .position(|line| line.from == "ESTABLISHED");
    life.lines.split_at(middle.expect("it was established"))
}

/// A client connects, the server's `acceptor` accepts and reads, and both close.
fn converse(
    tool: &Tool,
    client: &mut Other,
    acceptor: &mut Other,
    listener: Socket,
    to: std::net::SocketAddr,
) -> Ports {
    let (client_end, from) = client.connect(to);
    let server_end = acceptor.accept(listener);
    client.write(client_end);
    acceptor.read(server_end);
    client.close(client_end);
    acceptor.read(server_end);
    acceptor.close(server_end);
    let ports = Ports {
        client: from.port(),
        server: to.port(),
    };
    wait_for(tool, ports.server, ports.client, "LAST_ACK->CLOSE");
    ports
}

/// The client's lines are the client's; the server's are `acceptor`'s, after a hint at `listener`.
fn assert_owners(
    lives: &[History],
    ports: Ports,
    client: &Other,
    listener: &Other,
    acceptor: &Other,
) {
    for line in &find_ports(lives, ports.client, ports.server).lines {
        assert_owner(line, client, "connect");
    }
    let (opening, rest) = halves(find_ports(lives, ports.server, ports.client));
    assert_eq!(opening.len(), 2, "{opening:#?}");
    for line in opening {
        assert_owner(line, listener, "listen");
    }
    assert_eq!(rest.len(), 3, "{rest:#?}");
    for line in rest {
        assert_owner(line, acceptor, "accept");
    }
}

#[test]
fn a_client_and_a_server_in_one_process_each() {
    let ns = Namespace::new();
    let tool = trace(&ns, &[]);
    let mut server = Other::start(&ns, "server");
    let mut client = Other::start(&ns, "client");
    client.become_user(USER);
    let (listener, address) = server.listen(V4);
    let ports = converse(&tool, &mut client, &mut server, listener, address);
    server.close(listener);
    wait_for(&tool, address.port(), 0, "LISTEN->CLOSE");
    let run = tool.stop();
    run.summary().assert_nothing_lost();
    let lives = run.histories_in(&ns);
    assert_owners(&lives, ports, &client, &server, &server);
    for line in &find_ports(&lives, address.port(), 0).lines {
        assert_owner(line, &server, "listen");
        assert_eq!(line.uid, Some(0), "{line:#?}");
    }
    for line in &find_ports(&lives, ports.client, ports.server).lines {
        assert_eq!(line.uid, Some(USER), "{line:#?}");
    }
}

#[test]
fn a_server_that_accepts_in_its_child() {
    let ns = Namespace::new();
    let tool = trace(&ns, &[]);
    let mut parent = Other::start(&ns, "parent");
    let mut client = Other::start(&ns, "client");
    let (listener, address) = parent.listen(V4);
    let mut child = parent.fork("child", listener);
    let inherited = child.inherited();
    let ports = converse(&tool, &mut client, &mut child, inherited, address);
    let run = tool.stop();
    run.summary().assert_nothing_lost();
    assert_owners(&run.histories_in(&ns), ports, &client, &parent, &child);
}

#[test]
fn children_that_share_a_listener() {
    let ns = Namespace::new();
    let tool = trace(&ns, &[]);
    let mut parent = Other::start(&ns, "parent");
    let mut client = Other::start(&ns, "client");
    let (listener, address) = parent.listen(V4);
    let mut children = ["child-1", "child-2", "child-3"].map(|name| parent.fork(name, listener));
    let ports: Vec<Ports> = [0, 1, 2, 1, 0]
        .into_iter()
        .map(|turn| {
            let child = &mut children[turn];
            let inherited = child.inherited();
            converse(&tool, &mut client, child, inherited, address)
        })
        .collect();
    let run = tool.stop();
    run.summary().assert_nothing_lost();
    let lives = run.histories_in(&ns);
    for (turn, ports) in [0, 1, 2, 1, 0].into_iter().zip(ports) {
        assert_owners(&lives, ports, &client, &parent, &children[turn]);
    }
}

#[test]
fn a_server_with_threads() {
    let ns = Namespace::new();
    let tool = trace(&ns, &[]);
    let mut server = Other::start(&ns, "server");
    let mut client = Other::start(&ns, "client");
    let (listener, address) = server.listen(V4);
    server.serve(listener, 4);
    client.load(40, V4, &[address]);
    client.loaded();
    // The threads have all closed when this comes.
    let mut closed = 0;
    tool.wait_for("40 ends", |text| {
        closed += u32::from(Line::read(text).edge() == "LAST_ACK->CLOSE");
        closed == 40
    });
    let run = tool.stop();
    run.summary().assert_nothing_lost();
    let lives = run.histories_in(&ns);
    let servers = lives
        .iter()
        .filter(|life| life.lines[0].role.as_deref() == Some("server"));
    assert_eq!(servers.clone().count(), 40);
    for life in servers {
        let [half_open, established, rest @ ..] = &life.lines[..] else {
            panic!("it was established: {life:#?}")
        };
        assert_owner(half_open, &server, "listen");
        // A thread that waits in `accept` may be quicker than the segment that brings the connection there.
        let source = established.owner_source.as_deref();
        let early = source == Some("accept");
        assert_owner(
            established,
            &server,
            if early { "accept" } else { "listen" },
        );
        rest.iter()
            .for_each(|line| assert_owner(line, &server, "accept"));
    }
}

/// The one that receives it is its owner as soon as it reads from it; where that is not seen, when it closes it.
#[test]
fn a_socket_that_is_passed_on() {
    let ns = Namespace::new();
    let tool = trace(&ns, &[]);
    let mut server = Other::start(&ns, "server");
    let mut worker = Other::start(&ns, "worker");
    let mut client = Other::start(&ns, "client");
    let (listener, address) = server.listen(V4);
    let (client_end, from) = client.connect(address);
    let server_end = server.accept(listener);
    client.write(client_end);
    server.read(server_end);
    let passed = server.give(server_end, &mut worker);
    client.write(client_end);
    worker.read(passed);
    client.close(client_end);
    worker.read(passed);
    worker.close(passed);
    let ports = Ports {
        client: from.port(),
        server: address.port(),
    };
    wait_for(&tool, ports.server, ports.client, "LAST_ACK->CLOSE");
    let run = tool.stop();
    run.summary().assert_nothing_lost();
    let lives = run.histories_in(&ns);
    if Sight::of_tool().sees_receives() {
        assert_owners(&lives, ports, &client, &server, &worker);
    } else {
        let (_, rest) = halves(find_ports(&lives, ports.server, ports.client));
        let [received, shut @ ..] = rest else {
            panic!("it was established: {lives:#?}")
        };
        let unseen = received.pid == Some(server.pid());
        assert_owner(received, if unseen { &server } else { &worker }, "accept");
        shut.iter()
            .for_each(|line| assert_owner(line, &worker, "accept"));
    }
}

/// Whoever holds a socket is found by the next walk, although it never uses it.
#[test]
fn a_socket_that_is_passed_on_and_left_alone() {
    let ns = Namespace::new();
    let tool = trace(&ns, &["--reconcile", "1s"]);
    let mut server = Other::start(&ns, "server");
    let mut keeper = Other::start(&ns, "keeper");
    let mut client = Other::start(&ns, "client");
    let (listener, address) = server.listen(V4);
    let mut ends: Vec<_> = (0..200)
        .map(|_| {
            let (client_end, from) = client.connect(address);
            let server_end = server.accept(listener);
            client.write(client_end);
            server.read(server_end);
            server.give(server_end, &mut keeper);
            (client_end, from.port())
        })
        .collect();
    poll_until("a walk", || {
        let (client_end, port) = ends.pop().expect("a walk comes every second");
        client.close(client_end);
        let line = wait_for(&tool, address.port(), port, "ESTABLISHED->CLOSE_WAIT");
        if line.pid == Some(server.pid()) {
            // As it was seen there, or as a walk has found it before it was passed on.
            let source = line.owner_source.as_deref();
            assert!(matches!(source, Some("accept" | "snapshot")), "{line:#?}");
            return Err("it is thought to be the server's".to_owned());
        }
        assert_owner(&line, &keeper, "snapshot");
        Ok(())
    });
    // Corrected for good.
    for (client_end, port) in ends.into_iter().take(5) {
        client.close(client_end);
        let line = wait_for(&tool, address.port(), port, "ESTABLISHED->CLOSE_WAIT");
        assert_owner(&line, &keeper, "snapshot");
    }
    tool.stop().summary().assert_nothing_lost();
}

#[test]
fn processes_that_exit_while_their_sockets_are_open() {
    let ns = Namespace::new();
    let tool = trace(&ns, &[]);
    let mut server = Other::start(&ns, "server");
    let mut client = Other::start(&ns, "client");
    let (listener, address) = server.listen(V4);
    let (client_end, from) = client.connect(address);
    let server_end = server.accept(listener);
    client.write(client_end);
    server.read(server_end);
    let (server_pid, client_pid) = (server.pid(), client.pid());
    server.exit();
    let line = wait_for(&tool, address.port(), from.port(), "ESTABLISHED->FIN_WAIT1");
    let shown = (line.pid, line.owner_source.as_deref());
    assert_eq!(shown, (Some(server_pid), Some("accept")), "{line:#?}");
    let line = wait_for(&tool, address.port(), 0, "LISTEN->CLOSE");
    let shown = (line.pid, line.owner_source.as_deref());
    assert_eq!(shown, (Some(server_pid), Some("listen")), "{line:#?}");
    client.exit();
    for edge in [
        "ESTABLISHED->CLOSE_WAIT",
        "CLOSE_WAIT->LAST_ACK",
        "LAST_ACK->CLOSE",
    ] {
        let line = wait_for(&tool, from.port(), address.port(), edge);
        let shown = (line.pid, line.owner_source.as_deref());
        assert_eq!(shown, (Some(client_pid), Some("connect")), "{line:#?}");
    }
    tool.stop().summary().assert_nothing_lost();
}

/// It is the acceptor's at once where that can be seen; else its listener's, as a hint.
#[test]
fn an_accepted_socket_that_nobody_has_read_from() {
    let sight = Sight::of_tool();
    let ns = Namespace::new();
    let tool = trace(&ns, &[]);
    let mut parent = Other::start(&ns, "parent");
    let mut client = Other::start(&ns, "client");
    let (listener, address) = parent.listen(V4);
    let mut child = parent.fork("child", listener);
    let (client_end, from) = client.connect(address);
    let accepted = child.accept(child.inherited());
    client.close(client_end);
    let waits = wait_for(
        &tool,
        address.port(),
        from.port(),
        "ESTABLISHED->CLOSE_WAIT",
    );
    if sight.has_fentry() {
        assert_owner(&waits, &child, "accept");
    } else {
        assert_owner(&waits, &parent, "listen");
    }
    child.close(accepted);
    let closes = wait_for(&tool, address.port(), from.port(), "CLOSE_WAIT->LAST_ACK");
    assert_owner(&closes, &child, "accept");
    tool.stop().summary().assert_nothing_lost();
}

#[test]
fn sockets_that_existed_before() {
    let ns = Namespace::new();
    let mut parent = Other::start(&ns, "parent");
    let mut client = Other::start(&ns, "client");
    let (listener, address) = parent.listen(V4);
    let mut child = parent.fork("child", listener);
    let (client_end, from) = client.connect(address);
    let accepted = child.accept(child.inherited());
    let tool = trace(&ns, &[]);
    client.close(client_end);
    child.read(accepted);
    child.close(accepted);
    wait_for(&tool, address.port(), from.port(), "LAST_ACK->CLOSE");
    parent.close(listener);
    child.close(child.inherited());
    let line = wait_for(&tool, address.port(), 0, "LISTEN->CLOSE");
    // Both held it.
    assert!(
        [Some(parent.pid()), Some(child.pid())].contains(&line.pid),
        "{line:#?}"
    );
    assert_eq!(line.owner_source.as_deref(), Some("snapshot"), "{line:#?}");
    let run = tool.stop();
    run.summary().assert_nothing_lost();
    let lives = run.histories_in(&ns);
    for (local, remote, owner) in [
        (from.port(), address.port(), &client),
        (address.port(), from.port(), &child),
    ] {
        for line in &find_ports(&lives, local, remote).lines {
            assert_owner(line, owner, "snapshot");
        }
    }
}
