//! Turns: requests become decisions, decisions become one commit, commits become replies.
//!
//! All requests take one queue. A turn takes what has queued up, gathers the facts that are not in
//! the cache, decides each request against the facts *and the turn's private overlay*, commits the
//! whole in one transaction, and only then merges the overlay into the cache, lengthens the tails,
//! tells the [`Sink`] and answers. If the commit fails, the overlay is dropped and everyone is
//! answered honestly. There is no timed window: the batch is what queued up during the last turn.
//!
//! Not here: rules (`pubsub`), SQL (`store`), sockets and who is woken (`delivery`).

mod tail;

use std::sync::Arc;

use crate::jid::BareJid;
use crate::pubsub::{
    Affiliation, Change, Node, NodeAddress, NodeId, NodeKey, Refusal, Reply, Request, Seq, Subscription,
};
use crate::store::{Failure, Item, List};

pub use tail::Entry;

/// The success of a request, with what was read where it was a reading.
#[derive(Clone, Debug)]
pub struct Answered {
    pub answer: Answer,
    /// Where the node's log stands with this answer: what follows this position is news to whoever
    /// has the answer. Absent where no node was concerned.
    pub at: Option<Position>,
}

#[derive(Clone, Debug)]
pub enum Answer {
    /// Never `Reply::Read`, which becomes one of the following.
    Reply(Reply),
    Items {
        node: Arc<Node>,
        list: List<Item>,
    },
    SubscriptionsOf(List<(NodeId, Subscription)>),
    AffiliationsOf(List<(NodeId, Affiliation)>),
    NodeSubscriptions(List<Subscription>),
    NodeAffiliations(List<(BareJid, Affiliation)>),
    Nodes(List<Node>),
}

/// A place in one node's log: everything up to and including `seq` is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub node: NodeKey,
    pub seq: Seq,
}

/// Why there is no success: the caller's fault, the storage's, or too much to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Wrong {
    Refused(Refusal),
    Failed(Failure),
    /// The queue is full; nothing was done; try again later.
    Overloaded,
}

/// Who is told of commits, before the requesters are answered. Called from the turn: must not wait.
pub trait Sink: Send + Sync + 'static {
    fn committed(&self, commit: &Committed<'_>);
}

/// One node's part of a commit.
pub struct Committed<'a> {
    pub node: &'a Arc<Node>,
    pub address: &'a NodeAddress,
    pub changes: &'a [Change],
    pub entries: &'a [Arc<Entry>],
}

/// The engine, to be cloned and handed about.
#[derive(Clone)]
pub struct Engine {}

impl Engine {
    /// Asks, and waits for the answer. The request takes its place in the order of all requests when
    /// the future is polled for the first time; dropping it afterwards does not take it back.
    pub async fn ask(&self, _request: Request) -> Result<Answered, Wrong> {
        todo!()
    }
}
