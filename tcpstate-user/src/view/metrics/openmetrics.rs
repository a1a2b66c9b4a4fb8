//! OpenMetrics 1.0 text from the same families that the `prometheus` crate writes as Prometheus 0.0.4 text. What differs:
//! a counter's family is named without `_total`, every number of a bucket's bound has a point, quotes in help are
//! escaped, and the end is marked.
use std::fmt::{self, Write as _};

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// Media type of this format.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes `families`, which hold gauges, counters named `…_total` and histograms.
pub fn encode(families: &[MetricFamily], text: &mut String) -> fmt::Result {
    for family in families {
        let kind = family.get_field_type();
        let name = match kind {
            MetricType::COUNTER => family.name().trim_end_matches("_total"),
            _ => family.name(),
        };
        let word = format!("{kind:?}").to_lowercase();
        writeln!(text, "# TYPE {name} {word}")?;
        writeln!(text, "# HELP {name} {}", Escaped(family.help()))?;
        for metric in family.get_metric() {
            match kind {
                MetricType::COUNTER => {
                    let value = metric.get_counter().get_value();
                    sample(text, &format!("{name}_total"), metric, None, value)?;
                }
                MetricType::HISTOGRAM => histogram(text, name, metric)?,
                _ => sample(text, name, metric, None, metric.get_gauge().get_value())?,
            }
        }
    }
    text.push_str("# EOF\n");
    Ok(())
}

fn histogram(text: &mut String, name: &str, metric: &Metric) -> fmt::Result {
    let histogram = metric.get_histogram();
    let count = histogram.get_sample_count() as f64;
    let bucket = format!("{name}_bucket");
    for below in histogram.get_bucket() {
        let bound = format!("{:?}", below.upper_bound()); // 60.0, not 60
        let value = below.cumulative_count() as f64;
        sample(text, &bucket, metric, Some(&bound), value)?;
    }
    sample(text, &bucket, metric, Some("+Inf"), count)?;
    sample(text, &format!("{name}_count"), metric, None, count)?;
    let sum = histogram.get_sample_sum();
    sample(text, &format!("{name}_sum"), metric, None, sum)
}

fn sample(
    text: &mut String,
    name: &str,
    metric: &Metric,
    bound: Option<&str>,
    value: f64,
) -> fmt::Result {
    text.push_str(name);
    let labels = metric.get_label().iter().map(pair);
    let mut separator = '{';
    for (label, value) in labels.chain(bound.map(|bound| ("le", bound))) {
        write!(text, "{separator}{label}=\"{}\"", Escaped(value))?;
        separator = ',';
    }
    if separator == ',' {
        text.push('}');
    }
    writeln!(text, " {value}")
}

fn pair(label: &LabelPair) -> (&str, &str) {
    (label.name(), label.value())
}

/// Text of help or of a label's value.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder as _, TextEncoder};

    use super::{
        super::families::{Row, family, histogram_row},
        *,
    };

    fn model() -> Vec<MetricFamily> {
        let counters = vec![
            Row::new(&[("cause", "a\\b\"c\nd")], 3.0),
            Row::new(&[], 1e18),
        ];
        let buckets = [(0.0001, 1), (60.0, 2)];
        vec![
            family(
                "x_lost_total",
                "Lost \"things\".",
                MetricType::COUNTER,
                counters,
            ),
            family(
                "x_oldest_seconds",
                "Age.",
                MetricType::GAUGE,
                vec![Row::new(&[], 0.25)],
            ),
            family(
                "x_dwell_seconds",
                "Stays.",
                MetricType::HISTOGRAM,
                vec![histogram_row(
                    &[("state", "time_wait")],
                    buckets.into_iter(),
                    3,
                    200.5,
                )],
            ),
        ]
    }

    #[test]
    fn open_metrics() {
        let mut text = String::new();
        encode(&model(), &mut text).expect("a string takes everything");
        let expected = r#"# TYPE x_lost counter
# HELP x_lost Lost \"things\".
x_lost_total{cause="a\\b\"c\nd"} 3
x_lost_total 1000000000000000000
# TYPE x_oldest_seconds gauge
# HELP x_oldest_seconds Age.
x_oldest_seconds 0.25
# TYPE x_dwell_seconds histogram
# HELP x_dwell_seconds Stays.
x_dwell_seconds_bucket{state="time_wait",le="0.0001"} 1
x_dwell_seconds_bucket{state="time_wait",le="60.0"} 2
x_dwell_seconds_bucket{state="time_wait",le="+Inf"} 3
x_dwell_seconds_count{state="time_wait"} 3
x_dwell_seconds_sum{state="time_wait"} 200.5
# EOF
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn both_formats_hold_the_same_samples() {
        let mut plain = Vec::new();
        TextEncoder::new()
            .encode(&model(), &mut plain)
            .expect("valid families");
        let plain = String::from_utf8(plain).expect("text");
        let mut open = String::new();
        encode(&model(), &mut open).expect("a string takes everything");
        let samples = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let mut lines: Vec<_> = lines
                .map(|line| line.replace("\"60.0\"", "\"60\""))
                .collect();
            lines.sort();
            lines
        };
        assert_eq!(samples(&plain), samples(&open));
    }
}
