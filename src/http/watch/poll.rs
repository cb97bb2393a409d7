//! The long poll: one answer, as soon as there is something to say.

use std::time::Duration;

use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;

use crate::http::problem::Problem;
use crate::http::routes::{TIDINGS_CURSOR, json, no_content};
use crate::http::watch::stream::stopping;
use crate::http::watch::watcher::{News, Watcher};

/// Waits for events, as long as the caller has patience.
pub(super) async fn answer(mut watcher: Watcher, wait: Duration, preferred: bool) -> Result<Response, Problem> {
    watcher.end_after(wait);
    let mut response = loop {
        match watcher.next().await {
            News::Pieces(pieces) => break json(StatusCode::OK, body(&pieces, &watcher.cursor())),
            // What was passed over is in the cursor of the answer.
            News::Bookmark(_) | News::Idle(_) => {}
            News::Reset(gone) => return Err(gone.problem()),
            News::End(problem) => return Err(problem),
            News::Stopping => return Err(stopping()),
            News::Over => break no_content(),
        }
    };
    let headers = response.headers_mut();
    let cursor = HeaderValue::try_from(watcher.cursor()).expect("a cursor is URL-safe");
    headers.insert(TIDINGS_CURSOR, cursor);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if preferred {
        let applied = HeaderValue::try_from(format!("wait={}", wait.as_secs())).expect("a number is visible ASCII");
        headers.insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

fn body(events: &[Bytes], cursor: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + events.iter().map(|event| event.len() + 1).sum::<usize>());
    out.extend_from_slice(b"{\"events\":[");
    for (number, event) in events.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(event);
    }
    out.extend_from_slice(b"],\"cursor\":\"");
    out.extend_from_slice(cursor.as_bytes());
    out.extend_from_slice(b"\"}");
    out
}

/// RFC 7240 §3.
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
