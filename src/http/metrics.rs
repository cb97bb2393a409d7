//! `/metrics` on the admin listener, in the text format of Prometheus. What is counted is told by the
//! rooms, through whoever built them; this file only writes it down.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;

/// One number that the server tells of itself.
pub struct Metric {
    /// Begins with `tidings_`; a counter's ends with `_total`.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: MetricKind,
    pub read: Box<dyn Fn() -> u64 + Send + Sync>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only ever grows, from the start of the process.
    Counter,
    /// What is right now.
    Gauge,
}

pub(super) fn answer<'a>(metrics: impl IntoIterator<Item = &'a Metric>) -> Response {
    let mut out = String::with_capacity(4096);
    for metric in metrics {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let Metric { name, help, read, .. } = metric;
        let value = read();
        write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")
            .expect("writing to memory does not fail");
    }
    let mut response = Response::new(Body::from(out));
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}
