//! `count --live`: the tracker's own counts are the kernel's, state by state, whenever the traffic holds still, without
//! any reconciliation; and the reconciliation finds them right.
use tcpstate_tests::{
    Namespace, Sight, crowd,
    crowd::Crowd,
    live::{Live, Moment},
    poll_until,
    sockets::{self, ByState},
    tun::Tun,
};

const MOMENTS: usize = 30;
/// Rounds before the tool starts.
const BEFORE: usize = 2;

/// The namespace, and what can be compared on this kernel.
struct Truth {
    ns: Namespace,
    sight: Sight,
}

impl Truth {
    fn sockets(&self) -> ByState {
        self.ns.run(|| sockets::by_state_at(crowd::PORTS))
    }

    /// Where the tool does not see the FIN for a timewait socket, it cannot tell its two states apart before its end.
    fn comparable(&self, mut counts: ByState) -> ByState {
        if !self.sight.has_segments() {
            *counts.entry("TIME_WAIT".to_owned()).or_default() += counts["FIN_WAIT2"];
            counts.remove("FIN_WAIT2");
        }
        counts
    }

    /// Compares at a moment at which nothing changes.
    fn assert_holds(&self, live: &Live) -> Moment {
        let (truth, moment) = poll_until("a moment at which the traffic holds still", || {
            let before = self.sockets();
            let moment = live.now();
            let after = self.sockets();
            if before == after {
                Ok((after, moment))
            } else {
                Err(format!("{before:?} became {after:?}"))
            }
        });
        let shown = self.comparable(moment.counts.clone());
        assert_eq!(shown, self.comparable(truth), "{moment:#?}");
        moment
    }

    fn assert_no_drift(&self, moment: &Moment) {
        if self.sight.has_segments() {
            moment.assert_no_drift();
        }
    }
}

#[test]
fn the_counts_are_the_kernels_at_thirty_moments() {
    let truth = Truth {
        ns: Namespace::new(),
        sight: Sight::of_tool(),
    };
    let tun = truth.ns.run(Tun::new);
    let mut crowd = truth.ns.run(|| Crowd::new(&tun));
    let mut round = || truth.ns.run(|| crowd.round());
    for _ in 0..BEFORE {
        round();
    }
    let ports = format!("{}-{}", crowd::PORTS.start(), crowd::PORTS.end());
    let live = Live::start(&ports, "30s");
    for _ in 0..MOMENTS {
        round();
        let moment = truth.assert_holds(&live);
        assert_eq!(moment.drift, None, "no reconciliation yet");
    }
    let there = truth.sockets();
    assert!(there.values().sum::<u64>() > 1000, "{there:?}");
    assert!(there.values().all(|count| *count > 0), "{there:?}");

    // Another, to which all of this existed before it started.
    let late = Live::start(&ports, "2s");
    truth.assert_holds(&late);
    for _ in 0..BEFORE {
        round();
        truth.assert_holds(&late);
    }
    let begun_ns = late.now().mono_ns;
    let later = late.wait_for("a reconciliation", |moment| {
        moment.mono_ns > begun_ns + 2_500_000_000 && moment.drift.is_some()
    });
    truth.assert_no_drift(&later);
    truth.assert_holds(&late);
    late.stop().assert_summary();

    let reconciled = live.wait_for("a reconciliation", |moment| moment.drift.is_some());
    truth.assert_no_drift(&reconciled);
    truth.assert_holds(&live);
    live.stop().summary().assert_nothing_lost();
    truth.ns.run(|| crowd.end());
}
