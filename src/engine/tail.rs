//! The recent events of a node, in memory, shared by all its watchers.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::pubsub::{Event, NodeAddress, NodeConfig, NodeKey};

/// One event as watchers share it.
pub struct Entry {
    pub key: NodeKey,
    pub address: Arc<NodeAddress>,
    pub event: Event,
    /// The configuration under which it was committed, which says how it is shown.
    pub config: Arc<NodeConfig>,
    /// The XMPP body, made by the first who needs it.
    pub xmpp: OnceLock<Bytes>,
    /// The HTTP form, made by the first who needs it.
    pub http: OnceLock<Bytes>,
}
