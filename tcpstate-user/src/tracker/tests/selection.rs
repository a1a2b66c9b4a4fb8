//! Filters of connections: what comes out is what would come out without them, for the connections that they admit.
use proptest::{collection::vec, prelude::*, sample::select};

use super::{Run, story::story};
use crate::{
    tcp::{TcpState, Transition},
    tracker::{Config, Port, Selection},
};

fn ports() -> impl Strategy<Value = Vec<Port>> {
    let port = select(&[(80, 80), (443, 443), (40_000, 50_000), (1, 79)]);
    vec(port.prop_map(|(first, last)| Port { first, last }), 0..3)
}

fn selection() -> impl Strategy<Value = Selection> {
    (any::<bool>(), any::<bool>(), ports(), ports()).prop_map(
        |(ipv4, ipv6, local_ports, remote_ports)| Selection {
            ipv4,
            ipv6,
            local_ports,
            remote_ports,
        },
    )
}

/// Without what may differ: the identity's number, and the local port of a line that was held back for it.
fn bare(transition: &Transition) -> Transition {
    let mut bare = *transition;
    bare.id.serial = 0;
    if bare.to == TcpState::SynSent
        && let Some(tuple) = &mut bare.tuple
    {
        tuple.lport = None;
    }
    bare
}

proptest! {
    #[test]
    fn a_filter_takes_whole_connections(story in story(), selection in selection()) {
        let mut all = Run::new(Config::default());
        let mut filtered = Run::new(Config { selection: selection.clone(), ..Config::default() });
        for run in [&mut all, &mut filtered] {
            run.tell(&story.told);
            run.finish();
        }
        let mut given = 0;
        for (number, life) in story.lives.iter().enumerate() {
            let shown: Vec<_> = filtered.of_life(&story, number).into_iter().map(bare).collect();
            given += shown.len();
            let wanted = selection.admits(&life.tuple) == Some(true);
            let mut expected: Vec<_> = all.of_life(&story, number).into_iter().map(bare).collect();
            // The story may stop before the port is known: then nobody can tell.
            let decided = selection.local_ports.is_empty() || expected.iter().any(|line| line.to != TcpState::SynSent);
            if !wanted || !decided {
                expected.clear();
            }
            prop_assert_eq!(shown, expected, "life {} {:?}", number, life.tuple);
        }
        prop_assert_eq!(given, filtered.out.len(), "lines of no life");
        prop_assert_eq!(filtered.tracker.missed_start(), 0);
    }

    /// A line that was held back for its port carries it.
    #[test]
    fn a_held_back_line_has_its_port(story in story()) {
        let local_ports = vec![Port { first: 1, last: u16::MAX }];
        let selection = Selection { local_ports, ..Selection::default() };
        let mut run = Run::new(Config { selection, ..Config::default() });
        run.tell(&story.told);
        run.finish();
        for transition in &run.out {
            prop_assert!(transition.tuple.is_some_and(|tuple| tuple.lport.is_some()), "{:?}", transition);
        }
    }
}
