//! Listeners: opened, closed, and bound by nobody but `listen` itself.
use std::{net::SocketAddr, os::fd::AsRawFd as _};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, getsockname, listen, socket,
};
use tcpstate_tests::{
    Namespace, Tool, history,
    traffic::{self, V4, V6},
};

#[test]
fn open_and_close() {
    for ip in [V4, V6] {
        let ns = Namespace::new();
        let tool = Tool::trace(&["--raw"]);
        let address = ns.run(|| traffic::address(&traffic::listen(ip)));
        tool.wait_for_edge(ns.inode(), "LISTEN->CLOSE");
        let histories = tool.stop().histories_in(&ns);
        assert_eq!(histories.len(), 1, "{histories:#?}");
        let history = history::find_listener(&histories, address);
        history.assert_edges(&["CLOSE->LISTEN", "LISTEN->CLOSE"]);
        history.assert_owner("listener", Some("listen"));
        for line in &history.lines {
            assert_eq!(line.laddr, Some(ip), "{line:#?}");
            assert_eq!(line.lport, Some(address.port()), "{line:#?}");
            assert!(
                line.raddr.is_some_and(|ip| ip.is_unspecified()),
                "{line:#?}"
            );
            assert_eq!(line.rport, Some(0), "{line:#?}");
        }
    }
}

/// `listen` chooses the port after it has said `CLOSE -> LISTEN`.
#[test]
fn a_listener_that_nobody_bound() {
    let ns = Namespace::new();
    let tool = Tool::trace(&["--raw"]);
    let port = ns.run(|| {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a socket");
        listen(&socket, Backlog::MAXCONN).expect("listening");
        let name: SockaddrStorage = getsockname(socket.as_raw_fd()).expect("its name");
        name.as_sockaddr_in().expect("an IPv4 address").port()
    });
    tool.wait_for_edge(ns.inode(), "LISTEN->CLOSE");
    let histories = tool.stop().histories_in(&ns);
    let address = SocketAddr::from(([0, 0, 0, 0], port));
    let history = history::find_listener(&histories, address);
    history.assert_edges(&["CLOSE->LISTEN", "LISTEN->CLOSE"]);
    let ports: Vec<_> = history.lines.iter().map(|line| line.lport).collect();
    assert_eq!(ports, [None, Some(port)]);
}

/// What waits to be accepted ends with its listener.
#[test]
fn a_listener_that_closes_on_a_waiting_connection() {
    let ns = Namespace::new();
    let tool = Tool::trace(&["--raw"]);
    let listener = ns.run(|| traffic::listen(V4));
    let remote = traffic::address(&listener);
    let client = ns.run(|| std::net::TcpStream::connect(remote).expect("connecting"));
    let local = client.local_addr().expect("a client has an address");
    tool.wait_for_edge(ns.inode(), "SYN_RECV->ESTABLISHED");
    drop(listener);
    let histories = tool.stop().histories_in(&ns);
    history::find_listener(&histories, remote).assert_edges(&["CLOSE->LISTEN", "LISTEN->CLOSE"]);
    let server = history::find(&histories, remote, local);
    server.assert_edges(&[
        "LISTEN->SYN_RECV",
        "SYN_RECV->ESTABLISHED",
        "ESTABLISHED->CLOSE",
    ]);
}
