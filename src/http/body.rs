//! Request bodies: how large, how slow, of which type.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::http::problem::Problem;
use crate::http::{Door, Options};
use crate::payload::{self, PayloadError};
use crate::pubsub::Payload;

/// A whole body, and its share of the memory for bodies, which it holds as long as it lives.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

/// What a payload is sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Xml,
    Atom,
    Text,
}

impl Kind {
    /// Reads `Content-Type`; absent is `None`.
    pub(super) fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(None) };
        value.to_str().ok().and_then(Kind::named).map(Some).ok_or_else(|| unsupported(PAYLOAD_TYPES))
    }

    pub(super) fn named(content_type: &str) -> Option<Self> {
        let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        utf8(parameters).then_some(())?;
        let essence = essence.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Some(Kind::Json),
            "application/atom+xml" => Some(Kind::Atom),
            "application/xml" | "text/xml" => Some(Kind::Xml),
            "text/plain" => Some(Kind::Text),
            // An envelope whose content is the payload; to take the envelope for it would be wrong.
            cloud_events if cloud_events.starts_with("application/cloudevents") => None,
            json if json.ends_with("+json") => Some(Kind::Json),
            xml if xml.ends_with("+xml") => Some(Kind::Xml),
            _ => None,
        }
    }

    pub(super) fn payload(self, bytes: &[u8]) -> Result<Payload, PayloadError> {
        match self {
            Kind::Json => payload::from_json(bytes),
            Kind::Xml => payload::from_xml(bytes),
            Kind::Atom => payload::from_atom(bytes),
            Kind::Text => payload::from_text(bytes),
        }
    }
}

/// For a body that must be one of these kinds of JSON, or absent.
pub(super) fn require_json(headers: &HeaderMap, types: &'static str) -> Result<(), Problem> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or("");
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let known = types.split(", ").any(|known| essence.trim().eq_ignore_ascii_case(known));
    if known && utf8(parameters) { Ok(()) } else { Err(unsupported(types)) }
}

/// Takes the body. It is refused before a byte of it is read when its length says that it is too long,
/// and cut when it turns out to be too long or too slow.
pub(super) async fn receive(door: &Door, headers: &HeaderMap, body: Body) -> Result<Received, Problem> {
    refuse_compressed(headers)?;
    let options = &door.options;
    let size = body.size_hint();
    if size.lower() > options.body_bytes_max as u64 {
        return Err(too_large(options));
    }
    let size_max =
        size.upper().map_or(options.body_bytes_max, |upper| upper.min(options.body_bytes_max as u64) as usize);
    let memory = if size_max <= FREE_BYTES_MAX {
        None
    } else {
        let permits = u32::try_from(size_max.div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        let memory = door.body_memory.clone().try_acquire_many_owned(permits);
        let detail = "too many large bodies are on their way; nothing was done";
        Some(memory.map_err(|_| Problem::unavailable("overloaded", detail, 1))?)
    };
    Ok(Received { bytes: gather(options, body).await?, _memory: memory })
}

pub(super) fn refuse_compressed(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get_all(CONTENT_ENCODING).iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    let (status, detail) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "compressed bodies are not taken");
    Err(Problem::new(status, "unsupported-encoding", "Unsupported encoding", detail))
}

async fn gather(options: &Options, mut body: Body) -> Result<Bytes, Problem> {
    let mut gathered = BytesMut::new();
    let mut window = Window::begin(options);
    loop {
        let frame = match timeout_at(window.ends, body.frame()).await {
            Err(_) if window.was_slow(options) => return Err(too_slow()),
            Err(_) => {
                window = Window::begin(options);
                continue;
            }
            Ok(None) => return Ok(gathered.freeze()),
            Ok(Some(Err(_))) => return Err(closing(Problem::bad_request("the body ended before its end"))),
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers mean nothing to us.
        let Ok(data) = frame.into_data() else { continue };
        window.bytes += data.len() as u64;
        if gathered.len() + data.len() > options.body_bytes_max {
            return Err(too_large(options));
        }
        // The common case, a body that came with its head, is not copied.
        if gathered.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        gathered.extend_from_slice(&data);
    }
}

/// In which so much of a body must come.
pub(super) struct Window {
    pub(super) ends: Instant,
    pub(super) bytes: u64,
}

impl Window {
    pub(super) fn begin(options: &Options) -> Self {
        Window { ends: Instant::now() + options.body_window, bytes: 0 }
    }

    pub(super) fn was_slow(&self, options: &Options) -> bool {
        let seconds = options.body_window.max(Duration::from_millis(1)).as_secs_f64();
        (self.bytes as f64) < options.body_rate_min as f64 * seconds
    }
}

/// Whether the parameters of a content type leave it in UTF-8.
fn utf8(parameters: &str) -> bool {
    parameters.split(';').filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
        let value = value.trim().trim_matches('"');
        !name.trim().eq_ignore_ascii_case("charset")
            || value.eq_ignore_ascii_case("utf-8")
            || value.eq_ignore_ascii_case("us-ascii")
    })
}

pub(super) fn unsupported(types: &'static str) -> Problem {
    let detail = format!("the body must be one of: {types}; in UTF-8");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Unsupported media type", detail)
        .header(ACCEPT, HeaderValue::from_static(types))
}

fn too_large(options: &Options) -> Problem {
    let detail = format!("a body has at most {} bytes", options.body_bytes_max);
    closing(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "Body too large", detail))
}

fn too_slow() -> Problem {
    let detail = "the body came too slowly";
    closing(Problem::new(StatusCode::REQUEST_TIMEOUT, "body-too-slow", "Body too slow", detail))
}

/// The rest of the body is not read, so that no other request can follow on this connection.
fn closing(problem: Problem) -> Problem {
    problem.header(CONNECTION, HeaderValue::from_static("close"))
}

/// What a node's items can be sent as.
pub(super) const PAYLOAD_TYPES: &str = "application/json, application/xml, application/atom+xml, text/xml, text/plain";
/// What one permit of the memory for bodies stands for.
pub(super) const PERMIT_BYTES: usize = 1024;
/// Bodies up to here lie in the connection's own buffer anyway and are not counted.
const FREE_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_payloads() {
        for (text, kind) in [
            ("application/json", Some(Kind::Json)),
            ("Application/JSON; charset=UTF-8", Some(Kind::Json)),
            ("application/ld+json", Some(Kind::Json)),
            ("application/xml", Some(Kind::Xml)),
            ("text/xml;charset=\"utf-8\"", Some(Kind::Xml)),
            ("application/rdf+xml", Some(Kind::Xml)),
            ("application/atom+xml;type=entry", Some(Kind::Atom)),
            ("text/plain", Some(Kind::Text)),
            ("text/plain; charset=iso-8859-1", None),
            ("text/xml; charset=utf-16", None),
            ("application/cloudevents+json", None),
            ("application/cloudevents-batch+json", None),
            ("application/x-www-form-urlencoded", None),
            ("text/html", None),
            ("json", None),
            ("", None),
        ] {
            assert_eq!(Kind::named(text), kind, "{text}");
        }
    }

    async fn gathered(options: &Options, parts: Vec<(u64, &'static [u8])>) -> Result<Bytes, Problem> {
        let stream = futures_util::stream::unfold(parts.into_iter(), |mut parts| async {
            let (wait_ms, bytes) = parts.next()?;
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(bytes)), parts))
        });
        gather(options, Body::from_stream(stream)).await
    }

    #[tokio::test]
    async fn a_body_is_whole_or_refused() {
        let options = Options { body_bytes_max: 8, ..Options::default() };
        assert_eq!(gathered(&options, vec![]).await.unwrap(), "");
        assert_eq!(gathered(&options, vec![(0, b"abc"), (1, b"def"), (0, b"gh")]).await.unwrap(), "abcdefgh");
        let problem = gathered(&options, vec![(0, b"abc"), (0, b"defghi")]).await.unwrap_err();
        assert_eq!(problem.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_slow_body_is_cut_and_a_steady_one_is_not() {
        let options = Options { body_window: Duration::from_millis(40), body_rate_min: 100, ..Options::default() };
        let problem = gathered(&options, vec![(0, b"ab"), (5000, b"c")]).await.unwrap_err();
        assert_eq!(problem.status, StatusCode::REQUEST_TIMEOUT);
        let steady = vec![(30, &b"abcdefgh"[..]); 6];
        assert_eq!(gathered(&options, steady).await.unwrap().len(), 48);
    }
}
