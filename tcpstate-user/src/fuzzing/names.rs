//! Names that others choose (of tasks, hosts, namespaces, cgroups, files, and words that are typed) in every output.
use std::{collections::BTreeMap, net::Ipv4Addr};

use super::{assert_harmless, assert_harmless_lines, recordings::Shows};
use crate::{
    about::About,
    cli::Cli,
    doctor::{self, evidence},
    recording::Row,
    sink::{Format as _, WallClock, csv::Csv, json::Json},
    tcp::{Comm, ConnectionId, Owner, OwnerSource, TcpState, Transition, Tuple},
    view::doctor::Shown,
};

/// What drives a terminal, ends a field or a row, is markup, is computed, is not seen, or is no text; 15 bytes at most.
const HOSTILE: &[&[u8]] = &[
    b"\x1b[31m\x1b]0;x\x07",
    b"\xc2\x9b2J\xc2\x9dx\x7f",
    b"a\nPRIORITY=0\r\x08",
    b"\xe2\x80\xaedoc\xe2\x80\x8b\xd8\x9c",
    b"</pre><script>",
    b"'\"&,;`$(x)\\",
    b"=1+2",
    b"@SUM(A1)",
    b"\xff\xfe\xc3",
    b"\xf0\x9f\x98\x80\xf3\xa0\x81\x81",
    b"\x00",
];

fn transitions(name: &[u8]) -> Vec<Transition> {
    let mut comm = Comm::default();
    comm.0[..name.len()].copy_from_slice(name);
    let states = [
        TcpState::Close,
        TcpState::SynSent,
        TcpState::Established,
        TcpState::CloseWait,
        TcpState::LastAck,
        TcpState::Close,
    ];
    let steps = states.windows(2).zip(1_u64..);
    steps
        .map(|(step, second)| Transition {
            mono_ns: second * 1_000_000_000,
            id: ConnectionId {
                cookie: 1,
                serial: 1,
            },
            skaddr: 1,
            netns: 1,
            tuple: Some(Tuple {
                laddr: Ipv4Addr::LOCALHOST.into(),
                lport: Some(1000),
                raddr: Ipv4Addr::LOCALHOST.into(),
                rport: 443,
            }),
            from: step[0],
            to: step[1],
            dwell_ns: Some(1_000_000_000),
            estimated: false,
            reason: None,
            role: None,
            owner: Some(Owner {
                pid: 77,
                uid: 0,
                comm,
                source: OwnerSource::Connect,
            }),
            cgroup: None,
            container: None,
            bytes: None,
        })
        .collect()
}

fn clock() -> WallClock {
    WallClock::new(0, jiff::tz::TimeZone::UTC)
}

#[test]
fn in_lines_lives_histograms_and_reports() {
    for name in HOSTILE {
        let rows: Vec<Row> = (0..)
            .zip(transitions(name))
            .map(|(seq, transition)| Row::Transition { seq, transition })
            .collect();
        let text = String::from_utf8_lossy(name).into_owned();
        let about = About {
            host: text.clone(),
            kernel: text.clone(),
            tier: text.clone(),
            tool: text,
            ..About::default()
        };
        let shown = Shows::new(&about).show(&rows);
        assert!(shown.contains("CLOSE_WAIT"), "{shown}");
        let page = shown.split_once("<!DOCTYPE html>").expect("a page").1;
        let page = page.split_once("</html>").expect("its end").0;
        assert!(
            !page.contains("<script") && !page.contains("</pre><"),
            "{page}"
        );
    }
}

#[test]
fn in_csv_a_name_is_one_cell_and_no_formula() {
    for name in HOSTILE {
        let mut line = Vec::new();
        let mut csv = Csv::new(clock());
        csv.header(&mut line);
        let header = cells(&line);
        line.clear();
        csv.transition(&mut line, 0, &transitions(name)[1]);
        let row = cells(&line);
        assert_eq!(row.len(), header.len(), "{row:?}");
        let column = header.iter().position(|name| name == "comm");
        let comm = &row[column.expect("a column")];
        assert!(!comm.starts_with(['=', '+', '-', '@']), "{comm}");
        assert_harmless(comm);
    }
}

/// The cells of one row, as any reader of CSV takes them.
fn cells(row: &[u8]) -> Vec<String> {
    let (mut text, mut ends) = (vec![0; 4096], vec![0; 64]);
    let (_, _, length, count) = csv_core::Reader::new().read_record(row, &mut text, &mut ends);
    let starts = std::iter::once(0).chain(ends.clone());
    let text = &text[..length];
    starts
        .zip(&ends[..count])
        .map(|(start, end)| String::from_utf8(text[start..*end].to_vec()).expect("UTF-8"))
        .collect()
}

#[test]
fn in_json_a_name_is_as_it_is_and_drives_nothing() {
    for name in HOSTILE {
        let mut line = Vec::new();
        Json::new(clock()).transition(&mut line, 0, &transitions(name)[1]);
        assert_harmless_lines(&line);
        let object: serde_json::Value = serde_json::from_slice(&line).expect("an object");
        let name = name.split(|byte| *byte == 0).next().expect("a first part");
        assert_eq!(object["comm"], String::from_utf8_lossy(name).as_ref());
    }
}

#[test]
fn in_what_doctor_says_of_a_namespace() {
    for name in HOSTILE {
        let name = String::from_utf8_lossy(name).into_owned();
        let space = |netns| evidence::Space {
            netns,
            name: Some(name.clone()),
            settings: evidence::Settings(BTreeMap::from([(
                "tcp_tw_recycle".to_owned(),
                name.clone(),
            )])),
            ..evidence::Space::default()
        };
        let spaces = [space(1), space(2)];
        let shown = Shown {
            report: &doctor::examine(&spaces),
            spaces: &spaces,
            missing: &[format!("sockets of {name}")],
            plan: None,
        };
        let mut json = Vec::new();
        shown.json(&mut json);
        assert_harmless_lines(&json);
        let mut text = Vec::new();
        shown.text(&mut text);
        let text = String::from_utf8(text).expect("UTF-8");
        // Its own colours are the only codes.
        let own = ["\x1b[1;31m", "\x1b[1;33m", "\x1b[32m", "\x1b[0m"];
        let plain = own.iter().fold(text, |text, code| text.replace(code, ""));
        assert_harmless_lines(plain.as_bytes());
    }
}

#[test]
fn in_errors_about_what_was_typed() {
    for name in HOSTILE {
        for options in [
            &["trace", "-L"][..],
            &["trace", "--raddr"],
            &["trace", "--state"],
            &["trace", "-N"],
            &["trace", "--cgroup"],
            &["trace", "--min-dwell"],
            &["hist", "--by"],
            &["count"],
            &["serve", "--listen"],
            &[],
        ] {
            let word = [b"no:such:".as_slice(), name].concat();
            let word = std::os::unix::ffi::OsStringExt::from_vec(word);
            let words = ["tcpstate"].iter().chain(options).map(Into::into);
            let error = Cli::read(words.chain([word]).collect()).expect_err("bad usage");
            assert_eq!(error.exit_code(), 2);
            assert_harmless_lines(error.to_string().as_bytes());
            assert!(!error.to_string().contains("\nPRIORITY"), "{error}");
        }
    }
}
