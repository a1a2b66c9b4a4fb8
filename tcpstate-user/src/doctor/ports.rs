//! Local ports: how many of those that the kernel may choose are in use towards one destination.
use super::{
    evidence::{Destination, Space},
    finding::{Rule, Seen},
    words::number,
};

/// The rules of this group.
pub(super) const RULES: &[Rule] = &[Rule {
    id: "ip_local_port_range",
    look: local_ports,
    why: "Connections are told apart by both addresses and both ports. Towards one destination (local address, remote \
          address, remote port) there can be no more than the range has ports, TIME_WAIT included; then connect() fails \
          with EADDRNOTAVAIL. Towards different destinations the same ports are used again, so the sum means nothing.",
    advice: "Reuse connections (keep-alive, a pool): that also ends the TIME_WAIT. Else use more addresses or ports at \
             either end, or widen ip_local_port_range. Programs that bind() to a source address first should set \
             IP_BIND_ADDRESS_NO_PORT. Where TIME_WAIT holds most of the ports and both ends use timestamps, \
             tcp_tw_reuse=1 helps the end that connects.",
    avoid: "Do not cut TIME_WAIT short with SO_LINGER 0 or a low tcp_max_tw_buckets: it keeps old segments out of new \
            connections. Do not put the range over ports that services listen on without ip_local_reserved_ports.",
    reference: "Documentation/networking/ip-sysctl.rst, ip_local_port_range, ip_local_reserved_ports; RFC 6056",
}];

/// From here on, per cent: a burst of a fifth more and connect() fails.
const NEARLY_ALL: u64 = 80;
/// From here on it is worth knowing, per cent.
const MANY: u64 = 50;

fn local_ports(space: &Space) -> Option<Seen> {
    let sockets = space.sockets.as_ref()?;
    let range = space.settings.port_range()?;
    let (_, usable) = space.settings.usable_ports()?;
    let setting = format!(
        "{} usable ports: {}-{} without the reserved ones (ip_local_port_range, ip_local_reserved_ports)",
        number(usable),
        range.start(),
        range.end()
    );
    let Some(worst) = sockets.destinations.first() else {
        return Some(Seen::ok(format!(
            "no connection from {} usable ports",
            number(usable)
        )));
    };
    let share = |destination: &Destination| destination.ports * 100 / usable.max(1);
    let headline = format!(
        "{} of {} local ports in use towards {} port {}",
        number(worst.ports),
        number(usable),
        worst.raddr,
        worst.rport
    );
    let seen = match share(worst) {
        NEARLY_ALL.. => Seen::warning(headline),
        MANY.. => Seen::info(headline),
        _ => return Some(Seen::ok(headline)),
    };
    let noted = sockets.destinations.iter().filter(|one| share(one) >= MANY);
    let lines = noted.map(|one| {
        format!(
            "{} to {} port {}: {} ports, {} of them held by TIME_WAIT (sock_diag)",
            one.laddr,
            one.raddr,
            one.rport,
            number(one.ports),
            number(one.time_wait)
        )
    });
    Some(seen.with_all(lines).with(setting))
}
