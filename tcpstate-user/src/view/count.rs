//! Rendering of `count`: a table, one integer, JSON, or Zabbix low-level discovery.
use std::io::{self, Write};

use serde::{Serialize, Serializer as _};

use crate::{sockdiag::StateCounts, tcp::TcpState};

/// A line for every live state, also for those without sockets.
pub fn table(out: &mut impl Write, counts: &StateCounts) -> io::Result<()> {
    let width = counts.iter().map(|(_, sockets)| sockets.to_string().len());
    let width = width.fold("SOCKETS".len(), usize::max);
    writeln!(out, "{:<11} {:>width$}", "STATE", "SOCKETS")?;
    for (state, sockets) in counts.iter() {
        writeln!(out, "{state:<11} {sockets:>width$}")?;
    }
    Ok(())
}

/// One integer, as scripts read it.
pub fn integer(out: &mut impl Write, counts: &StateCounts, state: TcpState) -> io::Result<()> {
    writeln!(out, "{}", counts.get(state))
}

/// One object on one line: every live state, or only `state`, by name.
pub fn json(out: &mut impl Write, counts: &StateCounts, state: Option<TcpState>) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::new(&mut *out);
    match state {
        Some(state) => serializer.collect_map([(state.name(), counts.get(state))])?,
        None => serializer.collect_map(counts.iter().map(|(state, n)| (state.name(), n)))?,
    }
    writeln!(out)
}

/// Low-level discovery of Zabbix: one entry for every live state, with the key that the metrics use for it.
pub fn zabbix_discovery(out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Entry {
        #[serde(rename = "{#STATE}")]
        state: &'static str,
        #[serde(rename = "{#KEY}")]
        key: String,
    }
    let entries = TcpState::live().map(|state| Entry {
        state: state.name(),
        key: state.name().to_ascii_lowercase(),
    });
    let data: Vec<_> = entries.collect();
    serde_json::Serializer::new(&mut *out).collect_map([("data", data)])?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json as value;

    use super::*;

    fn counts() -> StateCounts {
        let mut counts = StateCounts::default();
        counts.add(TcpState::Established, 3);
        counts.add(TcpState::TimeWait, 12_345_678);
        counts.add(TcpState::Close, 9);
        counts
    }

    fn text(render: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        render(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn table_is_aligned_and_has_every_live_state() {
        let expected = "\
STATE        SOCKETS
ESTABLISHED        3
SYN_SENT           0
SYN_RECV           0
FIN_WAIT1          0
FIN_WAIT2          0
TIME_WAIT   12345678
CLOSE_WAIT         0
LAST_ACK           0
LISTEN             0
CLOSING            0
";
        assert_eq!(text(|out| table(out, &counts())), expected);
        assert!(
            text(|out| table(out, &StateCounts::default())).starts_with("STATE       SOCKETS\n")
        );
    }

    #[test]
    fn integer_is_zero_where_there_is_none_and_for_close() {
        for (state, expected) in [
            (TcpState::TimeWait, "12345678\n"),
            (TcpState::Closing, "0\n"),
            (TcpState::Close, "0\n"),
        ] {
            assert_eq!(text(|out| integer(out, &counts(), state)), expected);
        }
    }

    #[test]
    fn json_is_one_line_in_the_order_of_the_table() {
        assert_eq!(
            text(|out| json(out, &counts(), None)),
            "{\"ESTABLISHED\":3,\"SYN_SENT\":0,\"SYN_RECV\":0,\"FIN_WAIT1\":0,\"FIN_WAIT2\":0,\
             \"TIME_WAIT\":12345678,\"CLOSE_WAIT\":0,\"LAST_ACK\":0,\"LISTEN\":0,\"CLOSING\":0}\n"
        );
        assert_eq!(
            text(|out| json(out, &counts(), Some(TcpState::TimeWait))),
            "{\"TIME_WAIT\":12345678}\n"
        );
    }

    #[test]
    fn zabbix_discovers_every_live_state_with_its_key() {
        let line = text(zabbix_discovery);
        assert!(
            line.starts_with(r##"{"data":[{"{#STATE}":"ESTABLISHED","{#KEY}":"established"},"##)
        );
        let discovery: serde_json::Value = serde_json::from_str(&line).unwrap();
        let data = discovery["data"].as_array().unwrap();
        assert_eq!(data.len(), 10);
        assert_eq!(
            data[3],
            value!({ "{#STATE}": "FIN_WAIT1", "{#KEY}": "fin_wait1" })
        );
        assert!(data.iter().all(|entry| entry["{#STATE}"] != "CLOSE"));
    }

    #[test]
    fn a_closed_pipe_stays_one() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for result in [
            table(&mut Closed, &counts()),
            json(&mut Closed, &counts(), None),
        ] {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    }
}
