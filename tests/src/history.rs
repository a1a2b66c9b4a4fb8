//! The lines of one connection, in order, and what must hold for each such history.
mod life;

use std::net::SocketAddr;

pub use self::life::{between, find_ports};
use crate::Line;

/// Every line of one `id`.
#[derive(Clone, Debug)]
pub struct History {
    /// In the order of the output.
    pub lines: Vec<Line>,
}

impl History {
    /// Sorts lines by connection, in the order in which these appear.
    ///
    /// # Panics
    /// A line does not follow from the one before it.
    #[must_use]
    pub fn of(lines: impl IntoIterator<Item = Line>) -> Vec<Self> {
        let mut histories: Vec<Self> = Vec::new();
        for line in lines {
            match histories
                .iter_mut()
                .find(|history| history.lines[0].id == line.id)
            {
                Some(history) => history.lines.push(line),
                None => histories.push(Self { lines: vec![line] }),
            }
        }
        for history in &histories {
            history.check();
        }
        histories
    }

    /// What holds for every connection, whatever it does.
    fn check(&self) {
        let first = &self.lines[0];
        if first.from == "CLOSE" || first.edge() == "LISTEN->SYN_RECV" {
            assert_eq!(first.dwell_ns, None, "no socket was there: {first:#?}");
        }
        for pair in self.lines.windows(2) {
            let [before, after] = pair else {
                unreachable!("windows of two")
            };
            let both = || format!("{before:#?}\n{after:#?}");
            assert_eq!(before.to, after.from, "a step is missing: {}", both());
            // Mini-sockets are kernel objects of their own, before and after the full socket.
            let same = !matches!(&*before.to, "SYN_RECV" | "FIN_WAIT2" | "TIME_WAIT");
            assert!(!same || before.skaddr == after.skaddr, "{}", both());
            assert_eq!(before.netns, after.netns, "{}", both());
            assert!(before.seq < after.seq, "{}", both());
            let stay = after.mono_ns.checked_sub(before.mono_ns);
            assert!(stay.is_some(), "time steps back: {}", both());
            // Under SYN cookies nobody knows how long a connection was half open.
            let unknown = before.to == "SYN_RECV" && after.dwell_ns.is_none();
            assert!(
                unknown || after.dwell_ns == stay,
                "its start was seen: {}",
                both()
            );
        }
    }

    /// Its transitions: `["CLOSE->SYN_SENT", …]`.
    #[must_use]
    pub fn edges(&self) -> Vec<String> {
        self.lines.iter().map(Line::edge).collect()
    }

    /// Checks that these are its transitions.
    ///
    /// # Panics
    /// They are others.
    pub fn assert_edges(&self, expected: &[&str]) {
        assert_eq!(self.edges(), expected, "{:#?}", self.lines);
    }

    /// Checks both ends of every line; while the kernel has chosen no local port, that is `None`.
    ///
    /// # Panics
    /// One has others.
    pub fn assert_ends(&self, local: SocketAddr, remote: SocketAddr) {
        for line in &self.lines {
            let shown = (line.laddr, line.raddr, line.rport);
            let expected = (Some(local.ip()), Some(remote.ip()), Some(remote.port()));
            assert_eq!(shown, expected, "{line:#?}");
            let port = (line.edge() != "CLOSE->SYN_SENT").then_some(local.port());
            assert_eq!(line.lport, port, "{line:#?}");
        }
    }

    /// Checks the role in every line, and the owner where `source` says how it is known: a thread of this process that
    /// [`crate::Namespace::run`] started.
    ///
    /// # Panics
    /// They are others.
    pub fn assert_owner(&self, role: &str, source: Option<&str>) {
        for line in &self.lines {
            assert_eq!(line.role.as_deref(), Some(role), "{line:#?}");
            // Unknown is allowed where nothing says the owner for certain; somebody else is not.
            if source.is_some() || line.owner_source.is_some() {
                assert_eq!(line.pid, Some(std::process::id()), "{line:#?}");
                assert_eq!(line.uid, Some(0), "{line:#?}");
                // Whatever thread of the process uses an accepted socket first gives it its name.
                let by_use = line.owner_source.as_deref() == Some("accept");
                let comm = line.comm.as_deref();
                assert!(by_use || comm == Some(crate::namespace::COMM), "{line:#?}");
            }
            if source.is_some() {
                assert_eq!(line.owner_source.as_deref(), source, "{line:#?}");
            }
        }
    }
}

/// The history of the socket with these ends.
///
/// # Panics
/// There is none, or more than one.
#[must_use]
pub fn find(histories: &[History], local: SocketAddr, remote: SocketAddr) -> &History {
    let found: Vec<_> = histories
        .iter()
        .filter(|history| {
            history
                .lines
                .iter()
                .any(|line| line.lport == Some(local.port()) && line.rport == Some(remote.port()))
        })
        .collect();
    let [one] = found[..] else {
        panic!(
            "{} connections are {local} - {remote}, expected one: {histories:#?}",
            found.len()
        )
    };
    one
}

/// The history of the listener at `local`.
///
/// # Panics
/// There is none, or more than one.
#[must_use]
pub fn find_listener(histories: &[History], local: SocketAddr) -> &History {
    let nobody = SocketAddr::new(local.ip(), 0);
    find(histories, local, nobody)
}
