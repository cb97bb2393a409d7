//! CloudEvents 1.0 over HTTP: structured, binary and batch mode (CloudEvents HTTP protocol binding §3).

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};

use crate::http::path::{Plus, percent_decode};
use crate::http::problem::Problem;
use crate::payload::{CloudEvent, EventError, event_from_json, event_from_parts};
use crate::pubsub::ItemId;

/// In which mode a request bears events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The body is the event.
    Structured,
    /// The body is its data, headers are its attributes.
    Binary,
    /// The body is an array of events.
    Batch,
}

/// What names the item of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// A name of the server's: each event is an item of its own.
    Fresh,
    /// Its subject: the latest event about a subject replaces the ones before.
    Subject,
    /// Its id.
    Id,
}

impl Mode {
    /// Reads the content type, and whether there is an attribute among the headers (§3: whoever
    /// receives tells the modes apart by the content type).
    pub(super) fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/cloudevents+json" => Ok(Some(Mode::Structured)),
            "application/cloudevents-batch+json" => Ok(Some(Mode::Batch)),
            other if other.starts_with("application/cloudevents") => {
                let detail = "of the formats of CloudEvents, JSON is taken";
                Err(Problem::new(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "unsupported-media-type",
                    "Unsupported media type",
                    detail,
                ))
            }
            _ if headers.keys().any(|name| name.as_str().starts_with(PREFIX)) => Ok(Some(Mode::Binary)),
            _ => Ok(None),
        }
    }
}

impl Naming {
    pub(super) fn read(word: Option<&str>) -> Result<Self, Problem> {
        match word {
            None => Ok(Naming::Fresh),
            Some("subject") => Ok(Naming::Subject),
            Some("id") => Ok(Naming::Id),
            Some(_) => Err(Problem::bad_request("the query parameter item takes subject or id")),
        }
    }

    /// The name of the event's item; none where the server is to make one.
    pub(super) fn item(self, event: &CloudEvent) -> Result<Option<ItemId>, Problem> {
        let name = match self {
            Naming::Fresh => return Ok(None),
            Naming::Subject => event.subject.as_deref().unwrap_or(""),
            Naming::Id => &event.id,
        };
        let (attribute, detail) = match self {
            Naming::Subject => ("/subject", "the event has no subject that can name an item"),
            Naming::Fresh | Naming::Id => ("/id", "the event has an id that cannot name an item"),
        };
        ItemId::parse(name).map(Some).ok_or_else(|| Problem::invalid(detail).fault(attribute, detail))
    }
}

/// The one event of a request.
pub(super) fn read(mode: Mode, headers: &HeaderMap, body: &[u8]) -> Result<CloudEvent, EventError> {
    match mode {
        Mode::Structured | Mode::Batch => event_from_json(body),
        Mode::Binary => {
            let mut attributes: Vec<(String, String)> = vec![];
            for (name, value) in headers {
                let Some(name) = name.as_str().strip_prefix(PREFIX) else { continue };
                let malformed = |why| EventError::Attribute { name: name.to_owned(), why };
                let text = value.to_str().map_err(|_| malformed("a header holds ASCII, the rest percent-encoded"))?;
                // §3.1.3.2: percent-encoded, and quotes do not belong to the value.
                let text = text.trim().trim_matches('"');
                let text = percent_decode(text, Plus::Itself).map_err(|_| malformed("its encoding is malformed"))?;
                if attributes.iter().any(|(other, _)| other == name) {
                    return Err(malformed("it is given twice"));
                }
                attributes.push((name.to_owned(), text.into_owned()));
            }
            attributes.sort();
            let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            event_from_parts(&attributes, content_type, body)
        }
    }
}

/// What is wrong with an event, and where: `place` is the pointer to the event.
pub(super) fn invalid_event(error: &EventError, place: &str) -> Problem {
    let detail = error.to_string();
    let pointer = match error.member() {
        Some(member) => format!("{place}/{member}"),
        None => place.to_owned(),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-event", "Invalid event", detail.clone())
        .fault(pointer, detail)
}

const PREFIX: &str = "ce-";

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn modes_are_told_apart() {
        for (pairs, mode) in [
            (&[][..], Some(None)),
            (&[("content-type", "application/json")], Some(None)),
            (&[("content-type", "application/json"), ("ce-id", "1")], Some(Some(Mode::Binary))),
            (&[("content-type", "application/cloudevents+json; charset=utf-8")], Some(Some(Mode::Structured))),
            (&[("content-type", "Application/CloudEvents-Batch+JSON")], Some(Some(Mode::Batch))),
            (&[("content-type", "application/cloudevents+xml")], None),
            (&[("content-type", "application/cloudevents")], None),
        ] {
            assert_eq!(Mode::read(&headers(pairs)).ok(), mode, "{pairs:?}");
        }
    }

    #[test]
    fn attributes_in_headers_are_decoded() {
        let pairs = [
            ("ce-specversion", "1.0"),
            ("ce-id", "a%20b"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
            ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
            ("content-type", "application/json"),
        ];
        let event = read(Mode::Binary, &headers(&pairs), b"{\"n\":12345678901234567890.5}").unwrap();
        assert_eq!((event.id.as_str(), event.subject.as_deref()), ("a b", Some("Euro € 😀")));
        let json = crate::payload::to_json(&event.payload);
        assert!(json.contains("\"data\":{\"n\":12345678901234567890.5}"), "{json}");
        for broken in [("ce-subject", "%zz"), ("ce-subject", ""), ("ce-time", "yesterday"), ("ce-a_b", "x")] {
            let mut pairs = pairs.to_vec();
            pairs.retain(|(name, _)| *name != broken.0);
            pairs.push(broken);
            assert!(read(Mode::Binary, &headers(&pairs), b"{}").is_err(), "{broken:?}");
        }
    }
}
