//! What a node's log is made of.

use std::sync::Arc;

use crate::jid::BareJid;
use crate::pubsub::{ItemId, NodeConfig, NodeId, Payload, Seq};
use crate::time::Timestamp;

/// One entry of a node's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub seq: Seq,
    pub time: Timestamp,
    pub kind: EventKind,
}

/// The table of events: what the log holds and what a watcher may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// An item was published, new or over an older one.
    Published {
        /// Absent only on a node that is transient and notifies without payload (XEP-0060 §4.3).
        item: Option<ItemId>,
        publisher: BareJid,
        /// Absent when none was published, and in the log once the item has been retracted.
        payload: Option<Payload>,
        /// The log position of the publication that this one overwrote.
        replaces: Option<Seq>,
    },
    /// An item went, by request or because `max_items` or expiry said so.
    Retracted {
        item: ItemId,
        /// Whether XMPP subscribers are told (XEP-0060 §7.2.2.1); HTTP watchers always are.
        notify: bool,
    },
    Purged,
    /// The configuration that holds from here on.
    Configured {
        config: Arc<NodeConfig>,
    },
    /// A node came into the collection (XEP-0248 §5.3).
    Associated {
        node: NodeId,
        /// Where its log stood.
        at: Seq,
        /// It was created in the collection.
        created: bool,
        /// Only those may know of it who have to do with it.
        hidden: bool,
    },
    /// A node went out of the collection.
    Dissociated {
        node: NodeId,
        /// It was deleted, which its own log tells.
        deleted: bool,
        /// Only those may know of it who have to do with it.
        hidden: bool,
    },
    /// The last event of a node.
    Deleted {
        /// Where its subscribers may look instead (XEP-0060 §8.4.1).
        redirect: Option<Arc<str>>,
    },
}

impl EventKind {
    /// What the kinds are called wherever they are named in text, each at its [`EventKind::index`].
    pub const NAMES: [&str; 7] =
        ["published", "retracted", "purged", "configured", "associated", "dissociated", "deleted"];

    pub fn index(&self) -> usize {
        match self {
            EventKind::Published { .. } => 0,
            EventKind::Retracted { .. } => 1,
            EventKind::Purged => 2,
            EventKind::Configured { .. } => 3,
            EventKind::Associated { .. } => 4,
            EventKind::Dissociated { .. } => 5,
            EventKind::Deleted { .. } => 6,
        }
    }

    pub fn name(&self) -> &'static str {
        Self::NAMES[self.index()]
    }
}
