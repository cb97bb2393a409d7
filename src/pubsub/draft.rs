//! A decision in the making: keeps the node's counters in step with what is changed and logged.

use std::sync::Arc;

use crate::pubsub::{Change, Decision, Event, EventKind, ItemFact, ItemId, Node, Reply, Seq, Share, Subscription};
use crate::time::Timestamp;

pub(super) struct Draft {
    pub(super) node: Node,
    changes: Vec<Change>,
    events: Vec<Event>,
    shares: Vec<Share>,
    now: Timestamp,
}

impl Decision {
    /// A reply that changes nothing.
    pub(super) fn answer(reply: Reply) -> Self {
        Decision { reply, node: None, changes: Vec::new(), events: Vec::new(), shares: Vec::new() }
    }
}

impl Draft {
    /// Of a node that does not exist yet, as it will be.
    pub(super) fn create(node: Node, now: Timestamp) -> Self {
        Draft { node, changes: vec![Change::CreateNode], events: Vec::new(), shares: Vec::new(), now }
    }

    /// Of a change to a node that exists.
    pub(super) fn over(node: &Node, now: Timestamp) -> Self {
        let node = Node { version: node.version + 1, ..node.clone() };
        Draft { node, changes: Vec::new(), events: Vec::new(), shares: Vec::new(), now }
    }

    /// Appends to the node's log.
    pub(super) fn log(&mut self, kind: EventKind) -> Seq {
        let seq = self.node.last_seq.next();
        self.node.last_seq = seq;
        self.events.push(Event { seq, time: self.now, kind });
        seq
    }

    pub(super) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Makes one subscription of another, or of none.
    pub(super) fn set_subscription(&mut self, before: Option<&Subscription>, subscription: Subscription) {
        let counted = before.is_some_and(Subscription::counts);
        match (counted, subscription.counts()) {
            (false, true) => self.node.subscribers += 1,
            (true, false) => self.node.subscribers = self.node.subscribers.saturating_sub(1),
            (true, true) | (false, false) => {}
        }
        self.change(Change::SetSubscription { subscription });
    }

    /// Keeps an item, whose publication was logged before, in the place of an older one if there was.
    pub(super) fn put_item(&mut self, fact: ItemFact, replaces: Option<Seq>) {
        if replaces.is_none() {
            self.node.items += 1;
        }
        self.change(Change::PutItem { fact, replaces });
    }

    /// Removes an item, and logs that it went.
    pub(super) fn remove_item(&mut self, fact: &ItemFact, notify: bool) {
        let item: ItemId = fact.id.clone();
        self.log(EventKind::Retracted { item, notify });
        self.node.items = self.node.items.saturating_sub(1);
        self.change(Change::RemoveItem { fact: fact.clone() });
    }

    /// Removes all items, and logs that they went.
    pub(super) fn purge(&mut self) {
        self.log(EventKind::Purged);
        self.node.items = 0;
        self.change(Change::Purge);
    }

    /// Whether anything is changed or logged, here or elsewhere.
    pub(super) fn is_touched(&self) -> bool {
        !self.changes.is_empty() || !self.events.is_empty() || !self.shares.is_empty()
    }

    /// What is done to another node with this.
    pub(super) fn share(&mut self, share: Share) {
        self.shares.push(share);
    }

    /// As what is done beside something else.
    pub(super) fn into_share(self, before: Option<&Arc<Node>>) -> Share {
        Share { before: before.cloned(), node: self.node, changes: self.changes, events: self.events }
    }

    /// The decision; one without a change or an event leaves the node as it is.
    pub(super) fn done(self, reply: Reply) -> Decision {
        let node = self.is_touched().then_some(self.node);
        Decision { reply, node, changes: self.changes, events: self.events, shares: self.shares }
    }
}
