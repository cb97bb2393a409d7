//! What is done between turns: logs that have grown too old or too large are cut, and what nobody can
//! ask for any more is forgotten.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Turns;
use crate::engine::{Committed, Sink};
use crate::pubsub::{Event, EventKind, Node, NodeAddress, NodeState};
use crate::store::{Ask, Failure, Found, NodeCommit};
use crate::time::Timestamp;

impl Turns {
    pub(super) fn count_logged(&mut self, commits: &[NodeCommit]) {
        let counters = &self.shared.counters;
        counters.commits.fetch_add(1, Ordering::Relaxed);
        let events = || commits.iter().flat_map(|commit| &commit.events);
        let publications = events().filter(|event| matches!(event.kind, EventKind::Published { .. })).count();
        counters.events.fetch_add(events().count() as u64, Ordering::Relaxed);
        counters.publications.fetch_add(publications as u64, Ordering::Relaxed);
        for commit in commits {
            let bytes: u64 = commit.events.iter().map(weight).sum();
            if self.logged.len() < LOGGED_NODES_MAX || self.logged.contains_key(&commit.node.address) {
                *self.logged.entry(commit.node.address.clone()).or_default() += bytes;
            }
        }
    }

    /// Moves floors that age and size have overtaken, and forgets old tombstones.
    pub(super) async fn tend(&mut self, sink: &dyn Sink) {
        let retention = self.shared.options.retention;
        let now = self.shared.clock.now();
        let mut due: Vec<NodeAddress> = Vec::new();
        let share = retention.bytes / 8;
        due.extend(self.logged.iter().filter(|(_, bytes)| **bytes > share).map(|(address, _)| address.clone()));
        due.iter().for_each(|address| {
            self.logged.remove(address);
        });
        if self.logged.len() >= LOGGED_NODES_MAX {
            self.logged.clear();
        }
        // Each kind by its own time: or those that are kept longer would stand before the others.
        for (keeps_items, seconds) in [(true, retention.seconds), (false, retention.transient_seconds_of_all())] {
            match self.shared.store.stale_logs(keeps_items, now.plus_seconds(-seconds), STALE_LOGS_MAX).await {
                Ok(stale) => due.extend(stale),
                Err(failure) => tracing::warn!(%failure, "logs that have grown old cannot be listed"),
            }
        }
        for address in due {
            if let Err(failure) = self.trim(&address, now, sink).await {
                tracing::warn!(%failure, node = %address, "a log could not be trimmed");
            }
        }
        let forgotten = self.shared.store.forget_tombstones(now.plus_seconds(-retention.tombstone_seconds)).await;
        if let Err(failure) = forgotten {
            tracing::warn!(%failure, "old tombstones could not be forgotten");
        }
        if let Err(failure) = self.shared.store.forget_memos(now).await {
            tracing::warn!(%failure, "answers under idempotency keys that have expired could not be forgotten");
        }
    }

    async fn trim(&mut self, address: &NodeAddress, now: Timestamp, sink: &dyn Sink) -> Result<(), Failure> {
        let found = self.shared.store.gather(vec![Ask::Node(address.clone())]).await?;
        let Some(Found::Node(NodeState::Present(node))) = found.into_iter().next() else { return Ok(()) };
        let retention = self.shared.options.retention;
        let since = now.plus_seconds(-retention.seconds_of(&node));
        let floor = self.shared.store.floor_for(node.key, since, retention.bytes).await?;
        if floor <= node.floor_seq {
            return Ok(());
        }
        let after = Node { floor_seq: floor, version: node.version + 1, ..(*node).clone() };
        let commit = NodeCommit {
            node: after.clone(),
            expected_version: node.version,
            changes: Vec::new(),
            events: Vec::new(),
            trim_from: Some(node.floor_seq),
            memos: Vec::new(),
        };
        self.shared.store.commit(vec![commit]).await?;
        let after = Arc::new(after);
        self.cache.change(address, |hot| hot.state = NodeState::Present(after.clone()));
        if let Some(tail) = self.shared.tails.of(after.key) {
            self.shared.tails.append(&tail, &after, &[], &[]);
        }
        sink.committed(&Committed {
            node: &after,
            changes: &[],
            events: &[],
            before: after.last_seq,
            by: None,
            tails: &self.shared.tails,
        });
        Ok(())
    }
}

fn weight(event: &Event) -> u64 {
    match &event.kind {
        EventKind::Published { payload: Some(payload), .. } => payload.xml.len() as u64,
        _ => 0,
    }
}

/// Nodes whose logged bytes are counted between two tendings.
const LOGGED_NODES_MAX: usize = 100_000;
/// Logs trimmed because of age in one tending.
const STALE_LOGS_MAX: usize = 256;
