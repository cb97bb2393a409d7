//! Watching a node: `GET …/items?watch=true`, as server-sent events.
//!
//! What a caller wishes is read here, the stream is begun here, and `stream` follows the log from
//! there on. `sse` knows how an event looks. A watcher is a position in the log: a slow reader keeps
//! no events of its own, because nothing is pulled before the socket has taken what was pulled last.

mod sse;
mod stream;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;

use crate::delivery::{CursorError, Follower, Start};
use crate::engine::{Answer, Position};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::routes::{Call, method_not_allowed};
use crate::http::{Options, accept};
use crate::jid::BareJid;
use crate::pubsub::{EventKind, NodeId, Reply, Seq, Verb};

use stream::{Begin, Watcher};

/// The query parameters of a watch.
pub(super) const PARAMETERS: &[&str] = &["since", "initial", "types", "timeout"];

/// What a caller asks to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    since: Since,
    /// The current state first, where no cursor holds.
    initial: bool,
    types: Types,
    timeout: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Since {
    Now,
    Earliest,
    Cursor(String),
}

/// Which events a watcher is shown, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Types(u8);

impl Wish {
    /// Reads the query, and `Last-Event-ID`, which beats `since`: a browser that comes back repeats
    /// its URL and knows better.
    pub(super) fn read(query: &Query<'_>, parts: &Parts, options: &Options) -> Result<Self, Problem> {
        let initial = query.boolean("initial")?.unwrap_or(false);
        let types = query.text("types").map_or(Ok(Types::ALL), Types::read)?;
        let timeout = query.number("timeout", 1, options.watch_seconds_max)?.map(Duration::from_secs);
        let last = match parts.headers.get(LAST_EVENT_ID).map(HeaderValue::to_str) {
            None => None,
            Some(Ok("")) => None,
            Some(Ok(cursor)) => Some(cursor),
            Some(Err(_)) => return Err(not_a_cursor("Last-Event-ID")),
        };
        let since = match last.or(query.text("since")) {
            None | Some("now") => Since::Now,
            Some("earliest") => Since::Earliest,
            Some(cursor) => Since::Cursor(cursor.to_owned()),
        };
        if initial && since == Since::Earliest {
            let detail = "initial=true gives what is there, since=earliest what led there: ask for one of them";
            return Err(Problem::bad_request(detail));
        }
        Ok(Wish { since, initial, types, timeout })
    }
}

impl Types {
    const ALL: Types = Types(0b1_1111);

    fn read(text: &str) -> Result<Self, Problem> {
        let mut types = Types(0);
        for name in text.split(',') {
            let bit = NAMES.iter().position(|known| *known == name);
            let bit = bit.ok_or_else(|| Problem::bad_request(format!("types takes a list of {}", NAMES.join(", "))))?;
            types.0 |= 1 << bit;
        }
        Ok(types)
    }

    /// The end of a node is news to everybody.
    fn show(self, kind: &EventKind) -> bool {
        let bit = match kind {
            EventKind::Published { .. } => 0,
            EventKind::Retracted { .. } => 1,
            EventKind::Purged => 2,
            EventKind::Configured { .. } => 3,
            EventKind::Deleted { .. } => return true,
        };
        self.0 & (1 << bit) != 0
    }

    fn show_published(self) -> bool {
        self.0 & 1 != 0
    }
}

/// The names of events, in the order of the bits of [`Types`].
const NAMES: [&str; 5] = ["published", "retracted", "purged", "configured", "deleted"];

/// Begins to watch.
pub(super) async fn watch(call: Call, node: NodeId, wish: Wish) -> Result<Response, Problem> {
    if call.parts.method == Method::HEAD {
        return Err(method_not_allowed(&[Method::GET]));
    }
    if !accept::names(&call.parts.headers, EVENT_STREAM) {
        let detail = format!("a watch is offered as {EVENT_STREAM}, which Accept must name");
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", "Not acceptable", detail));
    }
    let place = call.door.watches.enter(&call.login.account)?;
    let begin = begin(&call, &node, &wish).await?;
    let watcher = Watcher::new(&call, node, wish, begin, place);
    let mut response = Response::new(Body::from_stream(watcher.into_stream()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // For proxies that would otherwise collect a stream before they pass it on.
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// Finds the place in the log at which the caller wants to begin.
async fn begin(call: &Call, node: &NodeId, wish: &Wish) -> Result<Begin, Problem> {
    let cursor = match &wish.since {
        Since::Now if wish.initial => {
            let follower = follow(call, node, Start::Now).await?;
            return Ok(Begin::State(follower));
        }
        Since::Now => return Ok(Begin::At(follow(call, node, Start::Now).await?)),
        Since::Earliest => return Ok(Begin::At(follow(call, node, Start::Earliest).await?)),
        Since::Cursor(cursor) => cursor,
    };
    let answered = call.ask(Verb::Watch { node: node.clone() }).await?;
    let Answer::Reply(Reply::Watching { node: present }) = answered.answer else {
        return Err(Problem::internal("a watch was answered with something else"));
    };
    match call.door.rooms.cursors.decode(cursor, present.key) {
        Ok(seq) => {
            let follower = follow(call, node, Start::After(seq)).await?;
            // The node may have been replaced by another of the same name in between.
            let same = follower.node().key == present.key;
            if same { Ok(Begin::Resumed(follower)) } else { reset(call, node, wish).await }
        }
        Err(CursorError::Gone) => reset(call, node, wish).await,
        Err(CursorError::NotACursor) => Err(not_a_cursor("since")),
    }
}

/// The cursor is of another epoch: what there is instead.
async fn reset(call: &Call, node: &NodeId, wish: &Wish) -> Result<Begin, Problem> {
    let earliest = follow(call, node, Start::Earliest).await?;
    let first = earliest.position();
    let latest = Position { node: first.node, seq: earliest.node().last_seq };
    let follower = if wish.initial { follow(call, node, Start::After(latest.seq)).await? } else { earliest };
    Ok(Begin::Reset { follower, earliest: first, latest })
}

async fn follow(call: &Call, node: &NodeId, start: Start) -> Result<Follower, Problem> {
    let delivery = &call.door.rooms.delivery;
    Ok(delivery.follow(call.caller(), call.service_jid(), node.clone(), start).await?)
}

fn not_a_cursor(place: &str) -> Problem {
    let detail = format!("what {place} bears is not a cursor of this kind of server");
    Problem::new(StatusCode::BAD_REQUEST, "not-a-cursor", "Not a cursor", detail)
}

/// Counts the open watches of each account.
pub(super) struct Watches {
    // A std mutex: held for one look-up, never across an await.
    open: Arc<Mutex<HashMap<BareJid, usize>>>,
    per_account: usize,
}

/// One open watch; given back when it is dropped.
pub(super) struct Watching {
    open: Arc<Mutex<HashMap<BareJid, usize>>>,
    account: BareJid,
}

impl Watches {
    pub(super) fn new(per_account: usize) -> Self {
        Watches { open: Arc::default(), per_account }
    }

    fn enter(&self, account: &BareJid) -> Result<Watching, Problem> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(account.clone()).or_default();
        if *count >= self.per_account {
            let detail = format!("the account has {} open watches, and no more are allowed", self.per_account);
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Err(Problem::new(status, "too-many-watches", "Too many watches", detail).retry_after(RETRY_SECONDS));
        }
        *count += 1;
        Ok(Watching { open: self.open.clone(), account: account.clone() })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.account);
            }
        }
    }
}

/// Where a watcher stands that has been shown nothing yet.
const BEFORE_EVERYTHING: Seq = Seq(0);
const EVENT_STREAM: &str = "text/event-stream";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Somebody must close a watch first.
const RETRY_SECONDS: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    const KNOWN: &[&str] = &["watch", "since", "initial", "types", "timeout"];

    fn read(raw: &str, last: Option<&str>) -> Result<Wish, Problem> {
        let mut request = Request::new(());
        if let Some(last) = last {
            request.headers_mut().insert(LAST_EVENT_ID, HeaderValue::from_str(last).unwrap());
        }
        let query = Query::parse(Some(raw), KNOWN).unwrap();
        Wish::read(&query, &request.into_parts().0, &Options::default())
    }

    #[test]
    fn wishes_are_read() {
        let plain = Wish { since: Since::Now, initial: false, types: Types::ALL, timeout: None };
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
            assert_eq!(read(raw, last), Ok(expected), "{raw} {last:?}");
        }
        for raw in ["types=", "types=published,", "types=all", "timeout=0", "timeout=x", "initial=1"] {
            assert_eq!(read(raw, None).unwrap_err().status.as_u16(), 400, "{raw}");
        }
        assert_eq!(read("since=earliest&initial=true", None).unwrap_err().status.as_u16(), 400);
    }

    #[test]
    fn types_choose_events_but_never_hide_the_end() {
        let types = Types::read("retracted,purged").unwrap();
        assert!(types.show(&EventKind::Purged) && !types.show_published());
        assert!(types.show(&EventKind::Deleted { redirect: None }));
        assert!(Types::ALL.show_published());
    }

    #[test]
    fn an_account_has_so_many_watches_and_no_more() {
        let watches = Watches::new(2);
        let (romeo, juliet) = (BareJid::parse("romeo@a").unwrap(), BareJid::parse("juliet@a").unwrap());
        let first = watches.enter(&romeo).ok().unwrap();
        let _second = watches.enter(&romeo).ok().unwrap();
        assert_eq!(watches.enter(&romeo).err().unwrap().status.as_u16(), 429);
        assert!(watches.enter(&juliet).is_ok());
        drop(first);
        let third = watches.enter(&romeo);
        assert!(third.is_ok());
        drop(third);
        assert_eq!(watches.open.lock().unwrap().len(), 1);
    }
}
