//! A host with some trouble, told to a tracker in facts, and what a user sees of it.
use std::{net::IpAddr, time::Duration};

use hashbrown::HashSet;
use ratatui::{Terminal, backend::TestBackend};

use crate::{
    about::About,
    fact::{Details, Fact, FactKind},
    places::Places,
    source::Lost,
    tcp::{Comm, Owner, OwnerSource, TcpState, Tuple},
    tracker::{Config, Tracker},
    view::{
        Moment,
        top::{
            draw,
            keys::Command,
            model::{Model, Picture},
            palette::Palette,
        },
    },
};

const S: u64 = 1_000_000_000;
/// When the measurement began.
const START_NS: u64 = 5_000 * S;
const NETNS: u32 = 4_026_531_840;

/// A measurement and its model.
pub(super) struct Scene {
    tracker: Tracker,
    model: Model,
    places: Places,
    lost: Lost,
    second: u64,
    sockets: u64,
}

/// A process with a name of its own choice.
pub(super) struct Process(pub u32, pub &'static [u8]);

impl Scene {
    /// Nothing has happened and nothing is there.
    pub(super) fn empty() -> Self {
        let mut tracker = Tracker::new(Config::default());
        tracker.walk_begins();
        tracker.walk_ends(START_NS, &HashSet::new(), &mut |_| {});
        Self::of(tracker)
    }

    fn of(tracker: Tracker) -> Self {
        let mut model = Model::new(Duration::from_secs(1), Vec::new());
        model.is_about(&About {
            host: "web-1".to_owned(),
            kernel: "6.12.48-cloud-amd64".to_owned(),
            tier: "fentry".to_owned(),
            ..About::default()
        });
        Self {
            tracker,
            model,
            places: Places::unknown(),
            lost: Lost::default(),
            second: 0,
            sockets: 0,
        }
    }

    /// Three minutes on a host whose processes do not close what their peers have closed.
    pub(super) fn pile_up() -> Self {
        let mut scene = Self::of(Tracker::new(Config::default()));
        scene.tracker.walk_begins();
        for (port, state) in [
            (443, TcpState::Listen),
            (8080, TcpState::Listen),
            (443, TcpState::Established),
            (8080, TcpState::CloseWait),
            (8080, TcpState::CloseWait),
        ] {
            scene.exists(port, state);
        }
        scene
            .tracker
            .walk_ends(START_NS, &HashSet::new(), &mut |_| {});
        let script = Process(1200, b"<script>alert(1");
        let escape = Process(77, b"\x1b[31mred\x07");
        let plain = Process(31_337, b"java");
        for second in 0..180 {
            let process = match second % 6 {
                0 => &escape,
                1 | 2 => &plain,
                _ => &script,
            };
            let (ms, peer) = (7 * (second % 30), second % 4);
            if second % 9 == 0 {
                scene.client(
                    process,
                    "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1",
                    "2001:db8::42",
                    ms,
                );
            } else {
                scene.client(process, "10.0.0.1", &format!("192.0.2.{peer}"), ms);
            }
            scene.tick();
        }
        scene
    }

    /// A second passes.
    pub(super) fn tick(&mut self) {
        self.second += 1;
        let second = self.second;
        let Self {
            tracker,
            model,
            lost,
            places,
            ..
        } = self;
        let moment = &mut moment(tracker, places, *lost, second);
        model.refresh(moment, &time(second));
        if model.wants_survey(true) {
            model.survey(moment);
        }
    }

    /// Some records found no room.
    pub(super) fn lose(&mut self) {
        self.lost.ring_full = 1234;
        self.lost.missed_start = 5;
        self.tick();
    }

    /// Keys are pressed.
    pub(super) fn press(&mut self, commands: &[Command]) -> &mut Self {
        let Self {
            tracker,
            model,
            lost,
            places,
            second,
            ..
        } = self;
        let moment = &mut moment(tracker, places, *lost, *second);
        for command in commands {
            assert!(
                model.obey(*command, moment, &time(*second)).is_continue(),
                "{command:?}"
            );
            if model.wants_survey(false) {
                model.survey(moment);
            }
        }
        self
    }

    pub(super) fn picture(&self) -> Picture {
        self.model.picture()
    }

    /// What stands on a screen of this size.
    pub(super) fn screen(&self, width: u16, height: u16) -> String {
        let picture = self.picture();
        let mut terminal =
            Terminal::new(TestBackend::new(width, height)).expect("it has no errors");
        terminal
            .draw(|frame| draw::draw(frame, &picture, Palette::new(true)))
            .expect("it has no errors");
        terminal.backend().to_string()
    }

    /// A socket that was there before.
    fn exists(&mut self, lport: u16, state: TcpState) {
        let listens = state == TcpState::Listen;
        let fact = self.fact(
            START_NS - S,
            FactKind::Exists {
                state,
                cookie: 7,
                since_ns: None,
                cgroup: None,
            },
            Tuple {
                laddr: ip(if listens { "0.0.0.0" } else { "10.0.0.1" }),
                lport: Some(lport),
                raddr: ip(if listens { "0.0.0.0" } else { "198.51.100.9" }),
                rport: if listens {
                    0
                } else {
                    50_000 + self.sockets as u16
                },
            },
        );
        self.sockets += 1;
        self.apply(&fact);
    }

    /// A connection that a process makes, whose peer closes it after `ms`; nothing follows.
    fn client(&mut self, process: &Process, laddr: &str, raddr: &str, ms: u64) {
        let mut comm = [0; 16];
        comm[..process.1.len()].copy_from_slice(process.1);
        let opened = Details {
            cookie: 0x500 + self.sockets,
            owner: Some(Owner {
                pid: process.0,
                uid: 33,
                comm: Comm(comm),
                source: OwnerSource::Connect,
            }),
            cgroup: Some(42),
            bytes: None,
        };
        let tuple = Tuple {
            laddr: ip(laddr),
            lport: Some(30_000 + self.sockets as u16),
            raddr: ip(raddr),
            rport: 5432,
        };
        let begin_ns = START_NS + self.second * S + 100_000;
        for (after_ns, old, new, details) in [
            (0, TcpState::Close, TcpState::SynSent, Some(opened)),
            (150_000, TcpState::SynSent, TcpState::Established, None),
            (
                200_000 + ms * 1_000_000,
                TcpState::Established,
                TcpState::CloseWait,
                None,
            ),
        ] {
            let kind = FactKind::Transition {
                old,
                new,
                error: 0,
                stillborn: false,
                details,
            };
            let fact = self.fact(begin_ns + after_ns, kind, tuple);
            self.apply(&fact);
        }
        self.sockets += 1;
    }

    fn fact(&self, time_ns: u64, kind: FactKind, tuple: Tuple) -> Fact {
        Fact {
            time_ns,
            cpu: 0,
            object: 0xffff_8880_1000_0000 + self.sockets * 0x1000,
            netns: NETNS,
            tuple,
            kind,
        }
    }

    fn apply(&mut self, fact: &Fact) {
        let model = &mut self.model;
        self.tracker
            .apply(fact, &mut |transition| model.transition(transition));
    }
}

fn moment<'a>(tracker: &'a Tracker, places: &'a mut Places, lost: Lost, second: u64) -> Moment<'a> {
    Moment {
        programs: None,
        damage: None,
        tracker,
        places,
        start_ns: START_NS,
        now_ns: START_NS + second * S + S / 2,
        lost,
    }
}

fn time(second: u64) -> String {
    format!("03:{:02}:{:02}", second / 60, second % 60)
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
