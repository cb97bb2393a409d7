//! What is asked of the whole, and how a batch is taken in.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Kept, State};
use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Affiliation, Change, ItemFact, Node, NodeAddress, NodeKey, NodeState, Payloads, Subscription, SubscriptionState,
    Tombstone,
};
use crate::store::batch::{PurgeBounds, check, deletion_time};
use crate::store::page::SubscriptionEdge;
use crate::store::{Ask, Failure, Found, NodeCommit};

impl State {
    pub(super) fn of<'a>(&'a self, service: &'a BareJid, node: Option<NodeKey>) -> impl Iterator<Item = &'a Kept> {
        self.nodes
            .values()
            .filter(move |kept| kept.node.address.service == *service)
            .filter(move |kept| node.is_none_or(|node| kept.node.key == node))
    }

    /// The subscriptions of the chosen, in order, behind the one that was shown last.
    pub(super) fn watched(
        &self,
        chosen: impl Fn(&Jid) -> bool,
        after: Option<(NodeKey, Subscription)>,
        max: usize,
    ) -> Vec<(Node, Subscription)> {
        let after = after.map(|(key, subscription)| (key, SubscriptionEdge::new(None, &subscription)));
        let every = self.nodes.iter().flat_map(|(key, kept)| {
            kept.subscriptions.iter().map(move |(edge, subscription)| ((*key, edge.clone()), kept, subscription))
        });
        let found = every
            .filter(|(place, _, subscription)| chosen(&subscription.jid) && after.as_ref() < Some(place))
            .map(|(_, kept, subscription)| ((*kept.node).clone(), subscription.clone()));
        found.take(max).collect()
    }

    pub(super) fn found(&self, ask: &Ask) -> Found {
        let kept = |node: &NodeKey| self.nodes.get(node);
        match ask {
            Ask::Node(address) => Found::Node(match self.keys.get(address).and_then(kept) {
                Some(kept) => NodeState::Present(kept.node.clone()),
                None => self.tombstones.get(address).cloned().map_or(NodeState::Absent, NodeState::Deleted),
            }),
            Ask::Affiliation(node, jid) => Found::Affiliation(
                kept(node).and_then(|kept| kept.affiliations.get(jid)).copied().unwrap_or(Affiliation::None),
            ),
            Ask::Subscriptions(node, jid) => {
                let all = kept(node).into_iter().flat_map(|kept| kept.subscriptions.values());
                Found::Subscriptions(all.filter(|subscription| subscription.jid.bare() == jid).cloned().collect())
            }
            Ask::Item(node, item) => Found::Item(kept(node).and_then(|kept| kept.fact(item))),
            Ask::Payload(node, item) => Found::Payload(kept(node).and_then(|kept| {
                let fact = kept.fact(item)?;
                kept.item(fact, Payloads::Read).payload
            })),
            Ask::Oldest(node, count) => {
                let facts = kept(node).map_or_else(Vec::new, Kept::facts);
                Found::Oldest(facts.into_iter().take(usize::try_from(*count).unwrap_or(usize::MAX)).collect())
            }
            Ask::Owners(node, max) => {
                let all = kept(node).into_iter().flat_map(|kept| &kept.affiliations);
                let owners = all.filter(|(_, affiliation)| **affiliation == Affiliation::Owner);
                let mut owners: Vec<BareJid> = owners.map(|(jid, _)| jid.clone()).collect();
                owners.sort_by(|one, other| one.as_str().cmp(other.as_str()));
                owners.truncate(*max);
                Found::Owners(owners)
            }
            Ask::Waiting(node, max) => {
                let all = kept(node).into_iter().flat_map(|kept| kept.subscriptions.values());
                let waiting = all.filter(|found| found.state == SubscriptionState::Pending);
                Found::Waiting(waiting.take(*max).cloned().collect())
            }
            Ask::Memo(key) => {
                let of_caller = self.memos.keys().filter(|other| other.caller == key.caller).count() as u64;
                Found::Memo(self.memos.get(key).cloned().map(Box::new), of_caller)
            }
            Ask::Contact(owner, contact) => Found::Contact(self.contacts.fact(owner, contact)),
        }
    }

    pub(super) fn next_passing(&self, after: &str) -> Option<BareJid> {
        let publishers = self.passing_items().map(|(_, fact)| fact.publisher).filter(|jid| jid.as_str() > after);
        publishers.min_by(|one, other| one.as_str().cmp(other.as_str()))
    }

    pub(super) fn passing(&self, publisher: &BareJid, max: usize) -> Option<Vec<(Node, ItemFact)>> {
        let items = self.passing_items().filter(|(_, fact)| fact.publisher == *publisher);
        let items: Vec<(Node, ItemFact)> = items.take(max).map(|(node, fact)| ((**node).clone(), fact)).collect();
        (!items.is_empty()).then_some(items)
    }

    fn passing_items(&self) -> impl Iterator<Item = (&Arc<Node>, ItemFact)> {
        let nodes = self.nodes.values().filter(|kept| kept.node.config.purge_offline);
        nodes.flat_map(|kept| kept.facts().into_iter().map(|fact| (&kept.node, fact)))
    }

    /// Whether the whole batch can be applied, each part seeing what those before it will have done.
    pub(super) fn check_all(&self, batch: &[NodeCommit]) -> Result<(), Failure> {
        let mut versions: HashMap<NodeKey, Option<u64>> = HashMap::new();
        let mut places: HashMap<&NodeAddress, bool> = HashMap::new();
        for commit in batch {
            check(commit)?;
            let (key, address) = (commit.node.key, &commit.node.address);
            let version = versions.get(&key).copied().unwrap_or(self.nodes.get(&key).map(|kept| kept.node.version));
            if commit.expected_version == 0 {
                let taken = places.get(address).copied().unwrap_or_else(|| self.keys.contains_key(address));
                if taken {
                    return Err(Failure::Stale);
                }
                if version.is_some() {
                    return Err(Failure::Refused(format!("the key of {address} was used before")));
                }
            } else if version != Some(commit.expected_version) {
                return Err(Failure::Stale);
            }
            let stays = !matches!(commit.changes.last(), Some(Change::DeleteNode { .. }));
            versions.insert(key, stays.then_some(commit.node.version));
            places.insert(address, stays);
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, commit: &NodeCommit) {
        let (key, address) = (commit.node.key, &commit.node.address);
        let kept = self.nodes.entry(key).or_insert_with(|| Kept::new(&commit.node));
        kept.node = Arc::new(commit.node.clone());
        kept.log.extend(commit.events.iter().map(|event| (event.seq, event.clone())));
        self.keys.insert(address.clone(), key);
        self.tombstones.remove(address);
        let mut purges = PurgeBounds::of(commit);
        for change in &commit.changes {
            if let Change::Associate { child } = change {
                self.children.entry(key).or_default().insert(*child);
            } else if let Change::Dissociate { child } = change {
                self.children.entry(key).or_default().remove(child);
            } else if let Change::DeleteNode { redirect } = change {
                self.nodes.remove(&key);
                self.unlink(key);
                self.keys.remove(address);
                let (last_seq, deleted) = (commit.node.last_seq, deletion_time(commit));
                let hidden = commit.node.config.hidden;
                let tombstone = Tombstone { key, last_seq, deleted, redirect: redirect.clone(), hidden };
                self.tombstones.insert(address.clone(), tombstone);
            } else if let Some(kept) = self.nodes.get_mut(&key) {
                kept.apply(change, &mut purges);
            }
        }
        if let Some(kept) = self.nodes.get_mut(&key) {
            kept.trim();
        }
        self.memos.extend(commit.memos.iter().map(|memo| (memo.key.clone(), memo.clone())));
    }
}
