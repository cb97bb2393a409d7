//! What a caller asks to be shown, and how.

use std::time::Duration;

use axum::http::header::{CONNECTION, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::routes::method_not_allowed;
use crate::http::{Options, accept};
use crate::pubsub::EventKind;

/// The query parameters of a watch.
pub(in crate::http) const PARAMETERS: &[&str] = &["since", "initial", "types", "timeout", "wait", "ticket"];

/// What a caller asks to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Wish {
    pub(super) transport: Transport,
    pub(super) since: Since,
    /// The current state first, where no cursor holds.
    pub(super) initial: bool,
    pub(super) types: Types,
    /// When a stream ends by the caller's own wish.
    pub(super) timeout: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Since {
    Now,
    Earliest,
    Cursor(String),
}

/// How a caller wants to be told: `Upgrade` chooses, then `Accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// `text/event-stream`
    EventStream,
    /// `application/x-ndjson`
    Lines,
    WebSocket,
    /// One answer, as soon as there is something to say.
    LongPoll {
        wait: Duration,
        preferred: bool,
    },
}

/// Which events a watcher is shown, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Wish {
    /// Reads the query and the headers. `Last-Event-ID` beats `since`: a browser that comes back
    /// repeats its URL and knows better.
    pub(in crate::http) fn read(query: &Query<'_>, parts: &Parts, options: &Options) -> Result<Self, Problem> {
        if parts.method == Method::HEAD {
            return Err(method_not_allowed(&["GET"]));
        }
        let initial = query.boolean("initial")?.unwrap_or(false);
        let types = query.text("types").map_or(Ok(Types::ALL), Types::read)?;
        let timeout = query.number("timeout", 1, options.watch_seconds_max)?.map(Duration::from_secs);
        let last = match parts.headers.get(LAST_EVENT_ID).map(HeaderValue::to_str) {
            None => None,
            Some(Ok("")) => None,
            Some(Ok(cursor)) => Some(cursor),
            Some(Err(_)) => return Err(not_a_cursor("Last-Event-ID")),
        };
        let since = Since::read(last.or(query.text("since")));
        if initial && since == Since::Earliest {
            let detail = "initial=true gives what is there, since=earliest what led there: ask for one of them";
            return Err(Problem::bad_request(detail));
        }
        let transport = Transport::read(query, parts, options)?;
        match transport {
            Transport::LongPoll { .. } if initial => Err(Problem::bad_request(
                "a long poll has no room for the current items: list them, and poll from the Tidings-Cursor of the list",
            )),
            Transport::LongPoll { .. } => {
                query.without(&["timeout"], "to a long poll, which has wait")?;
                Ok(Wish { transport, since, initial, types, timeout: None })
            }
            Transport::EventStream | Transport::Lines | Transport::WebSocket => {
                query.without(&["wait"], "to a stream, which has timeout")?;
                Ok(Wish { transport, since, initial, types, timeout })
            }
        }
    }
}

impl Since {
    pub(super) fn read(text: Option<&str>) -> Self {
        match text {
            None | Some("now") => Since::Now,
            Some("earliest") => Since::Earliest,
            Some(cursor) => Since::Cursor(cursor.to_owned()),
        }
    }
}

impl Transport {
    fn read(query: &Query<'_>, parts: &Parts, options: &Options) -> Result<Self, Problem> {
        let headers = &parts.headers;
        if wants_websocket(headers) {
            return Ok(Transport::WebSocket);
        }
        if accept::names(headers, EVENT_STREAM) {
            return Ok(Transport::EventStream);
        }
        if accept::names(headers, NDJSON) {
            return Ok(Transport::Lines);
        }
        if accept::refuses_json(headers) {
            let detail = format!("a watch is offered as {EVENT_STREAM}, {NDJSON}, a WebSocket and application/json");
            return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", "Not acceptable", detail));
        }
        let most = options.wait_max.as_secs();
        let asked = query.number("wait", 0, most)?;
        let preferred = preferred_wait(headers).map(|wait| wait.min(most));
        let wait = asked.or(preferred).map_or(options.wait, Duration::from_secs);
        Ok(Transport::LongPoll { wait, preferred: asked.is_none() && preferred.is_some() })
    }
}

/// RFC 6455 §4.2.1, as far as it tells a WebSocket from other requests.
fn wants_websocket(headers: &HeaderMap) -> bool {
    let has = |name, wanted: &str| {
        let values = headers.get_all(name).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    has(UPGRADE, "websocket") && has(CONNECTION, "upgrade")
}

/// RFC 7240 §4.3. A preference that cannot be understood is none.
fn preferred_wait(headers: &HeaderMap) -> Option<u64> {
    let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    preferences.find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("wait") {
            return None;
        }
        value.trim().trim_matches('"').parse().ok()
    })
}

impl Types {
    pub(super) const ALL: Types = Types(0b111_1111);

    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        let mut types = Types(0);
        for name in text.split(',') {
            let bit = EventKind::NAMES.iter().position(|known| *known == name);
            let bit = bit.ok_or_else(|| {
                Problem::bad_request(format!("types takes a list of {}", EventKind::NAMES.join(", ")))
            })?;
            types.0 |= 1 << bit;
        }
        Ok(types)
    }

    /// A bit for each kind, at its index. The end of a node is news to everybody.
    pub(super) fn show(self, kind: &EventKind) -> bool {
        matches!(kind, EventKind::Deleted { .. }) || self.0 & (1 << kind.index()) != 0
    }

    pub(super) fn show_published(self) -> bool {
        self.0 & 1 != 0
    }
}

pub(super) fn not_a_cursor(place: &str) -> Problem {
    let detail = format!("what {place} bears is not a cursor of this kind of server");
    Problem::new(StatusCode::BAD_REQUEST, "not-a-cursor", "Not a cursor", detail)
}

pub(super) const EVENT_STREAM: &str = "text/event-stream";
pub(super) const NDJSON: &str = "application/x-ndjson";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const PREFER: HeaderName = HeaderName::from_static("prefer");

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use axum::http::header::ACCEPT;

    const KNOWN: &[&str] = &["watch", "since", "initial", "types", "timeout", "wait"];

    fn read(raw: &str, headers: &[(HeaderName, &str)]) -> Result<Wish, Problem> {
        let mut request = Request::new(());
        for (name, value) in headers {
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        let query = Query::parse(Some(raw), KNOWN).unwrap();
        Wish::read(&query, &request.into_parts().0, &Options::default())
    }

    fn stream(raw: &str, last: Option<&str>) -> Result<Wish, Problem> {
        let last = last.map(|last| (LAST_EVENT_ID, last));
        let headers: Vec<_> = [(ACCEPT, EVENT_STREAM)].into_iter().chain(last).collect();
        read(raw, &headers)
    }

    #[test]
    fn wishes_are_read() {
        let transport = Transport::EventStream;
        let plain = Wish { transport, since: Since::Now, initial: false, types: Types::ALL, timeout: None };
        let cursor = |text: &str| Since::Cursor(text.to_owned());
        for (raw, last, expected) in [
            ("", None, plain.clone()),
            ("since=now&initial=false", None, plain.clone()),
            ("since=earliest", None, Wish { since: Since::Earliest, ..plain.clone() }),
            ("since=abc&initial=true", None, Wish { since: cursor("abc"), initial: true, ..plain.clone() }),
            ("since=abc", Some("def"), Wish { since: cursor("def"), ..plain.clone() }),
            ("since=earliest&initial=false", Some("def"), Wish { since: cursor("def"), ..plain.clone() }),
            ("since=abc", Some(""), Wish { since: cursor("abc"), ..plain.clone() }),
            ("types=published,retracted", None, Wish { types: Types(3), ..plain.clone() }),
            ("timeout=600", None, Wish { timeout: Some(Duration::from_secs(600)), ..plain.clone() }),
        ] {
            assert_eq!(stream(raw, last), Ok(expected), "{raw} {last:?}");
        }
        for raw in ["types=", "types=published,", "types=all", "timeout=0", "timeout=x", "initial=1", "wait=5"] {
            assert_eq!(stream(raw, None).unwrap_err().status.as_u16(), 400, "{raw}");
        }
        assert_eq!(stream("since=earliest&initial=true", None).unwrap_err().status.as_u16(), 400);
    }

    #[test]
    fn headers_choose_the_transport() {
        let poll = |seconds, preferred| Transport::LongPoll { wait: Duration::from_secs(seconds), preferred };
        for (raw, headers, expected) in [
            ("", &[][..], poll(30, false)),
            ("", &[(ACCEPT, "*/*")], poll(30, false)),
            ("", &[(ACCEPT, "application/json")], poll(30, false)),
            ("wait=0", &[], poll(0, false)),
            ("wait=60", &[], poll(60, false)),
            ("", &[(PREFER, "wait=10")], poll(10, true)),
            ("", &[(PREFER, "respond-async, Wait=\"7\"; x=y")], poll(7, true)),
            ("", &[(PREFER, "wait=100")], poll(60, true)),
            ("", &[(PREFER, "wait=soon")], poll(30, false)),
            ("wait=5", &[(PREFER, "wait=10")], poll(5, false)),
            ("", &[(ACCEPT, NDJSON)], Transport::Lines),
            ("", &[(ACCEPT, "text/event-stream, application/x-ndjson")], Transport::EventStream),
            ("", &[(UPGRADE, "WebSocket"), (CONNECTION, "keep-alive, Upgrade")], Transport::WebSocket),
            ("", &[(UPGRADE, "h2c"), (CONNECTION, "Upgrade")], poll(30, false)),
            ("", &[(UPGRADE, "websocket")], poll(30, false)),
        ] {
            assert_eq!(read(raw, headers).map(|wish| wish.transport), Ok(expected), "{raw} {headers:?}");
        }
        for (raw, headers, status) in [
            ("wait=61", &[][..], 400),
            ("wait=-1", &[], 400),
            ("timeout=5", &[], 400),
            ("initial=true", &[], 400),
            ("", &[(ACCEPT, "image/png")], 406),
        ] {
            assert_eq!(read(raw, headers).unwrap_err().status.as_u16(), status, "{raw} {headers:?}");
        }
    }

    #[test]
    fn types_choose_events_but_never_hide_the_end() {
        let types = Types::read("retracted,purged").unwrap();
        assert!(types.show(&EventKind::Purged) && !types.show_published());
        assert!(types.show(&EventKind::Deleted { redirect: None }));
        assert!(Types::ALL.show_published());
    }
}
