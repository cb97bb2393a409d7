//! Who may read, and what a watcher is shown.

use crate::pubsub::{Affiliation, Event, NodeConfig, Role};

/// May an entity read this node: subscribe, retrieve, and be notified (XEP-0060 §4.1, §4.5)?
pub fn may_read(_config: &NodeConfig, _affiliation: Affiliation, _role: Role) -> bool {
    todo!()
}

/// Is an XMPP subscriber shown this event, under the configuration with which it was committed?
pub fn shows(_config: &NodeConfig, _event: &Event) -> bool {
    todo!()
}
