//! Subscriptions to collections (XEP-0248 §6.1): what happens at the nodes below a collection stands in
//! their own logs, so that whoever is subscribed to it watches those too, as far down as it wants.
//!
//! Each of them is a watch of its own, with a right of its own, under the subscription to the collection.
//! Which they are is read once, and again whenever a collection among them says that it has changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{Done, Feed, Group, Handle, Watch};
use crate::delivery::Shared;
use crate::delivery::recent::{Hold, Moment};
use crate::engine::{Entry, Tail, Wrong};
use crate::jid::Jid;
use crate::pubsub::{EventKind, Kinds, Node, NodeAddress, NodeKey, Seq, SubId, Subscription};
use crate::store::Failure;

/// By way of which collection a node is watched.
#[derive(Clone, Debug)]
pub(super) struct Via {
    pub root: NodeKey,
    pub address: Arc<NodeAddress>,
    /// Steps from the collection down to the node.
    distance: u32,
}

/// What is watched under a subscription to a collection.
#[derive(Default)]
pub(super) struct Gathered {
    members: HashSet<NodeKey>,
    /// It is being read.
    busy: bool,
    /// It has changed meanwhile.
    again: Option<Moment>,
    /// Where members were that had not been shown all when the subscription got other options.
    positions: HashMap<NodeKey, Seq>,
}

/// What was found below a collection, and what had been committed since it was asked.
pub(super) struct Found {
    key: (NodeKey, SubId),
    hold: Hold,
    below: Result<Vec<(Arc<Tail>, Node, u32)>, Failure>,
}

/// Which events a subscription tells of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    kinds: Kinds,
    /// Steps that may still be gone down from the node.
    steps: u32,
    below: bool,
}

impl Scope {
    pub fn of(subscription: &Subscription, via: Option<&Via>) -> Self {
        let (kinds, steps) = (subscription.options.kinds, subscription.options.depth.steps());
        Scope { kinds, steps: steps.saturating_sub(via.map_or(0, |via| via.distance)), below: via.is_some() }
    }

    /// XEP-0248 §6.1. Of the node itself that was subscribed to, its own fate is told in any case.
    pub fn has(self, entry: &Entry) -> bool {
        match entry.event.kind {
            EventKind::Published { .. } | EventKind::Retracted { .. } | EventKind::Purged => {
                !self.below || self.kinds.has_items()
            }
            EventKind::Configured { .. } | EventKind::Deleted { .. } => !self.below || self.kinds.has_nodes(),
            EventKind::Associated { .. } | EventKind::Dissociated { .. } => self.steps > 0 && self.kinds.has_nodes(),
        }
    }
}

/// Whether what is below a node may be another than before this event.
pub(super) fn changes_graph(entry: &Entry) -> bool {
    match &entry.event.kind {
        EventKind::Associated { .. } | EventKind::Dissociated { .. } => true,
        EventKind::Configured { config } => config.is_collection(),
        EventKind::Deleted { .. } => entry.config.is_collection(),
        EventKind::Published { .. } | EventKind::Retracted { .. } | EventKind::Purged => false,
    }
}

impl Feed {
    /// Watches what is below a node that was subscribed to, if it is a collection. What was committed there
    /// since the moment is shown.
    pub(super) fn gather(&mut self, key: (NodeKey, SubId), since: Moment) {
        let Some(watch) = self.by_subscription.get(&key).and_then(|id| self.watches.get(id)) else { return };
        let subscription = watch.subscriptions.iter().find(|one| one.subid == key.1);
        let depth = subscription.map_or(0, |one| one.options.depth.steps());
        if depth == 0 || watch.via.is_some() || !watch.tail.config().is_collection() {
            return;
        }
        let gathered = self.collections.entry(key.clone()).or_default();
        if std::mem::replace(&mut gathered.busy, true) {
            gathered.again = Some(gathered.again.map_or(since, |other| other.min(since)));
            return;
        }
        let (shared, hold) = (self.shared.clone(), self.shared.recent.hold(since));
        let max = self.inlet.whom.watches_max(&shared.options);
        self.work.push(Box::pin(async move {
            let below = shared.below(key.0, depth, max).await;
            Done::Gathered(Found { key, hold, below })
        }));
    }

    /// A collection that is watched has changed, with what followed this position of its log.
    pub(super) fn gather_again(&mut self, key: (NodeKey, SubId), changed: NodeKey, before: Seq) {
        // Whoever was away for longer than is remembered goes on from here.
        let since = self.shared.recent.moment_of(changed, before).unwrap_or_else(|| self.shared.recent.moment());
        self.gather(key, since);
    }

    pub(super) fn gathered(&mut self, found: Found) {
        let Found { key, hold, below } = found;
        let Some(gathered) = self.collections.get_mut(&key) else { return };
        gathered.busy = false;
        let again = gathered.again.take();
        let before = std::mem::take(&mut gathered.members);
        let mut positions = std::mem::take(&mut gathered.positions);
        let (Ok(below), Some(grown)) = (below, hold.grown()) else {
            tracing::error!(session = %self.inlet.whom, "what is below a collection cannot be read");
            self.behind = Some(super::Behind::Unreadable);
            return;
        };
        let root = self.by_subscription.get(&key).and_then(|id| self.watches.get(id));
        let Some((root, subscription)) = root.and_then(|watch| {
            Some((watch.tail.address().clone(), watch.subscriptions.iter().find(|one| one.subid == key.1)?.clone()))
        }) else {
            return;
        };
        let mut members = HashSet::new();
        for (tail, node, distance) in below {
            members.insert(node.key);
            let via = Via { root: key.0, address: root.clone(), distance };
            let member = (node.key, key.1.clone());
            match self.by_subscription.get(&member).and_then(|id| self.watches.get_mut(id)) {
                Some(watch) => watch.via = Some(via),
                None => {
                    let position = grown.get(&node.key).map_or(node.last_seq, |before| node.last_seq.min(*before));
                    let position = positions.remove(&node.key).map_or(position, |kept| position.min(kept));
                    self.watch_below(tail, subscription.clone(), position, via);
                }
            }
        }
        for gone in before.into_iter().filter(|gone| !members.contains(gone)) {
            let member = (gone, key.1.clone());
            let watch = self.by_subscription.get(&member).and_then(|id| self.watches.get(id));
            // The end of a node that was deleted is shown yet.
            if watch.is_some_and(|watch| watch.tail.last_words().is_none()) {
                self.unwatch(&member);
            }
        }
        if let Some(gathered) = self.collections.get_mut(&key) {
            gathered.members = members;
        }
        if let Some(since) = again {
            self.gather(key, since);
        }
    }

    fn watch_below(&mut self, tail: Arc<Tail>, subscription: Subscription, position: Seq, via: Via) {
        if self.watches.len() >= self.inlet.whom.watches_max(&self.shared.options) {
            tracing::warn!(session = %self.inlet.whom, node = %tail.address(), "too many nodes of collections to watch");
            return;
        }
        let key = (tail.key(), subscription.subid.clone());
        let alone = subscription.options.digest || self.inlet.whom.session().is_none();
        let group = Group { node: key.0, root: via.root, bare: matches!(subscription.jid, Jid::Bare(_)) };
        if !alone
            && let Some(id) = self.live.get(&group).copied()
            && let Some(watch) = self.watches.get_mut(&id)
        {
            // What it has shown, it has shown to this address.
            watch.subscriptions.push(subscription);
            self.by_subscription.insert(key, id);
            return self.queue(id);
        }
        let id = self.next_watch;
        self.next_watch += 1;
        let handle = Arc::new(Handle { inlet: self.inlet.clone(), watch: id, pending: AtomicBool::new(false) });
        let mut watch = Watch::new(tail, handle, subscription, position, &self.shared);
        watch.via = Some(via);
        self.watches.insert(id, Box::new(watch));
        self.by_subscription.insert(key, id);
        if !alone {
            self.live.insert(group, id);
        }
        self.queue(id);
    }

    /// Remembers where the members of a collection are, whose subscription is about to be watched anew.
    pub(super) fn keep_positions(&mut self, key: &(NodeKey, SubId)) -> HashMap<NodeKey, Seq> {
        let members = self.collections.get(key).into_iter().flat_map(|gathered| &gathered.members);
        let at = |member: &NodeKey| {
            let id = self.by_subscription.get(&(*member, key.1.clone()))?;
            Some((*member, self.watches.get(id)?.position))
        };
        members.filter_map(at).collect()
    }

    pub(super) fn go_on_from(&mut self, key: &(NodeKey, SubId), positions: HashMap<NodeKey, Seq>) {
        if !positions.is_empty() {
            self.collections.entry(key.clone()).or_default().positions = positions;
        }
    }

    /// The watch of a subscribed node has ended: what was watched below it is no more.
    pub(super) fn scatter(&mut self, key: &(NodeKey, SubId)) {
        for member in self.collections.remove(key).into_iter().flat_map(|gathered| gathered.members) {
            self.unwatch(&(member, key.1.clone()));
        }
    }
}

impl Shared {
    async fn below(&self, root: NodeKey, depth: u32, max: usize) -> Result<Vec<(Arc<Tail>, Node, u32)>, Failure> {
        let found = self.engine.store().read_descendants(root, depth, max).await?;
        let nodes = found.iter().map(|(node, _)| Arc::new(node.clone())).collect();
        let tails = self.engine.tails(nodes).await.map_err(|wrong| match wrong {
            Wrong::Failed(failure) => failure,
            Wrong::Refused(_) | Wrong::Overloaded => Failure::Read("the tails of nodes were refused".to_owned()),
        })?;
        // A node that is gone has no tail.
        Ok(tails.into_iter().zip(found).filter_map(|(tail, (node, distance))| Some((tail?, node, distance))).collect())
    }
}
