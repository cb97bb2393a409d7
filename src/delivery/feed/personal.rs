//! What a session is shown of accounts without having subscribed (XEP-0060 §9.1, XEP-0163): of those
//! whose presence it sees, the nodes that it has told to be interested in.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Done, Feed, Inlet, Watch};
use crate::delivery::pages::Page;
use crate::delivery::{Shared, lock};
use crate::engine::{Committed, Entry, Tail};
use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Change, Event, EventKind, Node, NodeAddress, NodeId, SendLast, Seq, SubId, Subscription, SubscriptionOptions,
    SubscriptionState,
};
use crate::store::Item;

/// What a session is interested in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Personal {
    /// Accounts whose presence it sees, its own among them.
    pub accounts: BTreeSet<BareJid>,
    /// Nodes of each of them.
    pub nodes: Arc<BTreeSet<NodeId>>,
}

/// Sessions that are interested in an account's nodes, by the address of their inlet.
pub(in crate::delivery) type Followers = HashMap<BareJid, HashMap<usize, Arc<Inlet>>>;

/// A node that a session comes to watch, with its tail and its last item.
pub(super) type Found = (Arc<Tail>, Node, Option<Item>);

impl Feed {
    /// Shows what this says from now on, and nothing else of accounts but what was subscribed to. Of
    /// what is new in it, the last items come first.
    pub fn follow(&mut self, personal: Personal) {
        let before = std::mem::replace(&mut self.personal, personal);
        let now = self.personal.clone();
        if before == now {
            return;
        }
        let gone: Vec<u64> = self
            .watches
            .iter()
            .filter(|(_, watch)| watch.is_personal())
            .filter(|(_, watch)| !now.has(watch.tail.address().service.clone(), &watch.tail.address().node))
            .map(|(id, _)| *id)
            .collect();
        gone.into_iter().for_each(|id| self.end(id));
        *lock(&self.inlet.nodes) = now.nodes.clone();
        let shared = self.shared.clone();
        shared.register(&self.inlet, &before, &now);
        let new_nodes = before.nodes != now.nodes;
        let accounts: Vec<BareJid> =
            now.accounts.iter().filter(|account| new_nodes || !before.accounts.contains(*account)).cloned().collect();
        if accounts.is_empty() || now.nodes.is_empty() {
            return;
        }
        let nodes: Vec<NodeId> = now.nodes.iter().cloned().collect();
        self.work.push(Box::pin(async move { Done::Personal(shared.personal(accounts, nodes).await) }));
    }

    pub(super) fn personal_found(&mut self, found: Vec<Found>) {
        let away = if found.is_empty() { None } else { self.away.personal.take() };
        let first = self.next_watch;
        for (tail, node, last) in found {
            // What was asked for may not be wanted any more.
            if !self.personal.has(node.address.service.clone(), &node.address.node) {
                continue;
            }
            let known = self.watches.len();
            let head = node.last_seq;
            self.watch(tail, implicit(&self.inlet), head);
            let wanted = node.config.send_last_published_item == SendLast::OnSubAndPresence;
            if self.watches.len() > known
                && away.is_none()
                && wanted
                && let Some(watch) = self.watches.get_mut(&(self.next_watch - 1))
                && let Some(item) = last
            {
                watch.show_first(&node, item);
            }
        }
        if let Some(since) = away {
            self.want_missed((first..self.next_watch).collect(), since);
        }
    }

    /// Watches from this one on are those of a session that became available. Where the node wants it,
    /// its last item comes first (XEP-0060 §4.3: `on_sub_and_presence`).
    pub(super) fn want_last_items(&mut self, first: u64) {
        let mut wanted: Vec<NodeAddress> = Vec::new();
        for watch in self.watches.iter().filter(|(id, _)| **id >= first).map(|(_, watch)| watch) {
            let config = watch.tail.config();
            let at_presence = config.send_last_published_item == SendLast::OnSubAndPresence && config.persist_items;
            if at_presence && watch.via.is_none() && matches!(watch.to, Jid::Bare(_)) {
                wanted.push((**watch.tail.address()).clone());
            }
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
            Done::Last(found)
        }));
    }

    pub(super) fn last_items(&mut self, found: Vec<(Node, Item)>) {
        for (node, item) in found {
            let of_node = |watch: &&mut Box<Watch>| {
                watch.tail.key() == node.key && watch.via.is_none() && matches!(watch.to, Jid::Bare(_))
            };
            for watch in self.watches.values_mut().filter(of_node) {
                // One that was shown something newer meanwhile needs it no more.
                if watch.backlog.is_none() && watch.position == watch.acknowledged && watch.position >= item.fact.seq {
                    watch.show_first(&node, item.clone());
                }
            }
        }
        let waiting: Vec<u64> =
            self.watches.iter().filter(|(_, watch)| watch.backlog.is_some()).map(|(id, _)| *id).collect();
        waiting.into_iter().for_each(|id| self.queue(id));
    }

    pub(super) fn unfollow(&mut self) {
        let before = std::mem::take(&mut self.personal);
        self.shared.register(&self.inlet, &before, &Personal::default());
    }
}

impl Personal {
    fn has(&self, account: BareJid, node: &NodeId) -> bool {
        self.nodes.contains(node) && self.accounts.contains(&account)
    }
}

impl Shared {
    /// Those who follow an account look at what may have become theirs to see: a new node, or one whose
    /// rights have changed.
    pub(in crate::delivery) fn offer(&self, commit: &Committed<'_>) {
        let address = &commit.node.address;
        let created = commit.changes.iter().any(|change| matches!(change, Change::CreateNode));
        let opened = commit.changes.iter().any(|change| matches!(change, Change::SetAffiliation { .. }))
            || commit.events.iter().any(|event| matches!(event.kind, EventKind::Configured { .. }));
        if !created && !opened {
            return;
        }
        let followers = lock(&self.followers);
        for inlet in followers.get(&address.service).into_iter().flat_map(HashMap::values) {
            if lock(&inlet.nodes).contains(&address.node) {
                let position = if created { Seq(0) } else { commit.node.last_seq };
                inlet.add(commit.tail(), implicit(inlet), position, self.recent.moment());
            }
        }
    }

    fn register(&self, inlet: &Arc<Inlet>, before: &Personal, now: &Personal) {
        let mut followers = lock(&self.followers);
        let own = Arc::as_ptr(inlet) as usize;
        let follows =
            |personal: &Personal, account: &BareJid| !personal.nodes.is_empty() && personal.accounts.contains(account);
        for account in before.accounts.iter().filter(|account| !follows(now, account)) {
            if let Some(of_account) = followers.get_mut(account) {
                of_account.remove(&own);
                if of_account.is_empty() {
                    followers.remove(account);
                }
            }
        }
        for account in now.accounts.iter().filter(|account| follows(now, account)) {
            followers.entry(account.clone()).or_default().insert(own, inlet.clone());
        }
    }

    /// The nodes of these names that these accounts have, with their last items.
    async fn personal(&self, accounts: Vec<BareJid>, nodes: Vec<NodeId>) -> Vec<Found> {
        let found = match self.engine.store().read_personal(accounts, nodes).await {
            Ok(found) => found,
            Err(failure) => {
                tracing::error!(%failure, "the nodes that a session follows cannot be read");
                return Vec::new();
            }
        };
        let (nodes, items): (Vec<Node>, Vec<Option<Item>>) = found.into_iter().unzip();
        let asked = nodes.iter().map(|node| Arc::new(node.clone())).collect();
        let Ok(tails) = self.engine.tails(asked).await else { return Vec::new() };
        let with_tail = |((tail, node), item): ((Option<_>, Node), Option<Item>)| Some((tail?, node, item));
        tails.into_iter().zip(nodes).zip(items).filter_map(with_tail).collect()
    }
}

/// The subscription that comes with presence. It has no identifier and is never stored.
fn implicit(inlet: &Inlet) -> Subscription {
    Subscription {
        jid: inlet
            .whom
            .session()
            .map_or_else(|| unreachable!("sessions alone have presence"), |full| Jid::Full(full.clone())),
        subid: SubId(Arc::from("")),
        state: SubscriptionState::Subscribed,
        options: SubscriptionOptions::standard(),
    }
}

/// The last item of a node as what is to be shown before what follows `head`.
pub(super) fn last_item(node: &Node, item: Item, head: Seq) -> Page {
    let kind = EventKind::Published {
        item: Some(item.fact.id),
        publisher: item.fact.publisher,
        payload: item.payload,
        replaces: None,
    };
    let event = Event { seq: item.fact.seq, time: item.fact.published, kind };
    let entry = Entry::late(node.key, Arc::new(node.address.clone()), event, node.config.clone());
    Page { entries: vec![Arc::new(entry)], floor: node.floor_seq, last: head, resume: Some(head) }
}
