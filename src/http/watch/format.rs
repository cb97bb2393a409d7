//! What a watcher has to say, in the form of its transport: blocks of an event stream, lines of JSON,
//! or the objects of a WebSocket or a long poll. A thin layer: the engine (`watcher`) is one.

use std::time::Duration;

use bytes::Bytes;

use crate::delivery::Cursors;
use crate::engine::Entry;
use crate::http::json::Object;
use crate::http::problem::Problem;
use crate::http::watch::event::{self, Block};
use crate::pubsub::{NodeConfig, NodeId};
use crate::store::Item;

/// How pieces look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `text/event-stream`
    Blocks,
    /// `application/x-ndjson`
    Lines,
    /// The objects alone.
    Objects,
}

/// The position of a client that is not in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    /// Which node's it is, where the watch is of several.
    pub(super) node: Option<NodeId>,
    pub(super) earliest: String,
    pub(super) latest: String,
    /// Whether the current state follows, until whose end the client has no position that would do.
    pub(super) initial: bool,
}

impl Format {
    pub(super) fn entry(self, entry: &Entry, cursors: &Cursors) -> Bytes {
        match self {
            Format::Blocks => event::entry(entry, cursors),
            Format::Lines => event::line(entry, cursors),
            Format::Objects => event::object_of(entry, cursors),
        }
    }

    /// The event of an entry for a watcher of several nodes, whose cursor this is.
    pub(super) fn entry_with(self, entry: &Entry, cursors: &Cursors, cursor: &str) -> Bytes {
        let object = event::object_with(entry, cursors, cursor);
        self.piece(entry.event.kind.name(), Some(cursor), object)
    }

    pub(super) fn current(self, node: &NodeId, item: &Item, config: &NodeConfig) -> Bytes {
        self.piece("published", None, event::current(node, item, config))
    }

    /// The cursor moves, and nothing is dispatched.
    pub(super) fn bookmark(self, cursor: &str) -> Bytes {
        if self == Format::Blocks {
            return Block::default().id(cursor).end().into_bytes();
        }
        let mut out = vec![];
        let mut object = Object::begin(&mut out);
        object.text("type", "bookmark");
        object.text("cursor", cursor);
        object.end();
        self.piece("bookmark", None, out)
    }

    /// Silence is broken.
    pub(super) fn idle(self, cursor: &str) -> Bytes {
        match self {
            Format::Blocks => Block::default().comment("").end().into_bytes(),
            Format::Lines | Format::Objects => self.bookmark(cursor),
        }
    }

    /// The position is gone: the same JSON as the problem before a stream opens.
    pub(super) fn reset(self, gone: &Gone) -> Bytes {
        let mut out = vec![];
        let mut object = Object::begin(&mut out);
        object.text("type", "reset");
        object.text("title", GONE_TITLE);
        object.number("status", 410);
        object.text("detail", GONE_DETAIL);
        if let Some(node) = &gone.node {
            object.text("node", node.as_str());
        }
        object.text("earliest", &gone.earliest);
        object.text("latest", &gone.latest);
        object.end();
        self.piece("reset", (!gone.initial).then_some(gone.earliest.as_str()), out)
    }

    /// The stream ends, and this is why.
    pub(super) fn end(self, problem: &Problem) -> Bytes {
        if self == Format::Blocks {
            return self.piece("end", None, problem.to_json());
        }
        let mut out = vec![];
        let mut object = Object::begin(&mut out);
        object.text("type", "end");
        object.raw("problem", &String::from_utf8_lossy(&problem.to_json()));
        object.end();
        self.piece("end", None, out)
    }

    /// The first bytes, so that whoever waits knows that the stream is open.
    pub(super) fn greeting(self, retry: Duration) -> Option<Bytes> {
        let block = || Block::default().retry(retry).comment("tidings").end().into_bytes();
        (self == Format::Blocks).then(block)
    }

    /// The server stops; the client should come back after this.
    pub(super) fn farewell(self, retry: Duration, stopping: &Problem) -> Bytes {
        match self {
            Format::Blocks => Block::default().retry(retry).end().into_bytes(),
            Format::Lines | Format::Objects => self.end(stopping),
        }
    }

    /// An object, which has no line break.
    fn piece(self, name: &'static str, cursor: Option<&str>, mut object: Vec<u8>) -> Bytes {
        match self {
            Format::Blocks => {
                let block = Block::default().event(name);
                let block = match cursor {
                    Some(cursor) => block.id(cursor),
                    None => block,
                };
                block.data(&object).end().into_bytes()
            }
            Format::Lines => {
                object.push(b'\n');
                object.into()
            }
            Format::Objects => object.into(),
        }
    }
}

impl Gone {
    /// The answer before a stream is open.
    pub(super) fn problem(&self) -> Problem {
        let problem = Problem::new(axum::http::StatusCode::GONE, "cursor-gone", GONE_TITLE, GONE_DETAIL)
            .member("earliest", &*self.earliest)
            .member("latest", &*self.latest);
        match &self.node {
            Some(node) => problem.member("node", node.as_str()),
            None => problem,
        }
    }
}

const GONE_TITLE: &str = "Cursor gone";
const GONE_DETAIL: &str = "the position is not in the log any more, or never was";
