//! Values of options: durations, port lists, sizes, addresses, buckets.
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    shown::MinDwell,
    tcp::{Comm, TcpState},
    tracker::Port,
    view::metrics::Buckets,
};

/// Reads a duration: a bare number is seconds (`5`, `0.5`), else as in `30s`, `5m`, `1h 30m`, `200ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "expected a duration above zero such as 5, 30s, 5m or 200ms".to_owned())
}

/// Reads a port or a range of ports: `443`, `8000-8010`.
pub(crate) fn port(text: &str) -> Result<Port, String> {
    let one = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0);
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (one(first), one(last)),
        None => (one(text), one(text)),
    };
    match (first, last) {
        (Some(first), Some(last)) if first <= last => Ok(Port { first, last }),
        _ => Err("expected a port from 1 to 65535, or a range such as 8000-8010".to_owned()),
    }
}

/// Reads a network: `10.0.0.0/8`, `2001:db8::/32`, or one address. An IPv4-mapped one, as `ss` shows the peers of dual-stack
/// sockets, is the IPv4 one: so are its connections.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let net = text.parse::<IpNet>().map(|net| net.trunc());
    let net = net
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "expected a network such as 10.0.0.0/8, or an address".to_owned())?;
    Ok(unmapped(net).unwrap_or(net))
}

/// The IPv4 network that an IPv4-mapped one stands for.
fn unmapped(net: IpNet) -> Option<IpNet> {
    let IpAddr::V6(address) = net.addr() else {
        return None;
    };
    let prefix = net.prefix_len().checked_sub(96)?;
    IpNet::new(address.to_ipv4_mapped()?.into(), prefix).ok()
}

/// Reads the name of a log. It is no stream: the command has other things to say there.
pub(crate) fn log_file(text: &str) -> Result<PathBuf, String> {
    match text {
        "" | "-" => Err("expected the name of a file".to_owned()),
        name => Ok(name.into()),
    }
}

/// Reads the number of a process.
pub(crate) fn pid(text: &str) -> Result<u32, String> {
    let pid = text.parse().ok().filter(|pid| *pid != 0);
    pid.ok_or_else(|| "expected the number of a process, as 'ps -o pid' shows it".to_owned())
}

/// Reads the name of a task; the kernel keeps 15 bytes of it.
pub(crate) fn comm(text: &str) -> Result<Comm, String> {
    if text.is_empty() {
        return Err("expected the name of a task, as 'ps -o comm' shows it".to_owned());
    }
    let mut comm = Comm::default();
    let kept = text.len().min(comm.0.len() - 1);
    comm.0[..kept].copy_from_slice(&text.as_bytes()[..kept]);
    Ok(comm)
}

/// Reads the shortest stay that is shown: `2s`, `CLOSE_WAIT=10s`.
pub(crate) fn min_dwell(text: &str) -> Result<MinDwell, String> {
    let (state, least) = match text.split_once('=') {
        Some((state, least)) => {
            let state: TcpState = state.parse().map_err(|error| format!("{error}"))?;
            (Some(state), least)
        }
        None => (None, text),
    };
    Ok(MinDwell {
        state,
        at_least: duration(least)?,
    })
}

/// Reads a size in bytes: `16777216`, `512K`, `16M`, `1G` (powers of 1024).
pub(crate) fn bytes(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.trim_end_matches(['b', 'B']) {
        text if text.ends_with(['k', 'K']) => (&text[..text.len() - 1], 1 << 10),
        text if text.ends_with(['m', 'M']) => (&text[..text.len() - 1], 1 << 20),
        text if text.ends_with(['g', 'G']) => (&text[..text.len() - 1], 1 << 30),
        text => (text, 1),
    };
    digits
        .parse::<u32>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "expected a size below 4 GiB such as 16M or 512K".to_owned())
}

/// Reads an address to listen at: `127.0.0.1:9817`, `[::]:9817`.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "expected an address and a port such as 127.0.0.1:9817, 0.0.0.0:9817 or [::]:9817"
            .to_owned()
    })
}

/// Reads the upper bounds of buckets: durations as [`duration`] reads them, ascending, with commas between them.
pub(crate) fn buckets(text: &str) -> Result<Buckets, String> {
    let bounds: Result<_, _> = text.split(',').map(duration).collect();
    Buckets::new(bounds?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("5", 5000),
            ("0.5", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("200ms", 200),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "0", "-1", "soon", "5 parsecs", "nan", "inf", "1e300"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports() {
        assert_eq!(
            port("443"),
            Ok(Port {
                first: 443,
                last: 443
            })
        );
        assert_eq!(
            port("8000-8010"),
            Ok(Port {
                first: 8000,
                last: 8010
            })
        );
        for text in ["", "0", "65536", "http", "10-", "-10", "20-10", "1-2-3"] {
            assert!(port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn processes() {
        assert_eq!(pid("4711"), Ok(4711));
        for text in ["", "0", "-1", "nginx", "4294967296", "1-5"] {
            assert!(pid(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks() {
        for (text, net) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(text).map(|net| net.to_string()), Ok(net.to_owned()));
        }
        for text in ["", "10.0.0.0/33", "10.0.0", "example.org", "/8"] {
            assert!(network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shortest_stays() {
        let at_least = Duration::from_secs(10);
        let state = Some(TcpState::CloseWait);
        assert_eq!(
            min_dwell("close-wait=10s"),
            Ok(MinDwell { state, at_least })
        );
        let state = None;
        assert_eq!(min_dwell("10"), Ok(MinDwell { state, at_least }));
        for text in ["", "CLOSE_WAIT", "NOWHERE=1s", "CLOSE_WAIT=", "=5s"] {
            assert!(min_dwell(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_of_tasks_are_cut_as_the_kernel_cuts_them() {
        assert_eq!(comm("nginx").unwrap().bytes(), b"nginx");
        assert_eq!(
            comm("a-very-long-name-of-a-task").unwrap().bytes(),
            b"a-very-long-nam"
        );
        assert!(comm("").is_err());
    }

    #[test]
    fn sizes() {
        for (text, size) in [
            ("4096", 4096),
            ("512K", 512 << 10),
            ("16M", 16 << 20),
            ("16MB", 16 << 20),
            ("1g", 1 << 30),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "0", "M", "4G", "-1", "x", "1.5M"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_default_buckets_are_read_as_they_are_shown() {
        let default = Buckets::default();
        assert_eq!(buckets(&default.to_string()), Ok(default));
        assert!(buckets("1ms,0.1,60,61,2h").is_ok());
        for text in ["", "1,", "1,1", "2,1", "x", "0,1"] {
            assert!(buckets(text).is_err(), "{text}");
        }
    }
}
