//! A watcher of one node that is not an XMPP session: an SSE stream, a long poll, a command.

use std::sync::Arc;

use crate::engine::{Entry, Position, Wrong};
use crate::jid::BareJid;
use crate::pubsub::{Caller, Node, NodeId, Seq};
use crate::store::Failure;

#[derive(Clone)]
pub struct Delivery {}

/// Where a follower begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what is committed from now on.
    Now,
    /// With the oldest event that is retained.
    Earliest,
    /// After this position. Must lie within the retained log: see [`Follower`].
    After(Seq),
}

/// What comes next. Entries come in order of seq, each once, and never without a right to read
/// that holds when they are handed out.
pub enum Followed {
    Entries(Vec<Arc<Entry>>),
    /// The position fell below what is retained (or was not in this log to begin with); the follower
    /// goes on from `earliest`.
    Reset {
        earliest: Position,
        latest: Position,
    },
    /// Nothing more will come.
    Ended(Ending),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// The node was deleted, and its last event was handed out.
    Deleted,
    /// The caller may not read any more.
    Forbidden,
    /// The server stops.
    Closing,
    Failed(Failure),
}

pub struct Follower {}

impl Delivery {
    /// Begins to follow; refused as any reading is.
    pub async fn follow(
        &self,
        _caller: Caller,
        _service: BareJid,
        _node: NodeId,
        _start: Start,
    ) -> Result<Follower, Wrong> {
        todo!()
    }
}

impl Follower {
    /// The node as it was when following began.
    pub fn node(&self) -> &Arc<Node> {
        todo!()
    }

    /// Everything up to here was handed out (or skipped by a reset).
    pub fn position(&self) -> Position {
        todo!()
    }

    /// Waits for what comes next. May be dropped and called again without loss.
    pub async fn next(&mut self) -> Followed {
        todo!()
    }
}
