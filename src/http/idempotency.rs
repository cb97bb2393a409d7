//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a publish that happens once, however
//! often it is sent.
//!
//! The engine keeps the answer in the transaction of the publish, so that it stands through a crash
//! between the commit and the reply. Here is what the header says, what counts as the same request,
//! and who asks under which key right now.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use sha2::{Digest, Sha256};

use crate::engine::Before;
use crate::http::problem::Problem;
use crate::http::routes::Call;
use crate::jid::BareJid;
use crate::pubsub::NodeId;

/// Keys under which somebody waits for an answer right now: each bounds itself by its connection.
#[derive(Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<HashSet<Place>>>);

/// Whose key, where.
type Place = (BareJid, BareJid, NodeId, Arc<str>);

/// A key that is in use until this is dropped.
pub(super) struct Held {
    table: InFlight,
    place: Place,
}

impl InFlight {
    /// Takes a key; refused while somebody else waits for its answer.
    pub(super) fn hold(&self, call: &Call, node: &NodeId, key: &Arc<str>) -> Result<Held, Problem> {
        let place = (call.login.account.clone(), call.service_jid(), node.clone(), key.clone());
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !table.insert(place.clone()) {
            let detail = "a request with this idempotency key is under way: wait for its answer";
            return Err(Problem::new(StatusCode::CONFLICT, "key-in-flight", "In flight", detail).retry_after(1));
        }
        Ok(Held { table: self.clone(), place })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.table.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.place);
    }
}

/// The key that the header bears: a string in quotes (RFC 9651 §3.3.3), or the same without them, as
/// many clients write it.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<Arc<str>>, Problem> {
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let malformed = || {
        let detail = format!("{NAME} bears one key: 1 to {KEY_BYTES_MAX} visible characters, in quotes or without");
        Problem::bad_request(detail)
    };
    let text = value.to_str().map_err(|_| malformed())?.trim();
    let text = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').ok_or_else(malformed)?,
        None => text,
    };
    let visible = text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\');
    if values.next().is_some() || text.is_empty() || text.len() > KEY_BYTES_MAX || !visible {
        return Err(malformed());
    }
    // Apart from the keys that events bring.
    Ok(Some(Arc::from(format!("key:{text}"))))
}

/// The key of a CloudEvent: two with the same source and id are one event.
pub(super) fn event_key<'a>(events: impl Iterator<Item = (&'a str, &'a str)>) -> Arc<str> {
    let mut hash = Fingerprint::default();
    for (source, id) in events {
        hash = hash.part(source.as_bytes()).part(id.as_bytes());
    }
    Arc::from(format!("event:{}", hex(&hash.finish())))
}

/// A hash of all that makes two requests the same one. Each part goes with its length, so that no two
/// can be confused.
#[derive(Default)]
pub(super) struct Fingerprint(Sha256);

impl Fingerprint {
    pub(super) fn part(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    pub(super) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why the key cannot be used; none where the request was done before.
pub(super) fn unusable(before: &Before) -> Option<Problem> {
    match before {
        Before::Done(_) => None,
        Before::Reused => {
            let detail = "the idempotency key was used for another request";
            Some(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key-reused", "Key reused", detail))
        }
        Before::Exhausted => {
            let detail = "too many idempotency keys of yours are remembered: wait until the oldest have expired";
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-keys", "Too many keys", detail);
            Some(problem.retry_after(EXHAUSTED_RETRY_SECONDS))
        }
    }
}

/// Says that nothing was done now.
pub(super) fn mark_replayed(mut response: Response) -> Response {
    response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}

pub(super) const NAME: &str = "idempotency-key";
/// However a key comes: in the header, or with a line of a stream.
pub(super) const KEY_BYTES_MAX: usize = 255;
const EXHAUSTED_RETRY_SECONDS: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_with_quotes_or_without() {
        let read = |values: &[&str]| {
            let headers: HeaderMap =
                values.iter().map(|value| (NAME.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect();
            key(&headers)
        };
        assert_eq!(read(&[]), Ok(None));
        for text in ["8e03978e-40d5-43dd-bc93-6894a57f9324", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\""] {
            assert_eq!(read(&[text]), Ok(Some(Arc::from("key:8e03978e-40d5-43dd-bc93-6894a57f9324"))), "{text}");
        }
        let long = "x".repeat(256);
        for values in [&[""][..], &["\"\""], &["\"a"], &["a\"b"], &["a", "b"], &[long.as_str()]] {
            assert_eq!(read(values).unwrap_err().status.as_u16(), 400, "{values:?}");
        }
    }

    #[test]
    fn parts_of_a_fingerprint_cannot_be_confused() {
        let of = |parts: &[&str]| parts.iter().fold(Fingerprint::default(), |hash, part| hash.part(part.as_bytes()));
        assert_ne!(of(&["ab", "c"]).finish(), of(&["a", "bc"]).finish());
        assert_ne!(of(&["a", ""]).finish(), of(&["a"]).finish());
        assert_eq!(of(&["a", "b"]).finish(), of(&["a", "b"]).finish());
    }
}
