//! `/metrics` on the admin listener: OpenMetrics 1.0 for those who ask for it, else the text format of
//! Prometheus, which differs in its head lines and its end. What is counted is told by the rooms,
//! through whoever built them; this file only writes it down.

use std::borrow::Cow;
use std::fmt::Write as _;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;

use super::accept;

/// One family of numbers that the server tells of itself.
pub struct Metric {
    /// Begins with `tidings_`, or `process_` where Prometheus has the name; a counter's ends with `_total`.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: MetricKind,
    /// The names of its labels, of which each sample has the values.
    pub labels: &'static [&'static str],
    pub read: Box<dyn Fn() -> Vec<Sample> + Send + Sync>,
}

/// One number of a family.
pub struct Sample {
    /// From a closed list or the configuration: as many series as there are, whoever comes.
    pub labels: Vec<Cow<'static, str>>,
    pub value: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only ever grows, from the start of the process.
    Counter,
    /// What is right now.
    Gauge,
}

impl Metric {
    /// A number without labels.
    pub fn one(
        name: &'static str,
        help: &'static str,
        kind: MetricKind,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let read = Box::new(move || vec![Sample::of(vec![], read())]);
        Metric { name, help, kind, labels: &[], read }
    }
}

impl Sample {
    pub fn of(labels: Vec<&'static str>, value: u64) -> Self {
        let labels = labels.into_iter().map(Cow::Borrowed).collect();
        Sample { labels, value: i64::try_from(value).unwrap_or(i64::MAX) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Prometheus,
    OpenMetrics,
}

pub(super) fn answer<'a>(headers: &HeaderMap, metrics: impl IntoIterator<Item = &'a Metric>) -> Response {
    let open = accept::names(headers, "application/openmetrics-text");
    let (format, media) = if open {
        (Format::OpenMetrics, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    } else {
        (Format::Prometheus, "text/plain; version=0.0.4; charset=utf-8")
    };
    let mut response = Response::new(Body::from(write(format, metrics)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

fn write<'a>(format: Format, metrics: impl IntoIterator<Item = &'a Metric>) -> String {
    let mut out = String::with_capacity(16 << 10);
    for metric in metrics {
        let Metric { name, kind, labels, .. } = metric;
        let kind_name = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        // OpenMetrics names the family, to which a counter's samples add `_total`.
        let family = if format == Format::OpenMetrics { name.trim_end_matches("_total") } else { name };
        let help = escape(metric.help);
        writeln!(out, "# HELP {family} {help}\n# TYPE {family} {kind_name}").expect(MEMORY);
        for sample in (metric.read)() {
            out.push_str(name);
            for (place, (label, value)) in labels.iter().zip(&sample.labels).enumerate() {
                let before = if place == 0 { '{' } else { ',' };
                write!(out, "{before}{label}=\"{}\"", escape(value)).expect(MEMORY);
            }
            let end = if labels.is_empty() { "" } else { "}" };
            writeln!(out, "{end} {}", sample.value).expect(MEMORY);
        }
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

/// Both formats escape these in the value of a label. A help of ours holds none of them.
fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '"', '\n']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

const MEMORY: &str = "writing to memory does not fail";

#[cfg(test)]
mod tests {
    use super::*;

    fn families() -> Vec<Metric> {
        vec![
            Metric::one("tidings_events_total", "Events.", MetricKind::Counter, || 7),
            Metric {
                name: "tidings_left_seconds",
                help: "What is left.",
                kind: MetricKind::Gauge,
                labels: &["domain", "state"],
                read: Box::new(|| {
                    let labels = vec![Cow::Borrowed("a\"b\\c\nd"), Cow::Borrowed("x")];
                    vec![Sample { labels, value: -3 }, Sample::of(vec!["e", "f"], 0)]
                }),
            },
        ]
    }

    #[test]
    fn labels_are_escaped_and_each_sample_is_a_line() {
        let written = write(Format::Prometheus, &families());
        let expected = "# HELP tidings_events_total Events.\n\
                        # TYPE tidings_events_total counter\n\
                        tidings_events_total 7\n\
                        # HELP tidings_left_seconds What is left.\n\
                        # TYPE tidings_left_seconds gauge\n\
                        tidings_left_seconds{domain=\"a\\\"b\\\\c\\nd\",state=\"x\"} -3\n\
                        tidings_left_seconds{domain=\"e\",state=\"f\"} 0\n";
        assert_eq!(written, expected);
    }

    #[test]
    fn openmetrics_names_families_and_has_an_end() {
        let mut headers = HeaderMap::new();
        let asked = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        headers.insert(axum::http::header::ACCEPT, HeaderValue::from_static(asked));
        let answered = answer(&headers, &families());
        assert!(answered.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("application/openmetrics-text"));
        let written = write(Format::OpenMetrics, &families());
        assert!(
            written
                .starts_with("# HELP tidings_events Events.\n# TYPE tidings_events counter\ntidings_events_total 7\n")
        );
        assert!(written.ends_with("\n# EOF\n"));
        let plain = answer(&HeaderMap::new(), &families());
        assert!(plain.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"));
    }
}
