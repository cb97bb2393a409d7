//! The last item of a node (XEP-0060 §4.3, §6.1.7, §12.2): to whoever has subscribed, was let in, or became available.
//!
//! It is shown by the watch of the subscription that it is due to, before what follows, so that whatever holds of a
//! notification holds of it: rights, options, presence, identifiers, acknowledgement.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Done, Due, Feed, Watch};
use crate::delivery::pages::Page;
use crate::engine::Entry;
use crate::jid::Jid;
use crate::pubsub::{
    Event, EventKind, Node, NodeAddress, NodeKey, Seq, SubId, SubscriptionState, sends_last, sends_last_at_presence,
};
use crate::store::Item;

/// A last item that is due to a watch.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    /// To this subscription alone of those that share the watch.
    pub only: Option<SubId>,
    /// What is newer comes by itself.
    pub at: Seq,
}

impl Feed {
    /// A last item is due. Where nothing is watched on its subscription, nothing is told on it now.
    pub(super) fn due(&mut self, due: Due) {
        let key = (due.node, due.subscription.subid.clone());
        match self.by_subscription.get(&key).and_then(|id| Some((*id, self.watches.get_mut(id)?))) {
            Some((id, watch)) => {
                watch.owed.push(Owed { only: Some(key.1), at: due.at });
                self.pay(id);
            }
            None if self.loading > 0 && due.subscription.state == SubscriptionState::Subscribed => {
                self.seldom.dues.push(due);
            }
            None => {}
        }
    }

    /// Reads the next last item that is due to a watch, when it has shown what was to come before.
    pub(super) fn pay(&mut self, id: u64) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        if watch.busy || watch.backlog.is_some() || watch.owed.is_empty() {
            return;
        }
        let owed = watch.owed.remove(0);
        if watch.via.is_some() || !sends_last(&watch.tail.config()) {
            return self.pay(id);
        }
        watch.busy = true;
        let (shared, address) = (self.shared.clone(), (**watch.tail.address()).clone());
        self.work.push(Box::pin(async move {
            let last = match shared.engine.store().read_newest(vec![address]).await {
                Ok(found) => found.into_iter().next(),
                Err(failure) => {
                    tracing::error!(%failure, "a last item cannot be read");
                    None
                }
            };
            Done::Owed { watch: id, owed, last }
        }));
    }

    pub(super) fn paid(&mut self, id: u64, owed: Owed, last: Option<(Node, Item)>) {
        let telling = self.shared.name();
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.busy = false;
        if let Some((node, item)) = last
            && node.key == watch.tail.key()
            && item.fact.seq <= watch.position.min(owed.at)
        {
            watch.show_first(&node, item, owed.only, telling);
        }
        self.queue(id);
        self.pay(id);
    }

    /// The session is available: where a node wants it, its last item comes before what follows, once, to all that were
    /// not greeted so since it became available. All are read at once.
    pub(super) fn greet(&mut self) {
        let session = self.inlet.whom.session().is_some();
        if session && self.show.is_none() {
            return;
        }
        let mut wanted: Vec<NodeAddress> = Vec::new();
        let mut asked = Vec::new();
        for (id, watch) in &mut self.watches {
            if std::mem::replace(&mut watch.greeted, true) || watch.via.is_some() || watch.is_personal() {
                continue;
            }
            let address = watch.tail.address();
            let here = session || matches!(watch.to, Jid::Bare(_));
            // Whoever follows the node is shown it there (XEP-0163 §4.3.2).
            let followed = self.personal.has(address.service.clone(), &address.node);
            if !here || followed || !sends_last_at_presence(&watch.tail.config()) {
                continue;
            }
            if watch.busy || watch.backlog.is_some() {
                watch.owed.push(Owed { only: None, at: watch.position });
                continue;
            }
            wanted.push((**address).clone());
            watch.busy = true;
            asked.push(*id);
        }
        if wanted.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        self.work.push(Box::pin(async move {
            let found = shared.engine.store().read_newest(wanted).await.unwrap_or_else(|failure| {
                tracing::error!(%failure, "last items cannot be read");
                Vec::new()
            });
            Done::Greeted(asked, found)
        }));
    }

    pub(super) fn greeted(&mut self, watches: Vec<u64>, found: Vec<(Node, Item)>) {
        let found: HashMap<NodeKey, (Node, Item)> =
            found.into_iter().map(|(node, item)| (node.key, (node, item))).collect();
        for id in watches {
            let at = self.watches.get(&id).map_or(Seq(0), |watch| watch.position);
            let last = self.watches.get(&id).and_then(|watch| found.get(&watch.tail.key())).cloned();
            self.paid(id, Owed { only: None, at }, last);
        }
    }
}

impl Watch {
    /// Shows an item before what follows the position, to one subscription alone where that is said.
    pub(super) fn show_first(&mut self, node: &Node, item: Item, only: Option<SubId>, telling: u64) {
        let resume = self.position;
        self.position = Seq(item.fact.seq.0 - 1);
        self.backlog = Some(Arc::new(last_item(node, item, resume, telling)));
        self.only = only;
    }
}

/// The last item of a node as what is to be shown before what follows `head`.
fn last_item(node: &Node, item: Item, head: Seq, telling: u64) -> Page {
    let kind = EventKind::Published {
        item: Some(item.fact.id),
        publisher: item.fact.publisher,
        payload: item.payload,
        replaces: None,
    };
    let event = Event { seq: item.fact.seq, time: item.fact.published, kind };
    let entry = Entry::late(node.key, Arc::new(node.address.clone()), event, node.config.clone(), telling);
    Page { entries: vec![Arc::new(entry)], floor: node.floor_seq, last: head, resume: Some(head) }
}
