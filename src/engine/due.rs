//! Items that go by themselves when their time has come (`pubsub#item_expire`).
//!
//! The store says which nodes have an item that is due, and when the next one will be; in between the
//! turns keep that instant in mind, so that nothing is looked for while nothing is due.

use std::time::Duration;

use tokio::sync::oneshot;

use super::turn::{Asked, Turns};
use super::{Answer, Answered, Wrong};
use crate::pubsub::{EventKind, Reply, Verb};
use crate::store::NodeCommit;
use crate::time::{Clock, Timestamp};

/// When to look for items that are due.
pub(super) struct Due {
    /// Absent while none will be.
    next: Option<Timestamp>,
    /// Not before this instant, after something went wrong.
    not_before: Option<tokio::time::Instant>,
    /// The nodes whose items are being let go, and how many items went.
    asked: Vec<oneshot::Receiver<Result<Answered, Wrong>>>,
    expired: usize,
}

impl Default for Due {
    /// At the start nothing is known: look at once.
    fn default() -> Self {
        Due { next: Some(Timestamp(0)), not_before: None, asked: Vec::new(), expired: 0 }
    }
}

impl Due {
    /// Waits until there may be something due. May be dropped and called again.
    pub async fn come(&mut self, clock: &dyn Clock) {
        while let Some(answer) = self.asked.last_mut() {
            if let Ok(Ok(answered)) = answer.await
                && let Answer::Reply(Reply::Expired { items }) = answered.answer
            {
                self.expired += items;
            }
            self.asked.pop();
            if self.asked.is_empty() {
                // More may be due at these nodes, or at others; where nothing could be done, it is tried later.
                self.next = Some(Timestamp(0));
                self.not_before = (self.expired == 0).then(|| tokio::time::Instant::now() + RETRY_PAUSE);
            }
        }
        let Some(next) = self.next else { return std::future::pending().await };
        if let Some(not_before) = self.not_before {
            tokio::time::sleep_until(not_before).await;
        }
        // The wall clock may be set while this waits, so that it never waits for long.
        while clock.now() < next {
            let micros = u64::try_from(next.0 - clock.now().0).unwrap_or(0);
            tokio::time::sleep(Duration::from_micros(micros).min(LOOK_INTERVAL_MAX)).await;
        }
    }

    /// Takes in what was committed: an item that came, or a node that shall keep items for another time.
    pub fn note(&mut self, commit: &NodeCommit, now: Timestamp) {
        let config = &commit.node.config;
        let configured = |kind: &EventKind| matches!(kind, EventKind::Configured { .. });
        let due = match config.due(now) {
            None => return,
            Some(_) if commit.events.iter().any(|event| configured(&event.kind)) => now,
            Some(due) => due,
        };
        if !commit.events.is_empty() {
            self.next = Some(self.next.map_or(due, |next| next.min(due)));
        }
    }
}

impl Turns {
    /// Asks for the items that are due to be let go, as requests like any other.
    pub(super) async fn expire(&mut self) {
        let now = self.shared.clock.now();
        let (nodes, next) = match self.shared.store.due_items(now, NODES_AT_ONCE).await {
            Ok(found) => found,
            Err(failure) => {
                tracing::warn!(%failure, "items that are due to go cannot be listed");
                self.due.not_before = Some(tokio::time::Instant::now() + RETRY_PAUSE);
                return;
            }
        };
        (self.due.next, self.due.not_before, self.due.expired) = (next, None, 0);
        for address in nodes {
            let verb = Verb::Expire { node: address.node.clone() };
            let (asked, answer) = Asked::by_service(address, verb);
            self.waiting.push_back(asked);
            self.due.asked.push(answer);
        }
    }
}

/// Nodes whose items are let go in one turn.
const NODES_AT_ONCE: usize = 64;
/// Before it is tried again where nothing could be let go: the disk may be full.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// The wall clock is looked at this often, for it may be set.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(60);
