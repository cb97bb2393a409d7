//! The store in memory: for tests of other rooms and for trying out. It keeps the contract, but for
//! durability, and is written to be seen through, not to be fast.

mod accounts;
mod archive;
#[cfg(test)]
mod asked;
mod contacts;
mod departed;
mod graph;
mod kept;
mod lists;
mod state;
mod webhooks;

#[cfg(test)]
use std::collections::VecDeque;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::im::{Departure, Roster, RosterChange, RosterPlace, StoredStanza};
use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Affiliation, Event, Expire, Graph, ItemFact, ItemId, Node, NodeAddress, NodeId, NodeKey, Order, Page, Payloads,
    Selection, Seq, Subscription, SubscriptionState, Tombstone,
};
use crate::store::FastToken;
use crate::store::page::{SubscriptionEdge, event_bytes};
use crate::store::{
    Account, AccountTotals, Ask, Attempted, Failure, Found, Identity, Item, Lapse, List, LogPage, Memo, MemoKey,
    NodeCommit, Parked, Pending, Settled, Store, Token, Webhook,
};
use crate::time::Timestamp;

pub struct MemoryStore {
    identity: Identity,
    state: Mutex<State>,
    /// Operations that are still to fail.
    failing: AtomicUsize,
    #[cfg(test)]
    twists: Mutex<VecDeque<asked::Twist>>,
    #[cfg(test)]
    asked: Mutex<asked::Asked>,
}

#[derive(Default)]
struct State {
    closed: bool,
    next_node_key: i64,
    nodes: BTreeMap<NodeKey, Kept>,
    keys: BTreeMap<NodeAddress, NodeKey>,
    children: graph::Children,
    tombstones: BTreeMap<NodeAddress, Tombstone>,
    memos: BTreeMap<MemoKey, Memo>,
    accounts: accounts::Accounts,
    contacts: contacts::Contacts,
    archives: archive::Kept,
    endpoints: webhooks::Endpoints,
}

/// A node with everything that belongs to it.
struct Kept {
    node: Arc<Node>,
    log: BTreeMap<Seq, Event>,
    items: HashMap<ItemId, Seq>,
    /// Where each item was published that was new.
    created: HashMap<ItemId, Seq>,
    affiliations: BTreeMap<BareJid, Affiliation>,
    /// By edge, which is their order.
    subscriptions: BTreeMap<SubscriptionEdge, Subscription>,
}

impl MemoryStore {
    /// An empty store with an identity of its own.
    pub fn new() -> Self {
        let identity = Identity::draw().expect("the system gives random bytes");
        MemoryStore {
            identity,
            state: Mutex::new(State { next_node_key: 1, ..State::default() }),
            failing: AtomicUsize::new(0),
            #[cfg(test)]
            twists: Mutex::default(),
            #[cfg(test)]
            asked: Mutex::default(),
        }
    }

    /// Makes the next so many operations fail, as a disk may, with nothing done.
    pub fn fail_next(&self, operations: usize) {
        self.failing.store(operations, Ordering::Release);
    }

    /// Each operation is done at once when its future is first polled, under one lock.
    fn with<T: Send, W>(&self, work: W) -> Pending<'_, T>
    where
        W: FnOnce(&mut State) -> Result<T, Failure> + Send + 'static,
    {
        Box::pin(async move {
            #[cfg(test)]
            self.note_operation::<W>();
            let fails = |left: usize| left.checked_sub(1);
            if self.failing.fetch_update(Ordering::AcqRel, Ordering::Acquire, fails).is_ok() {
                return Err(Failure::Read("made to fail".to_owned()));
            }
            let mut state: MutexGuard<'_, State> = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.closed {
                return Err(Failure::Closed);
            }
            work(&mut state)
        })
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn reserve_node_keys(&self, count: u32) -> Pending<'_, Range<i64>> {
        self.with(move |state| {
            let start = state.next_node_key;
            state.next_node_key += i64::from(count);
            Ok(start..state.next_node_key)
        })
    }

    fn gather(&self, asks: Vec<Ask>) -> Pending<'_, Vec<Found>> {
        #[cfg(test)]
        self.note_facts(&asks);
        self.with(move |state| Ok(asks.iter().map(|ask| state.found(ask)).collect()))
    }

    fn commit(&self, batch: Vec<NodeCommit>) -> Pending<'_, ()> {
        #[cfg(test)]
        let twist = self.twists.lock().unwrap_or_else(PoisonError::into_inner).pop_front().map(|twist| twist(&batch));
        let commit = self.with(move |state| {
            state.check_all(&batch)?;
            batch.iter().for_each(|commit| state.apply(commit));
            Ok(())
        });
        #[cfg(test)]
        if let Some(twist) = twist {
            return Box::pin(async move {
                twist.await?;
                commit.await
            });
        }
        commit
    }

    fn read_log(&self, node: NodeKey, after: Seq, events_max: usize, bytes_max: usize) -> Pending<'_, Option<LogPage>> {
        self.with(move |state| {
            let Some(kept) = state.nodes.get(&node) else { return Ok(None) };
            let (floor_seq, last_seq) = (kept.node.floor_seq, kept.node.last_seq);
            let mut page = LogPage { events: Vec::new(), floor_seq, last_seq };
            let mut bytes = 0;
            for (seq, event) in &kept.log {
                if *seq <= after || *seq < floor_seq {
                    continue;
                }
                if page.events.len() == events_max || bytes > bytes_max {
                    break;
                }
                bytes += event_bytes(event);
                page.events.push(event.clone());
            }
            Ok(Some(page))
        })
    }

    fn read_items_by(
        &self,
        node: NodeKey,
        selection: Selection,
        page: Page,
        order: Order,
        payloads: Payloads,
    ) -> Pending<'_, List<Item>> {
        self.with(move |state| state.read_items_by(node, selection, page, order, payloads))
    }

    fn read_leading(&self, node: NodeKey, max: usize) -> Pending<'_, Vec<(BareJid, Affiliation)>> {
        self.with(move |state| {
            let all = state.nodes.get(&node).into_iter().flat_map(|kept| &kept.affiliations);
            let leading = |wanted: Affiliation| {
                let of = move |(_, affiliation): &(&BareJid, &Affiliation)| **affiliation == wanted;
                all.clone().filter(of).map(|(jid, affiliation)| (jid.clone(), *affiliation))
            };
            Ok(leading(Affiliation::Owner).chain(leading(Affiliation::Publisher)).take(max).collect())
        })
    }

    fn read_subscriptions_of(
        &self,
        service: BareJid,
        jid: BareJid,
        node: Option<NodeKey>,
        page: Page,
    ) -> Pending<'_, List<(NodeId, Subscription)>> {
        self.with(move |state| state.read_subscriptions_of(&service, &jid, node, page))
    }

    fn read_affiliations_of(
        &self,
        service: BareJid,
        jid: BareJid,
        node: Option<NodeKey>,
        page: Page,
    ) -> Pending<'_, List<(NodeId, Affiliation)>> {
        self.with(move |state| state.read_affiliations_of(&service, &jid, node, page))
    }

    fn read_node_subscriptions(&self, node: NodeKey, page: Page) -> Pending<'_, List<Subscription>> {
        self.with(move |state| state.read_node_subscriptions(node, page))
    }

    fn read_node_affiliations(&self, node: NodeKey, page: Page) -> Pending<'_, List<(BareJid, Affiliation)>> {
        self.with(move |state| state.read_node_affiliations(node, page))
    }

    fn read_nodes(&self, service: BareJid, viewer: Option<BareJid>, page: Page) -> Pending<'_, List<Node>> {
        self.with(move |state| state.read_nodes(&service, viewer.as_ref(), page))
    }

    fn read_watched(
        &self,
        jid: BareJid,
        after: Option<(NodeKey, Subscription)>,
        max: usize,
    ) -> Pending<'_, Vec<(Node, Subscription)>> {
        self.with(move |state| Ok(state.watched(|subscriber| *subscriber.bare() == jid, after, max)))
    }

    fn read_watched_at(
        &self,
        domain: String,
        after: Option<(NodeKey, Subscription)>,
        max: usize,
    ) -> Pending<'_, Vec<(Node, Subscription)>> {
        self.with(move |state| Ok(state.watched(|subscriber| subscriber.domain() == domain, after, max)))
    }

    fn next_subscriber_domain(&self, after: String) -> Pending<'_, Option<String>> {
        self.with(move |state| {
            let subscriptions = state.nodes.values().flat_map(|kept| kept.subscriptions.values());
            let domains = subscriptions.map(|subscription| subscription.jid.domain());
            Ok(domains.filter(|domain| *domain > after.as_str()).min().map(str::to_owned))
        })
    }

    fn lapsing(&self, lapse: Lapse, max: usize) -> Pending<'_, Vec<(NodeAddress, Subscription)>> {
        self.with(move |state| {
            let every = state.nodes.values().flat_map(|kept| {
                kept.subscriptions.values().map(move |subscription| (kept.node.address.clone(), subscription.clone()))
            });
            let mut found: Vec<(Timestamp, (NodeAddress, Subscription))> = every
                .filter_map(|entry| match (&lapse, entry.1.options.expire) {
                    (Lapse::By(time), Expire::At(end)) if end <= *time => Some((end, entry)),
                    (Lapse::WithPresence, Expire::Presence) => Some((Timestamp(0), entry)),
                    (Lapse::WithPresenceOf(bare), Expire::Presence) if bare == entry.1.jid.bare() => {
                        Some((Timestamp(0), entry))
                    }
                    _ => None,
                })
                .collect();
            found.sort_by_key(|(end, _)| *end);
            Ok(found.into_iter().map(|(_, entry)| entry).take(max).collect())
        })
    }

    fn read_personal(&self, accounts: Vec<BareJid>, nodes: Vec<NodeId>) -> Pending<'_, Vec<(Node, Option<Item>)>> {
        self.with(move |state| {
            let every = accounts.iter().flat_map(|service| {
                nodes.iter().map(|node| NodeAddress { service: service.clone(), node: node.clone() })
            });
            let present = every.filter_map(|address| state.nodes.get(state.keys.get(&address)?));
            Ok(present.map(|kept| ((*kept.node).clone(), kept.with_newest().map(|(_, item)| item))).collect())
        })
    }

    fn next_passing(&self, after: String) -> Pending<'_, Option<BareJid>> {
        self.with(move |state| Ok(state.next_passing(&after)))
    }

    fn read_passing(&self, publisher: BareJid, max: usize) -> Pending<'_, Option<Vec<(Node, ItemFact)>>> {
        self.with(move |state| Ok(state.passing(&publisher, max)))
    }

    fn settle_passing(&self, _publisher: BareJid) -> Pending<'_, ()> {
        // What is known is read from the items themselves.
        self.with(|_| Ok(()))
    }

    fn read_newest(&self, nodes: Vec<NodeAddress>) -> Pending<'_, Vec<(Node, Item)>> {
        self.with(move |state| {
            let present = nodes.iter().filter_map(|address| state.nodes.get(state.keys.get(address)?));
            Ok(present.filter_map(Kept::with_newest).collect())
        })
    }

    fn read_pending(
        &self,
        service: Option<BareJid>,
        owner: Option<BareJid>,
        node: Option<NodeKey>,
        max: usize,
    ) -> Pending<'_, Vec<(Node, Subscription)>> {
        self.with(move |state| {
            let owned = |kept: &&Kept| {
                owner.as_ref().is_none_or(|owner| kept.affiliations.get(owner) == Some(&Affiliation::Owner))
            };
            let chosen = state
                .nodes
                .values()
                .filter(|kept| service.as_ref().is_none_or(|service| kept.node.address.service == *service))
                .filter(|kept| node.is_none_or(|node| kept.node.key == node))
                .filter(owned);
            let every = chosen.flat_map(|kept| kept.subscriptions.values().map(|found| ((*kept.node).clone(), found)));
            let waiting = every.filter(|(_, found)| found.state == SubscriptionState::Pending);
            Ok(waiting.map(|(node, found)| (node, found.clone())).take(max).collect())
        })
    }

    fn due_items(&self, now: Timestamp, max: usize) -> Pending<'_, (Vec<NodeAddress>, Option<Timestamp>)> {
        self.with(move |state| {
            let due = |kept: &Kept| kept.node.config.due(kept.facts().first()?.published);
            let mut all: Vec<(Timestamp, NodeAddress)> =
                state.nodes.values().filter_map(|kept| Some((due(kept)?, kept.node.address.clone()))).collect();
            all.sort();
            let next = all.iter().map(|(due, _)| *due).find(|due| *due > now);
            let due = all.into_iter().filter(|(due, _)| *due <= now).map(|(_, address)| address);
            Ok((due.take(max).collect(), next))
        })
    }

    fn stale_logs(&self, keeps_items: bool, before: Timestamp, max: usize) -> Pending<'_, Vec<NodeAddress>> {
        self.with(move |state| {
            let mut stale: Vec<(Timestamp, NodeAddress)> = state
                .nodes
                .values()
                .filter(|kept| kept.node.config.persist_items == keeps_items)
                .filter_map(|kept| Some((kept.log.get(&kept.node.floor_seq)?.time, kept.node.address.clone())))
                .filter(|(oldest, _)| *oldest < before)
                .collect();
            stale.sort();
            Ok(stale.into_iter().map(|(_, address)| address).take(max).collect())
        })
    }

    fn floor_for(&self, node: NodeKey, since: Timestamp, bytes_max: u64) -> Pending<'_, Seq> {
        self.with(move |state| {
            let Some(kept) = state.nodes.get(&node) else { return Ok(Seq(0)) };
            let (mut least, mut bytes) = (kept.node.last_seq.next(), 0u64);
            for (seq, event) in kept.log.range(kept.node.floor_seq..).rev() {
                bytes += event_bytes(event) as u64;
                if event.time < since || bytes > bytes_max {
                    break;
                }
                least = *seq;
            }
            Ok(least)
        })
    }

    fn read_graph(
        &self,
        service: BareJid,
        node: Option<NodeId>,
        named: Vec<NodeId>,
        caller: BareJid,
    ) -> Pending<'_, Graph> {
        self.with(move |state| Ok(state.graph(&service, node, &named, &caller)))
    }

    fn read_relations(&self, node: NodeKey) -> Pending<'_, (Vec<NodeId>, Vec<NodeId>)> {
        self.with(move |state| Ok(state.relations(node)))
    }

    fn read_descendants(&self, root: NodeKey, depth: u32, max: usize) -> Pending<'_, Vec<(Node, u32)>> {
        self.with(move |state| Ok(state.descendants(root, depth, max)))
    }

    fn forget_tombstones(&self, before: Timestamp) -> Pending<'_, ()> {
        self.with(move |state| {
            state.tombstones.retain(|_, tombstone| tombstone.deleted >= before);
            Ok(())
        })
    }

    fn forget_memos(&self, now: Timestamp) -> Pending<'_, ()> {
        self.with(move |state| {
            state.memos.retain(|_, memo| memo.expires > now);
            Ok(())
        })
    }

    fn account(&self, jid: BareJid) -> Pending<'_, Option<Account>> {
        self.with(move |state| Ok(state.accounts.get(&jid)))
    }

    fn put_account(&self, account: Account) -> Pending<'_, ()> {
        self.put_accounts(vec![account])
    }

    fn put_accounts(&self, accounts: Vec<Account>) -> Pending<'_, ()> {
        self.with(move |state| {
            state.accounts.put(accounts);
            Ok(())
        })
    }

    fn remove_account(&self, jid: BareJid) -> Pending<'_, bool> {
        self.with(move |state| {
            state.contacts.remove(&jid);
            state.forget_account(&jid);
            state.archives.remove(&jid);
            Ok(state.accounts.remove(&jid))
        })
    }

    fn accounts(&self, after: Option<BareJid>, max: usize) -> Pending<'_, Vec<Account>> {
        self.with(move |state| Ok(state.accounts.list(after.as_ref(), max)))
    }

    fn accounts_like(&self, jid: BareJid, max: usize) -> Pending<'_, Vec<BareJid>> {
        self.with(move |state| Ok(state.accounts.like(&jid, max)))
    }

    fn account_totals(&self) -> Pending<'_, AccountTotals> {
        self.with(move |state| Ok(state.accounts.totals()))
    }

    fn token(&self, id: String) -> Pending<'_, Option<Token>> {
        self.with(move |state| Ok(state.accounts.token(&id)))
    }

    fn put_token(&self, token: Token) -> Pending<'_, ()> {
        self.with(move |state| {
            state.accounts.put_token(token);
            Ok(())
        })
    }

    fn remove_token(&self, id: String) -> Pending<'_, bool> {
        self.with(move |state| Ok(state.accounts.remove_token(&id)))
    }

    fn tokens(&self, account: Option<BareJid>) -> Pending<'_, Vec<Token>> {
        self.with(move |state| Ok(state.accounts.tokens(account.as_ref())))
    }

    fn fast_tokens(&self, account: BareJid, client: String) -> Pending<'_, Vec<FastToken>> {
        self.with(move |state| Ok(state.accounts.fast_tokens(&account, &client)))
    }

    fn put_fast_tokens(
        &self,
        account: BareJid,
        client: String,
        tokens: Vec<FastToken>,
        clients_max: usize,
    ) -> Pending<'_, ()> {
        self.with(move |state| {
            state.accounts.put_fast_tokens(account, client, tokens, clients_max);
            Ok(())
        })
    }

    fn remove_fast_tokens(&self, account: BareJid) -> Pending<'_, ()> {
        self.with(move |state| {
            state.accounts.remove_fast_tokens(&account);
            Ok(())
        })
    }

    fn touch_token(&self, id: String, used: Timestamp) -> Pending<'_, ()> {
        self.with(move |state| {
            state.accounts.touch_token(&id, used);
            Ok(())
        })
    }

    fn roster(&self, owner: BareJid) -> Pending<'_, Roster> {
        self.with(move |state| Ok(state.contacts.roster(&owner)))
    }

    fn roster_places(&self, of: Vec<(BareJid, BareJid)>) -> Pending<'_, Vec<RosterPlace>> {
        self.with(move |state| Ok(of.iter().map(|(owner, contact)| state.contacts.place(owner, contact)).collect()))
    }

    fn put_roster(&self, changes: Vec<RosterChange>) -> Pending<'_, Vec<u64>> {
        self.with(move |state| Ok(changes.into_iter().map(|change| state.contacts.put(change)).collect()))
    }

    fn blocked(&self, owners: Vec<BareJid>) -> Pending<'_, Vec<Vec<Jid>>> {
        self.with(move |state| Ok(owners.iter().map(|owner| state.contacts.blocked(owner)).collect()))
    }

    fn set_blocked(&self, owner: BareJid, jids: Vec<Jid>) -> Pending<'_, ()> {
        self.with(move |state| {
            state.contacts.set_blocked(owner, jids);
            Ok(())
        })
    }

    fn kept_messages(&self, owner: BareJid, after: i64, max: usize) -> Pending<'_, Vec<(i64, StoredStanza)>> {
        self.with(move |state| Ok(state.contacts.messages(&owner, after, max)))
    }

    fn forget_messages(&self, owner: BareJid, through: i64) -> Pending<'_, ()> {
        self.with(move |state| {
            state.contacts.forget_messages(&owner, through);
            Ok(())
        })
    }

    fn departure(&self, owner: BareJid) -> Pending<'_, Option<Departure>> {
        self.with(move |state| Ok(state.contacts.departures.get(&owner).cloned()))
    }

    fn put_departure(&self, owner: BareJid, departure: Departure) -> Pending<'_, ()> {
        self.with(move |state| state.note_departure(owner, departure))
    }

    fn webhook(&self, id: String) -> Pending<'_, Option<Webhook>> {
        self.with(move |state| Ok(state.endpoints.find(&id)))
    }

    fn put_webhook(&self, webhook: Webhook) -> Pending<'_, ()> {
        self.with(move |state| {
            state.endpoints.put(webhook);
            Ok(())
        })
    }

    fn remove_webhook(&self, id: String) -> Pending<'_, bool> {
        self.with(move |state| Ok(state.endpoints.remove(&id)))
    }

    fn webhooks(&self, after: Option<String>, max: usize) -> Pending<'_, Vec<Webhook>> {
        self.with(move |state| Ok(state.endpoints.after(after.as_deref(), max)))
    }

    fn node_webhooks(&self, node: NodeKey) -> Pending<'_, Vec<Webhook>> {
        self.with(move |state| Ok(state.endpoints.of_node(node)))
    }

    fn settle_webhooks(&self, settled: Vec<Settled>) -> Pending<'_, Vec<bool>> {
        self.with(move |state| Ok(settled.into_iter().map(|settled| state.endpoints.settle(settled)).collect()))
    }

    fn parked(&self, webhook: String, dead: bool, after: Seq, max: usize) -> Pending<'_, Vec<Parked>> {
        self.with(move |state| Ok(state.endpoints.parked(&webhook, dead, after, max)))
    }

    fn attempts(&self, webhook: String) -> Pending<'_, Vec<Attempted>> {
        self.with(move |state| Ok(state.endpoints.attempts(&webhook)))
    }

    fn parked_counts(&self, webhook: String) -> Pending<'_, (u64, u64)> {
        self.with(move |state| Ok(state.endpoints.counts(&webhook)))
    }

    fn close(&self) -> Pending<'_, ()> {
        self.with(|state| {
            state.closed = true;
            Ok(())
        })
    }
}
