//! Dual-stack sockets: what runs over IPv4 is shown as IPv4, whatever the socket's own family.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tcpstate_tests::{Namespace, Tool, history, traffic};

/// A client that connects to `ip` at a dual-stack listener.
fn both_ends_are_ipv4(ip: IpAddr) {
    let ns = Namespace::new();
    let tool = Tool::trace(&["--raw"]);
    let listener = ns.run(|| traffic::listen(Ipv6Addr::UNSPECIFIED.into()));
    let port = traffic::address(&listener).port();
    let to = SocketAddr::new(ip, port);
    let pair = ns.run(|| traffic::connect_to(to, &listener));
    let v4 = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (local, remote) = (v4(pair.client_address().port()), v4(port));
    pair.close_client_first();
    tool.wait_for_edge(ns.inode(), "LAST_ACK->CLOSE");
    drop(listener);

    let histories = tool.stop().histories_in(&ns);
    assert_eq!(histories.len(), 3, "{histories:#?}");
    for (local, remote) in [(local, remote), (remote, local)] {
        let history = history::find(&histories, local, remote);
        assert_eq!(history.lines.len(), 5, "{history:#?}");
        history.assert_ends(local, remote);
        for line in &history.lines {
            assert_eq!(line.family.as_deref(), Some("ipv4"), "{line:#?}");
        }
    }
    let listener = history::find_listener(&histories, (Ipv6Addr::UNSPECIFIED, port).into());
    for line in &listener.lines {
        assert_eq!(line.family.as_deref(), Some("ipv6"), "{line:#?}");
        assert_eq!(line.laddr, Some(Ipv6Addr::UNSPECIFIED.into()), "{line:#?}");
    }
}

#[test]
fn an_ipv4_client_at_a_dual_stack_listener() {
    both_ends_are_ipv4(Ipv4Addr::LOCALHOST.into());
}

#[test]
fn an_ipv6_socket_that_connects_to_a_mapped_address() {
    both_ends_are_ipv4(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into());
}
