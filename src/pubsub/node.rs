//! Nodes and how they are addressed.

use std::fmt;
use std::sync::Arc;

use crate::jid::{self, BareJid};
use crate::pubsub::{NodeConfig, Seq};
use crate::time::Timestamp;

/// The name of a node within its service, prepared as a resource (XEP-0060 §4.6.2).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    pub fn parse(text: &str) -> Option<Self> {
        jid::prepare_resource(text).ok().map(|prepared| NodeId(Arc::from(prepared.as_ref())))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A node's whole address: a service (`pubsub.example.org`, or an account's bare JID for PEP) and a
/// name there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeAddress {
    pub service: BareJid,
    pub node: NodeId,
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.node, self.service)
    }
}

/// A node's incarnation: a number that is never used twice in one store, so that a node created
/// again under an old name is another node to every cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeKey(pub i64);

/// What a decision must know of a node. Its size does not depend on how many items, subscriptions
/// or affiliations the node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub key: NodeKey,
    pub address: NodeAddress,
    pub config: Arc<NodeConfig>,
    pub creator: BareJid,
    pub created: Timestamp,
    /// The seq of the newest event; 0 before the first.
    pub last_seq: Seq,
    /// The oldest seq whose event the log still holds. A cursor is good from `floor_seq - 1` on.
    pub floor_seq: Seq,
    /// Current items.
    pub items: u64,
    /// Entries with affiliation owner; 0 of a node that the service keeps, and of no other.
    pub owners: u64,
    /// Subscriptions that are not pending.
    pub subscribers: u64,
    /// Grows with every commit that touches the node; a commit is conditional on it.
    pub version: u64,
}

impl Node {
    /// A node as it begins.
    pub(super) fn begin(
        key: NodeKey,
        address: NodeAddress,
        config: Arc<NodeConfig>,
        creator: BareJid,
        owners: u64,
        now: Timestamp,
    ) -> Self {
        Node {
            key,
            address,
            config,
            creator,
            created: now,
            last_seq: Seq(0),
            floor_seq: Seq(1),
            items: 0,
            owners,
            subscribers: 0,
            version: 1,
        }
    }
}
