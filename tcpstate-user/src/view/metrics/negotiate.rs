//! Which of the two text formats a scraper likes better, by its `Accept` header.

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Plain,
    /// OpenMetrics text 1.0.
    OpenMetrics,
}

impl Format {
    /// The format that `accept` prefers; Prometheus text if it likes both the same or says nothing.
    #[must_use]
    pub fn preferred(accept: &str) -> Self {
        let (mut open, mut plain) = (0.0, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or("").to_ascii_lowercase();
            let parameter = |wanted: &str| {
                let named = |part: &str| -> Option<String> {
                    let (name, value) = part.split_once('=')?;
                    name.trim()
                        .eq_ignore_ascii_case(wanted)
                        .then(|| value.trim().trim_matches('"').to_owned())
                };
                parts.clone().find_map(named)
            };
            let quality = match parameter("q") {
                Some(quality) => quality.parse().unwrap_or(0.0),
                None => 1.0,
            };
            let version = parameter("version");
            let best: &mut f64 = match (media.as_str(), version.as_deref()) {
                ("application/openmetrics-text", None | Some("1.0.0" | "0.0.1")) => &mut open,
                ("text/plain" | "text/*" | "*/*", None | Some("0.0.4")) => &mut plain,
                _ => continue,
            };
            *best = best.max(quality);
        }
        if open > plain {
            Self::OpenMetrics
        } else {
            Self::Plain
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scraper_chooses() {
        use Format::{OpenMetrics, Plain};
        for (accept, format) in [
            ("", Plain),
            ("*/*", Plain),
            ("text/plain", Plain),
            ("application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text;q=0", Plain),
            ("application/openmetrics-text; version=2.0.0", Plain),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Plain),
            // Prometheus 2.42
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            // Prometheus 3
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            // with scrape_protocols: [PrometheusText0.0.4]
            ("text/plain;version=0.0.4;q=0.6,*/*;q=0.5", Plain),
        ] {
            assert_eq!(Format::preferred(accept), format, "{accept}");
        }
    }
}
