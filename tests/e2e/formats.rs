//! Text and CSV of `trace`: columns that stay where the header puts them, and rows that any CSV reader reads.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tcpstate_tests::{
    Namespace, Run, Tool, sockets,
    traffic::{self, V4, V6},
};

/// The columns of bcc's tcpstates.
const COLUMNS: [&str; 11] = [
    "SKADDR", "PID", "COMM", "LADDR", "LPORT", "RADDR", "RPORT", "OLDSTATE", "->", "NEWSTATE", "MS",
];

/// The longest addresses there are; all of 127.0.0.0/8 is on the loopback device, the other one has to be added.
const LONG_V4: Ipv4Addr = Ipv4Addr::new(127, 100, 100, 100);
const LONG_V6: Ipv6Addr = Ipv6Addr::new(
    0xfd00, 0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666, 0x7777,
);

/// `trace` with `options` beside one connection; returns the run and the connection's local port and listener's port.
fn beside_traffic(ip: IpAddr, options: &[&str]) -> (Run, u16, u16) {
    let ns = Namespace::new();
    if ip == LONG_V6 {
        ns.add_address(LONG_V6);
    }
    let listener = ns.run(|| traffic::listen(ip));
    let port = traffic::address(&listener).port();
    let tool = Tool::start(&[&["trace", "--raw"], options].concat());
    let pair = ns.run(|| traffic::connect(&listener));
    let local = pair.client_address().port();
    pair.close_client_first();
    ns.run(sockets::await_end);
    let run = tool.stop();
    run.assert_summary();
    (run, local, port)
}

/// Cuts every line where the header's columns begin.
fn cells(run: &Run, columns: &[&str]) -> Vec<Vec<String>> {
    let [header, lines @ ..] = &run.stdout[..] else {
        panic!("a header: {run:#?}")
    };
    let words: Vec<_> = header.split_whitespace().collect();
    assert_eq!(words, columns);
    let mut starts = Vec::new();
    for word in columns {
        let from = starts.last().map_or(0, |last| last + 1);
        let at = header[from..].find(word).expect("the header has it");
        starts.push(from + at);
    }
    lines
        .iter()
        .map(|line| {
            let line: Vec<char> = line.chars().collect();
            let ends = starts[1..].iter().copied().chain([line.len()]);
            starts
                .iter()
                .zip(ends)
                .map(|(start, end)| {
                    let shown: String = line.iter().collect();
                    assert!(line[*start] != ' ', "nothing under a header: {shown}");
                    assert!(
                        *start == 0 || line[start - 1] == ' ',
                        "columns run together: {shown}"
                    );
                    let cell: String = line[*start..end].iter().collect();
                    cell.trim_end().to_owned()
                })
                .collect()
        })
        .collect()
}

/// The cells of a client and of a server that are this connection.
fn assert_aligned(ip: IpAddr, options: &[&str], before: &[&str]) {
    let (run, local, port) = beside_traffic(ip, options);
    let columns = [before, &COLUMNS].concat();
    let rows = cells(&run, &columns);
    let (local, port, ip) = (local.to_string(), port.to_string(), ip.to_string());
    let cell = |row: &[String], name: &str| {
        let at = columns.iter().position(|column| *column == name);
        row[at.expect("a column")].clone()
    };
    let of = |lport: &str, rport: &str| {
        let rows = rows.iter().filter(|row| {
            // The listener's end is at the address asked for; the kernel chooses the other one.
            [cell(row, "LADDR"), cell(row, "RADDR")].contains(&ip)
                && [lport, "-"].contains(&&*cell(row, "LPORT"))
                && cell(row, "RPORT") == rport
        });
        rows.map(|row| {
            assert_eq!(cell(row, "->"), "->");
            let dwell = cell(row, "MS");
            if cell(row, "OLDSTATE") == "CLOSE" || cell(row, "OLDSTATE") == "LISTEN" {
                assert_eq!(dwell, "-", "{row:?}");
            } else {
                let (whole, fraction) = dwell.split_once('.').expect("a decimal point");
                assert!(
                    whole.parse::<u64>().is_ok() && fraction.len() == 3,
                    "{row:?}"
                );
            }
            (cell(row, "OLDSTATE"), cell(row, "NEWSTATE"))
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(of(&local, &port).len(), 5, "{run:#?}");
    assert_eq!(of(&port, &local).len(), 5, "{run:#?}");
}

#[test]
fn text_is_aligned_for_ipv4() {
    for ip in [V4, LONG_V4.into()] {
        assert_aligned(ip, &["-4"], &[]);
    }
}

#[test]
fn text_is_aligned_for_ipv6() {
    for ip in [V6, LONG_V6.into()] {
        assert_aligned(ip, &["-6", "-w"], &[]);
    }
}

#[test]
fn text_is_aligned_with_times() {
    assert_aligned(V4, &["-4", "-T"], &["TIME"]);
    assert_aligned(V4, &["-4", "-t"], &["TIME(s)"]);
    assert_aligned(LONG_V6.into(), &["-T", "-t", "-w"], &["TIME", "TIME(s)"]);
}

#[test]
fn csv_has_the_json_fields_as_columns() {
    let (run, local, port) = beside_traffic(V4, &["--csv"]);
    let text = run.stdout.join("\n");
    // Strict: every row must have as many fields as the header.
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let expected = "time,mono_ns,id,skaddr,family,netns,laddr,lport,raddr,rport,from,to,dwell_ns,estimated,reason,role,pid,uid,comm,owner_source,cgroup,container,seq";
    assert_eq!(header.iter().collect::<Vec<_>>().join(","), expected);
    let column = |name| {
        header
            .iter()
            .position(|word| word == name)
            .expect("a column")
    };
    let mut client = Vec::new();
    for (number, row) in reader.records().enumerate() {
        let row = row.expect("a row");
        assert_eq!(row[column("seq")], number.to_string(), "{row:?}");
        if row[column("rport")] != port.to_string() {
            continue;
        }
        let edge = format!("{}->{}", &row[column("from")], &row[column("to")]);
        let lport = if edge == "CLOSE->SYN_SENT" {
            String::new()
        } else {
            local.to_string()
        };
        assert_eq!(row[column("lport")], lport, "{row:?}");
        assert_eq!(row[column("role")], *"client", "{row:?}");
        assert!(row[column("cgroup")].parse::<u64>().is_ok(), "{row:?}");
        client.push(edge);
    }
    assert_eq!(client.len(), 5, "{client:?}");
}
