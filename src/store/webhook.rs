//! Endpoints that are called with what happens at a node.

use std::fmt;
use std::sync::Arc;

use crate::jid::BareJid;
use crate::pubsub::{NodeAddress, NodeKey, Seq};
use crate::time::Timestamp;

/// One endpoint: a watcher of a node, with a position that is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    pub id: String,
    pub address: NodeAddress,
    pub node: NodeKey,
    /// With whose rights it reads.
    pub owner: BareJid,
    pub url: String,
    /// Names of kinds of events; none is all.
    pub types: Vec<String>,
    /// The key of its signatures.
    pub key: Vec<u8>,
    /// One delivery at a time, in the order of the log.
    pub ordered: bool,
    pub created: Timestamp,
    /// Why nothing is delivered any more.
    pub disabled: Option<String>,
    /// Since when nothing but failure has come of it.
    pub failing_since: Option<Timestamp>,
    /// Everything up to here was delivered, is parked, or was not asked for.
    pub position: Seq,
}

/// A delivery that has failed: to be tried again, or given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    pub seq: Seq,
    pub attempts: u32,
    /// When it is tried again; none for a dead letter.
    pub due: Option<Timestamp>,
    /// What became of the last attempt.
    pub error: String,
    /// What is sent, as it was encoded when it was first sent.
    pub body: Arc<[u8]>,
}

/// One attempt to deliver, as the log of an endpoint has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// Counted from the endpoint's first; the latest [`ATTEMPTS_KEPT`] are kept.
    pub number: u64,
    pub seq: Seq,
    /// Of this delivery, from 1.
    pub attempt: u32,
    pub time: Timestamp,
    pub took_ms: u64,
    pub outcome: String,
    pub success: bool,
}

/// Attempts that are kept of one endpoint.
pub const ATTEMPTS_KEPT: u64 = 100;

/// What has become of an endpoint's deliveries, to be kept as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    pub id: String,
    pub position: Seq,
    pub failing_since: Option<Timestamp>,
    /// New, or again.
    pub parked: Vec<Parked>,
    /// Parked ones that were delivered.
    pub delivered: Vec<Seq>,
    /// New ones of the log.
    pub attempts: Vec<Attempted>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook {{ id: {}, node: {}, position: {} }}", self.id, self.address, self.position.0)
    }
}
