//! What a caller was answered under an idempotency key, so that asking again is answered again.

use std::sync::Arc;

use crate::jid::BareJid;
use crate::pubsub::{NodeAddress, NodeKey, Published};
use crate::time::Timestamp;

/// A key is its caller's and its node's: two callers, or two nodes, may use the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemoKey {
    pub caller: BareJid,
    pub address: NodeAddress,
    pub key: Arc<str>,
}

/// The answer to a publish, kept in the transaction that published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memo {
    pub key: MemoKey,
    /// A hash of what was asked: the same key with another request is a mistake of the caller.
    pub fingerprint: [u8; 32],
    /// The node that was published to; a node of the same name may be another one by now.
    pub node: NodeKey,
    pub created: bool,
    pub items: Vec<Published>,
    /// From then on the key is free again.
    pub expires: Timestamp,
}
