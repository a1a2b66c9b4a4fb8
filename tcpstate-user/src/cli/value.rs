//! Values of options: durations, port lists, sizes.
use std::time::Duration;

use crate::tracker::Port;

/// Reads a duration: a bare number is seconds (`5`, `0.5`), else as in `30s`, `5m`, `1h 30m`, `200ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "expected a duration above zero such as 5, 30s, 5m or 200ms".to_owned())
}

/// Reads a port or a range of ports: `443`, `8000-8010`.
pub(super) fn port(text: &str) -> Result<Port, String> {
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

/// Reads a size in bytes: `16777216`, `512K`, `16M`, `1G` (powers of 1024).
pub(super) fn bytes(text: &str) -> Result<u32, String> {
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
}
