//! How long the log keeps events.

use crate::pubsub::{Node, Seq};

/// An event is kept until one of these says no. Items are another matter: `max_items` bounds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub events: u64,
    pub seconds: i64,
    pub bytes: u64,
    /// Events kept of a node that keeps no items.
    pub transient_events: u64,
    pub transient_seconds: i64,
    /// How long a deleted node is remembered as deleted.
    pub tombstone_seconds: i64,
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            events: 10_000,
            seconds: 7 * 86_400,
            bytes: 64 << 20,
            transient_events: 1000,
            transient_seconds: 3600,
            tombstone_seconds: 7 * 86_400,
        }
    }
}

impl Retention {
    /// Where the floor of this node must move now because of the number of its events. A tenth more
    /// than is kept may gather before it moves, so that a full log is not trimmed at every event.
    pub fn floor_by_count(&self, node: &Node) -> Option<Seq> {
        let keep = self.events_of(node);
        let held = node.last_seq.0 + 1 - node.floor_seq.0.min(node.last_seq.0 + 1);
        (held > keep + keep / 10).then(|| Seq(node.last_seq.0 + 1 - keep))
    }

    pub fn seconds_of(&self, node: &Node) -> i64 {
        if node.config.persist_items { self.seconds } else { self.transient_seconds_of_all() }
    }

    /// How long events of nodes that keep no items stay.
    pub fn transient_seconds_of_all(&self) -> i64 {
        self.transient_seconds.min(self.seconds)
    }

    fn events_of(&self, node: &Node) -> u64 {
        if node.config.persist_items { self.events } else { self.transient_events.min(self.events) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::tail::tests::node;
    use crate::pubsub::NodeConfig;

    #[test]
    fn a_node_that_keeps_no_items_has_the_shorter_log() {
        let retention = Retention { events: 100, transient_events: 10, ..Retention::default() };
        let after = |persist_items: bool, last_seq: u64| {
            let node = node(1, "pubsub.localhost");
            let config = NodeConfig { persist_items, ..(*node.config).clone() };
            retention.floor_by_count(&Node { config: Arc::new(config), last_seq: Seq(last_seq), ..node })
        };
        // A tenth more may gather.
        assert_eq!([11, 12].map(|last| after(false, last)), [None, Some(Seq(3))]);
        assert_eq!([12, 110, 111].map(|last| after(true, last)), [None, None, Some(Seq(12))]);
    }
}
