//! One node with everything that belongs to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Kept;
use crate::jid::BareJid;
use crate::pubsub::{
    Affiliation, Change, Event, EventKind, ItemFact, ItemId, Node, Payload, Payloads, Seq, SubscriptionState,
};
use crate::store::Item;
use crate::store::batch::PurgeBounds;
use crate::store::page::SubscriptionEdge;

impl Kept {
    /// The node with its newest item, if it has one.
    pub(super) fn with_newest(&self) -> Option<(Node, Item)> {
        let newest = self.facts().pop()?;
        Some(((*self.node).clone(), self.item(newest, Payloads::Read)))
    }

    pub(super) fn new(node: &Node) -> Self {
        Kept {
            node: Arc::new(node.clone()),
            log: BTreeMap::new(),
            items: HashMap::new(),
            created: HashMap::new(),
            affiliations: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
        }
    }

    pub(super) fn apply(&mut self, change: &Change, purges: &mut PurgeBounds<'_>) {
        match change {
            Change::CreateNode | Change::DeleteNode { .. } | Change::Associate { .. } | Change::Dissociate { .. } => {}
            Change::Purge => {
                let below = purges.next();
                self.items.retain(|_, seq| *seq >= below);
                let items = &self.items;
                self.created.retain(|id, _| items.contains_key(id));
                self.log.range_mut(..below).for_each(|(_, event)| erase(event));
            }
            Change::PutItem { fact, .. } => {
                self.created.entry(fact.id.clone()).or_insert(fact.seq);
                self.items.insert(fact.id.clone(), fact.seq);
            }
            Change::RemoveItem { fact } => {
                self.items.remove(&fact.id);
                self.created.remove(&fact.id);
                let mut next = Some(fact.seq);
                while let Some(event) = next.and_then(|seq| self.log.get_mut(&seq)) {
                    erase(event);
                    next = match &event.kind {
                        EventKind::Published { replaces, .. } => replaces.filter(|replaced| *replaced < event.seq),
                        _ => None,
                    };
                }
            }
            Change::SetAffiliation { jid, affiliation: Affiliation::None } => {
                self.affiliations.remove(jid);
            }
            Change::SetAffiliation { jid, affiliation } => {
                self.affiliations.insert(jid.clone(), *affiliation);
            }
            Change::SetSubscription { subscription } => {
                let edge = SubscriptionEdge::new(None, subscription);
                match subscription.state {
                    SubscriptionState::None => self.subscriptions.remove(&edge),
                    _ => self.subscriptions.insert(edge, subscription.clone()),
                };
            }
        }
    }

    /// Whether a viewer may know of it; without one, everybody may.
    pub(super) fn is_known_to(&self, viewer: Option<&BareJid>) -> bool {
        let Some(viewer) = viewer.filter(|_| self.node.config.hidden) else { return true };
        match self.affiliations.get(viewer) {
            Some(Affiliation::Outcast) => false,
            Some(_) => true,
            None => self.subscriptions.values().any(|found| found.jid.bare() == viewer),
        }
    }

    /// Forgets what is below the floor, but for what a current item stands on.
    pub(super) fn trim(&mut self) {
        let floor = self.node.floor_seq;
        if self.log.first_key_value().is_some_and(|(seq, _)| *seq < floor) {
            let stood_on: std::collections::HashSet<Seq> = self.items.values().copied().collect();
            self.log.retain(|seq, _| *seq >= floor || stood_on.contains(seq));
        }
    }

    pub(super) fn fact(&self, id: &ItemId) -> Option<ItemFact> {
        let event = self.log.get(self.items.get(id)?)?;
        match &event.kind {
            EventKind::Published { publisher, .. } => {
                Some(ItemFact { id: id.clone(), seq: event.seq, publisher: publisher.clone(), published: event.time })
            }
            _ => None,
        }
    }

    /// Oldest first.
    pub(super) fn facts(&self) -> Vec<ItemFact> {
        let mut facts: Vec<ItemFact> = self.items.keys().filter_map(|id| self.fact(id)).collect();
        facts.sort_by_key(|fact| fact.seq);
        facts
    }

    pub(super) fn item(&self, fact: ItemFact, payloads: Payloads) -> Item {
        let payload = if payloads == Payloads::Read { self.payload(fact.seq) } else { None };
        Item { created: self.created.get(&fact.id).copied().unwrap_or(fact.seq), payload, fact }
    }

    pub(super) fn payload(&self, seq: Seq) -> Option<Payload> {
        match &self.log.get(&seq)?.kind {
            EventKind::Published { payload, .. } => payload.clone(),
            _ => None,
        }
    }
}

impl Kept {
    /// Takes an item away without an event.
    pub(super) fn drop_untold(&mut self, id: &ItemId) {
        let Some(seq) = self.items.remove(id) else { return };
        self.created.remove(id);
        if let Some(event) = self.log.get_mut(&seq) {
            erase(event);
        }
        self.trim();
        let node = Node { items: self.node.items - 1, version: self.node.version + 1, ..(*self.node).clone() };
        self.node = Arc::new(node);
    }
}

fn erase(event: &mut Event) {
    if let EventKind::Published { payload, .. } = &mut event.kind {
        *payload = None;
    }
}
