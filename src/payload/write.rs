//! From a payload to the forms that readers ask for.

use std::borrow::Cow;

use super::read::is_json_space;
use crate::pubsub::{Media, Payload};
use crate::xml::{Limits, parse_document};

/// The payload as itself: its content type, and its bytes.
pub fn to_http(payload: &Payload) -> (&'static str, Vec<u8>) {
    match payload.media {
        Media::Json => ("application/json", text(&payload.xml).trim_matches(is_json_space).into()),
        Media::Text => ("text/plain; charset=utf-8", text(&payload.xml).into_owned().into_bytes()),
        Media::Atom => ("application/atom+xml", payload.xml.to_vec()),
        Media::Xml => ("application/xml", payload.xml.to_vec()),
    }
}

/// The payload as a JSON value on one line, as it stands as `data` in a stream of events: JSON as
/// it is, all else as a string.
pub fn to_json(payload: &Payload) -> String {
    let string = |text: &str| serde_json::Value::from(text).to_string();
    match payload.media {
        // A line break in JSON can only be white space between its tokens (RFC 8259 §7): within
        // strings it is an escape.
        Media::Json => text(&payload.xml).trim_matches(is_json_space).replace(['\r', '\n'], " "),
        Media::Text => string(&text(&payload.xml)),
        Media::Atom | Media::Xml => string(&String::from_utf8_lossy(&payload.xml)),
    }
}

/// The payload as it travels in XMPP: one element with its namespace declared.
pub fn to_xml(payload: &Payload) -> &[u8] {
    &payload.xml
}

/// The text in a container.
pub(super) fn text(xml: &[u8]) -> Cow<'_, str> {
    if let Some(text) = std::str::from_utf8(xml).ok().and_then(canonical_text) {
        return text;
    }
    // Not as this version writes it: read it with care, and rather show the element than nothing.
    let limits = Limits { stanza_bytes: usize::MAX, ..Limits::authenticated() };
    match parse_document(xml, &limits) {
        Ok(element) => Cow::Owned(element.text()),
        Err(_) => String::from_utf8_lossy(xml),
    }
}

/// The text of an element in canonical form: what is between its two tags, where `>` stands for
/// nothing but the end of a tag.
fn canonical_text(xml: &str) -> Option<Cow<'_, str>> {
    let (open, rest) = xml.split_once('>')?;
    if open.ends_with('/') {
        return rest.is_empty().then_some(Cow::Borrowed(""));
    }
    let (inner, close) = rest.split_once('<')?;
    let is_close = close.starts_with('/') && close.ends_with('>') && !close.contains('<');
    let is_open = open.starts_with('<') && !open[1..].contains(['<', '!', '?']);
    (is_open && is_close).then(|| unescape(inner)).flatten()
}

fn unescape(text: &str) -> Option<Cow<'_, str>> {
    let Some(first) = text.find(['&', '\r']) else { return Some(Cow::Borrowed(text)) };
    let mut out = String::with_capacity(text.len());
    out.push_str(&text[..first]);
    let mut rest = &text[first..];
    while !rest.is_empty() {
        let (name, after) = rest.strip_prefix('&')?.split_once(';')?;
        out.push(match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => char::from_u32(name.strip_prefix('#')?.parse().ok()?)?,
        });
        let next = after.find(['&', '\r']).unwrap_or(after.len());
        out.push_str(&after[..next]);
        rest = &after[next..];
    }
    Some(Cow::Owned(out))
}
