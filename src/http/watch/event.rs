//! How an event looks: the objects of events, and the blocks in which an event stream bears them
//! (WHATWG HTML §9.2).
//!
//! The block of an entry is the same for all its watchers, cursor included: it is made once and kept
//! with the entry. Its data is one line of JSON, so the other forms are parts of it.

use std::time::Duration;

use bytes::Bytes;

use crate::delivery::{CURSOR_CHARS, Cursors};
use crate::engine::{Entry, Position};
use crate::http::json::{Object, Shown, write_config};
use crate::payload;
use crate::pubsub::{EventKind, NodeConfig, NodeId};
use crate::store::Item;

/// Some lines of a stream. What comes from others goes through [`Block::data`] only.
#[derive(Default)]
pub(super) struct Block(Vec<u8>);

impl Block {
    pub(super) fn event(self, name: &'static str) -> Self {
        self.field("event", name.as_bytes())
    }

    /// A cursor of ours, which has no line break.
    pub(super) fn id(self, cursor: &str) -> Self {
        self.field("id", cursor.as_bytes())
    }

    pub(super) fn retry(self, wait: Duration) -> Self {
        self.field("retry", wait.as_millis().to_string().as_bytes())
    }

    pub(super) fn comment(mut self, text: &'static str) -> Self {
        self.0.push(b':');
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'\n');
        self
    }

    /// A line for each line. CR and CRLF end one too, or a CR could begin a field of its own.
    pub(super) fn data(mut self, text: &[u8]) -> Self {
        let mut rest = text;
        loop {
            let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            self = self.field("data", &rest[..end.unwrap_or(rest.len())]);
            let Some(end) = end else { return self };
            rest = &rest[end..];
            rest = rest.strip_prefix(b"\r\n").unwrap_or(&rest[1..]);
        }
    }

    /// Ends the event: what was named is dispatched.
    pub(super) fn end(mut self) -> Self {
        self.0.push(b'\n');
        self
    }

    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from(self.0)
    }

    fn field(mut self, name: &str, value: &[u8]) -> Self {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
        self
    }
}

/// The event of an entry as a block, made once.
pub(super) fn entry(entry: &Entry, cursors: &Cursors) -> Bytes {
    let make = || {
        let cursor = cursors.encode(Position { node: entry.key, seq: entry.event.seq });
        let data = object(entry, &cursor);
        Block::default().event(entry.event.kind.name()).id(&cursor).data(&data).end().into_bytes()
    };
    entry.http.get_or_init(make).clone()
}

/// The same as a line of JSON, which shares the block's bytes.
pub(super) fn line(entry: &Entry, cursors: &Cursors) -> Bytes {
    let block = self::entry(entry, cursors);
    block.slice(data_begin(&entry.event.kind)..block.len() - 1)
}

/// The same without its line end.
pub(super) fn object_of(entry: &Entry, cursors: &Cursors) -> Bytes {
    let block = self::entry(entry, cursors);
    block.slice(data_begin(&entry.event.kind)..block.len() - 2)
}

/// The same with another cursor, that of a watcher of several nodes.
pub(super) fn object_with(entry: &Entry, cursors: &Cursors, cursor: &str) -> Vec<u8> {
    let block = self::entry(entry, cursors);
    let name = entry.event.kind.name();
    // What follows the cursor is the same for everybody.
    let rest = data_begin(&entry.event.kind) + OBJECT_BEGIN.len() + name.len() + OBJECT_CURSOR.len() + CURSOR_CHARS;
    let rest = &block[rest..block.len() - 2];
    let mut out = Vec::with_capacity(64 + cursor.len() + rest.len());
    for part in [OBJECT_BEGIN, name, OBJECT_CURSOR, cursor] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(rest);
    out
}

/// Where the JSON begins in the block of an entry.
fn data_begin(kind: &EventKind) -> usize {
    "event: \nid: \ndata: ".len() + kind.name().len() + CURSOR_CHARS
}

/// A current item, as the publication that it stands on. It bears no cursor: a client that breaks off
/// among these must begin again.
pub(super) fn current(node: &NodeId, item: &Item, config: &NodeConfig) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut object = Object::begin(&mut out);
    object.text("type", "published");
    object.text("node", node.as_str());
    object.text("id", item.fact.id.as_str());
    object.plain("time", item.fact.published);
    if let Some(publisher) = config.told_publisher(&item.fact.publisher) {
        object.text("publisher", publisher.as_str());
    }
    if let Some(held) = item.payload.as_ref().filter(|_| config.deliver_payloads) {
        object.raw("data", &payload::to_json(held));
    }
    object.end();
    out
}

fn object(entry: &Entry, cursor: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut object = Object::begin(&mut out);
    object.text("type", entry.event.kind.name());
    object.text("cursor", cursor);
    object.text("node", entry.address.node.as_str());
    match &entry.event.kind {
        EventKind::Published { item, publisher, payload, .. } => {
            if let Some(item) = item {
                object.text("id", item.as_str());
            }
            object.plain("time", entry.event.time);
            if let Some(publisher) = entry.config.told_publisher(publisher) {
                object.text("publisher", publisher.as_str());
            }
            if let Some(held) = payload.as_ref().filter(|_| entry.config.deliver_payloads) {
                object.raw("data", &payload::to_json(held));
            }
        }
        EventKind::Retracted { item, .. } => {
            object.text("id", item.as_str());
            object.plain("time", entry.event.time);
        }
        EventKind::Purged => object.plain("time", entry.event.time),
        EventKind::Configured { config } => {
            object.plain("time", entry.event.time);
            let mut fields = object.object("config");
            write_config(&mut fields, config, Shown::Metadata);
            fields.end();
        }
        EventKind::Associated { node, .. } | EventKind::Dissociated { node, .. } => {
            object.text("child", node.as_str());
            object.plain("time", entry.event.time);
        }
        EventKind::Deleted { redirect } => {
            object.plain("time", entry.event.time);
            if let Some(redirect) = redirect {
                object.text("redirect", redirect);
            }
        }
    }
    object.end();
    out
}

/// How an object of [`object`] begins, up to its type and up to its cursor.
const OBJECT_BEGIN: &str = "{\"type\":\"";
const OBJECT_CURSOR: &str = "\",\"cursor\":\"";

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
