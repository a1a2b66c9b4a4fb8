//! The page and the JSON object of made-up transitions: what is in them, and what may never be.
use std::net::{IpAddr, Ipv4Addr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::tz::TimeZone;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    Gathered, conclude,
    findings::{Findings, Subject},
    page,
};
use crate::{
    places::Places,
    recording::Damage,
    sink::WallClock,
    source::Lost,
    tcp::{Comm, ConnectionId, Owner, OwnerSource, Reason, TcpState, Transition, Tuple},
    tracker::{Config, Tracker},
    view::Moment,
};

const S: u64 = 1_000_000_000;
/// As long as the kernel lets a name be, with a character that drives terminals.
const HOSTILE: &[u8; 15] = b"<script>\x1b[2J&'\"";

fn comm(name: &[u8]) -> Comm {
    let mut comm = Comm::default();
    comm.0[..name.len()].copy_from_slice(name);
    comm
}

fn step(
    at_ns: u64,
    (from, to): (TcpState, TcpState),
    dwell_ns: Option<u64>,
    reason: Option<Reason>,
) -> Transition {
    Transition {
        mono_ns: at_ns,
        id: ConnectionId {
            cookie: 1,
            serial: 1,
        },
        skaddr: 1,
        netns: 1,
        tuple: Some(Tuple {
            laddr: IpAddr::V4(Ipv4Addr::LOCALHOST),
            lport: Some(1000),
            raddr: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            rport: 443,
        }),
        from,
        to,
        dwell_ns,
        estimated: false,
        reason,
        role: None,
        owner: Some(Owner {
            pid: 77,
            uid: 0,
            comm: comm(HOSTILE),
            source: OwnerSource::Connect,
        }),
        cgroup: None,
        container: None,
        bytes: None,
    }
}

/// What is found in `transitions` of a run from second 100 to second 110.
fn found(transitions: &[Transition], lost: Lost) -> Findings {
    found_in(transitions, lost, None)
}

/// The same in a recording that may end early.
fn found_in(transitions: &[Transition], lost: Lost, damage: Option<&Damage>) -> Findings {
    let mut gathered = Gathered::default();
    for transition in transitions {
        gathered.transition(transition);
    }
    let about = Subject {
        tool: "1.2.3".to_owned(),
        kernel: "6.18".to_owned(),
        tier: "fentry".to_owned(),
        host: "<script>\u{1b}[2J".to_owned(),
        command: "tcpstate report --comm <script>\u{202e}".to_owned(),
    };
    let mut moment = Moment {
        tracker: &Tracker::new(Config::default()),
        places: &mut Places::unknown(),
        start_ns: 100 * S,
        now_ns: 110 * S,
        lost,
        damage,
        programs: None,
    };
    let mut clock = WallClock::new(0, TimeZone::UTC);
    conclude::findings(&mut gathered, about, &mut moment, &mut clock)
}

/// A client that closes first, three times, and one whose peer resets it.
fn story() -> Vec<Transition> {
    use TcpState::{Close, Established, FinWait1, FinWait2, SynSent, TimeWait};
    let mut story = Vec::new();
    for at in [101, 102, 103] {
        let at = at * S;
        story.extend([
            step(at, (Close, SynSent), None, None),
            step(at + 1, (SynSent, Established), Some(1_200_000), None),
            step(at + 2, (Established, FinWait1), Some(300_000_000), None),
            step(at + 3, (FinWait1, FinWait2), Some(40_000), None),
            step(at + 4, (FinWait2, TimeWait), None, None),
            step(
                at + 5,
                (TimeWait, Close),
                Some(60_709_648_000),
                Some(Reason::Expired),
            ),
        ]);
    }
    let reset = (Established, Close);
    story.push(step(104 * S, reset, Some(500), Some(Reason::Reset)));
    story
}

fn json(findings: &Findings) -> Value {
    serde_json::to_value(findings).expect("it becomes JSON")
}

#[test]
fn json_has_every_number_and_null_for_what_is_unknown() {
    let object = json(&found(&story(), Lost::default()));
    assert_eq!(object["v"], 1);
    assert_eq!(object["begin"], "1970-01-01T00:01:40.000000000Z");
    assert_eq!(object["span_ns"], 10 * S);
    assert_eq!(object["transitions"], 19);
    assert_eq!(object["transitions_per_second"], 1.9);
    let edges = object["edges"].as_array().expect("a list");
    let edge = |from: &str, to: &str| {
        let found = edges
            .iter()
            .find(|edge| edge["from"] == from && edge["to"] == to);
        found.expect("it was taken").clone()
    };
    assert_eq!(edges.len(), 7);
    assert_eq!(edge("CLOSE", "SYN_SENT")["dwell_p50_us"], Value::Null);
    assert_eq!(edge("SYN_SENT", "ESTABLISHED")["dwell_p50_us"], 1200);
    assert_eq!(edge("SYN_SENT", "ESTABLISHED")["per_second"], 0.3);
    assert_eq!(edge("TIME_WAIT", "CLOSE")["rfc9293"], true);
    assert_eq!(edge("ESTABLISHED", "CLOSE")["rfc9293"], false);
    let states = &object["states"];
    assert_eq!(states["FIN_WAIT2"]["dwell"]["count"], 0);
    assert_eq!(states["FIN_WAIT2"]["dwell"]["unknown"], 3);
    assert_eq!(states["FIN_WAIT2"]["dwell"]["p50_us"], Value::Null);
    assert_eq!(states["ESTABLISHED"]["dwell"]["count"], 4);
    assert_eq!(states["ESTABLISHED"]["dwell"]["min_us"], 0);
    assert_eq!(states["TIME_WAIT"]["drift"], Value::Null);
    assert_eq!(states["TIME_WAIT"]["open"]["oldest_ns"], Value::Null);
    let stay = &states["TIME_WAIT"]["slowest"][0];
    assert_eq!(stay["dwell_ns"], 60_709_648_000_u64);
    assert_eq!(stay["raddr"], "192.0.2.7");
    assert_eq!(stay["comm"], std::str::from_utf8(HOSTILE).expect("text"));
    let ends = object["ends"].as_array().expect("a list");
    assert_eq!(ends.len(), 2);
    assert_eq!(ends[0]["reason"], "expired");
    assert_eq!(ends[0]["count"], 3);
    let ranked = &object["ranked"]["TIME_WAIT"];
    assert_eq!(ranked["processes"]["first"][0]["pid"], 77);
    assert_eq!(ranked["processes"]["first"][0]["entered"], 3);
    assert_eq!(
        ranked["peers"]["first"][0]["longest_ns"],
        60_709_648_000_u64
    );
    let entered = object["over_time"]["entered"]["TIME_WAIT"].as_array();
    let sum: u64 = entered
        .expect("a list")
        .iter()
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(sum, 3, "every transition is in a bin");
}

#[test]
fn what_came_before_the_session_was_ready_has_its_time() {
    let mut story = story();
    story[0].mono_ns = 95 * S;
    let object = json(&found(&story, Lost::default()));
    assert_eq!(object["span_ns"], 15 * S);
    assert_eq!(object["begin"], "1970-01-01T00:01:35.000000000Z");
    assert_eq!(object["over_time"]["entered"]["SYN_SENT"][0], 1);
}

#[test]
fn buckets_and_percentiles_hold_every_stay() {
    let stays = [0, 1, 2, 999, 1_000, 1_001, 86_399_000_000];
    let edge = (TcpState::CloseWait, TcpState::LastAck);
    let steps: Vec<Transition> = stays
        .into_iter()
        .map(|us| step(101 * S, edge, Some(us * 1000), None))
        .collect();
    let findings = found(&steps, Lost::default());
    let dwell = &findings
        .states
        .get(TcpState::CloseWait)
        .expect("a state")
        .dwell;
    let held: u64 = dwell.distribution.iter().map(|bucket| bucket.count).sum();
    assert_eq!(held, 7);
    for pair in dwell.distribution.windows(2) {
        assert_eq!(pair[0].to_us, pair[1].from_us, "no gap between buckets");
    }
    let curve = &dwell.percentiles;
    assert!(curve.is_sorted_by(|one, next| one.quantile <= next.quantile && one.us <= next.us));
    let last = curve.last().expect("points");
    assert_eq!((last.quantile, Some(last.us)), (1.0, dwell.max_us));
}

#[test]
fn a_recording_that_ends_early_is_told_of() {
    let damage = Damage::Changed {
        at: 4096,
        what: "<i>".to_owned(),
    };
    let findings = found_in(&story(), Lost::default(), Some(&damage));
    assert_eq!(json(&findings)["incomplete"], damage.to_string());
    let page = page::page(&findings);
    assert!(
        page.contains("damaged after 4096 bytes (&lt;i&gt;)"),
        "{page}"
    );
    let whole = found(&story(), Lost::default());
    assert_eq!(json(&whole)["incomplete"], Value::Null);
    assert!(!page::page(&whole).contains("Not all of it"));
}

#[test]
fn the_page_shows_the_numbers_for_people() {
    let page = page::page(&found(&story(), Lost::default()));
    for shown in [
        "Nothing was lost.",
        "60.7 s",
        "1.2 ms",
        "ESTABLISHED → CLOSE_WAIT: the peer closes: FIN received; not seen",
        "TIME_WAIT → CLOSE: its time is over; 3 times",
        "the peer sent a reset",
        "Beside the diagram",
        "192.0.2.7:443",
    ] {
        assert!(page.contains(shown), "{shown} is missing");
    }
    let lost = Lost {
        ring_full: 1234,
        ..Lost::default()
    };
    let page = page::page(&found(&story(), lost));
    assert!(page.contains("Lost: 1,234."));
    assert!(!page.contains("Nothing was lost."));
}

#[test]
fn names_that_others_chose_harm_nothing() {
    let page = page::page(&found(&story(), Lost::default()));
    assert!(!page.contains("<script"));
    assert!(page.contains("&lt;script&gt;\\x1b[2J"));
    assert!(page.contains("--comm &lt;script&gt;\\xe2\\x80\\xae"));
    assert!(!page.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'));
    let object = serde_json::to_string(&found(&story(), Lost::default())).expect("JSON");
    assert!(!object.contains(char::is_control));
}

#[test]
fn the_page_loads_and_runs_nothing() {
    let page = page::page(&found(&story(), Lost::default()));
    for loader in [
        "<script", "<iframe", "<object", "<embed", "<img", "@import", "://", " style=", " on",
    ] {
        let tags = page
            .split('<')
            .skip(1)
            .filter_map(|tag| tag.split_once('>'));
        for (tag, _) in tags {
            assert!(!format!("<{tag}").contains(loader), "{loader} in <{tag}>");
        }
    }
    let (_, rest) = page.split_once("<style>").expect("a style");
    let (style, _) = rest.split_once("</style>").expect("its end");
    assert!(!style.contains("url(") && !style.contains("@import"));
    let hash = STANDARD.encode(Sha256::digest(style));
    assert!(page.contains(&format!("default-src 'none'; style-src 'sha256-{hash}'")));
}

/// Values of an attribute, wherever it stands.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    let rests = page
        .match_indices(&start)
        .map(|(at, _)| &page[at + start.len()..]);
    rests
        .filter_map(|rest| rest.split_once('"'))
        .map(|(value, _)| value)
        .collect()
}

#[test]
fn every_drawing_has_words_and_every_reference_a_target() {
    let page = page::page(&found(&story(), Lost::default()));
    let ids = values(&page, "id");
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "ids are unique");
    let labels = values(&page, "aria-labelledby")
        .into_iter()
        .flat_map(str::split_whitespace);
    let links = values(&page, "href")
        .into_iter()
        .filter_map(|link| link.strip_prefix('#'));
    for target in labels.chain(links) {
        assert!(ids.contains(&target), "{target} is missing");
    }
    let drawings = page.split("<svg").skip(1);
    for drawing in drawings {
        let tag = drawing.split('>').next().expect("a tag");
        assert!(
            tag.contains("aria-labelledby") || tag.contains("aria-hidden"),
            "<svg{tag}> has no words"
        );
    }
    // Not one chart failed to be drawn: four states with known stays have two each, five were entered.
    assert_eq!(page.matches("class=\"chart\"").count(), 4 * 2 + 5);
}

#[test]
fn an_empty_run_makes_a_page_too() {
    let page = page::page(&found(&[], Lost::default()));
    assert!(page.contains("Nothing moved."));
    assert!(page.contains("No socket was in any state."));
}

#[test]
fn a_long_and_busy_run_makes_a_page_below_a_megabyte() {
    let mut steps = Vec::new();
    let live: Vec<TcpState> = TcpState::live().collect();
    for number in 0..200_000_u64 {
        let from = live[number as usize % live.len()];
        let to = live[(number as usize / 10) % live.len()];
        // Every length from a microsecond to a day, and a new peer each time.
        let dwell_ns = 10f64.powf(3.0 + (number % 1000) as f64 / 1000.0 * 10.9) as u64;
        let mut step = step(
            100 * S + number * S / 20_000,
            (from, to),
            Some(dwell_ns),
            None,
        );
        let peer = Ipv4Addr::from_bits(number as u32);
        step.tuple = step.tuple.map(|tuple| Tuple {
            raddr: peer.into(),
            ..tuple
        });
        steps.push(step);
    }
    let findings = found(&steps, Lost::default());
    let page = page::page(&findings);
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
    let peers = &findings
        .ranked
        .get(TcpState::TimeWait)
        .expect("ranked")
        .peers;
    assert_eq!(peers.others, 9_990);
    let first: u64 = peers.first.iter().filter_map(|peer| peer.entered).sum();
    assert_eq!(first + peers.others_entered, 20_000, "everyone is counted");
}
