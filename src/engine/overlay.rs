//! What a turn has decided and not yet committed, laid over the cache, so that the next request of
//! the turn sees it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::cache::{Cache, Hot, WINDOW_MAX, Window};
use crate::jid::BareJid;
use crate::pubsub::{
    Affiliation, Change, Contact, Event, Facts, Graph, ItemFact, ItemId, Needs, Node, NodeAddress, NodeKey, NodeState,
    Request, Role, Rosters, Seq, ServicePolicy, Subscription, SubscriptionState, Tombstone, may_know, named, needs,
};
use crate::store::{Ask, Memo, MemoKey, NodeCommit};
use crate::time::Timestamp;

#[derive(Default)]
pub(super) struct Overlay {
    drafts: HashMap<NodeAddress, Draft>,
    commits: Vec<NodeCommit>,
    /// Items that the store was asked for in this turn.
    items: HashMap<(NodeKey, ItemId), Option<ItemFact>>,
    /// The same of owners, and of what rosters say: they change apart from turns.
    owners: HashMap<NodeKey, Vec<BareJid>>,
    contacts: HashMap<(BareJid, BareJid), Option<Contact>>,
    /// What the request that began the turn must know of the graph of collections.
    graph: Graph,
    /// Who waits for approval.
    waiting: HashMap<NodeKey, Vec<Subscription>>,
    /// What was answered before under the keys of this turn, and how many their callers have.
    memos: HashMap<MemoKey, (Option<Box<Memo>>, u64)>,
}

/// What this turn makes of one name.
struct Draft {
    state: NodeState,
    /// The name was created or deleted in this turn: nothing that the store says of it holds.
    fresh: bool,
    /// The same of its items alone.
    items_fresh: bool,
    affiliations: HashMap<BareJid, Affiliation>,
    subscriptions: HashMap<BareJid, Vec<Subscription>>,
    items: HashMap<ItemId, Option<ItemFact>>,
    puts: BTreeMap<Seq, ItemFact>,
    gone: HashSet<Seq>,
    /// Where its share of the batch stands in `commits`.
    commit: Option<usize>,
}

impl Overlay {
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    pub fn commits(&self) -> &[NodeCommit] {
        &self.commits
    }

    /// Whether anything of this name changes.
    pub fn touches(&self, address: &NodeAddress) -> bool {
        self.drafts.contains_key(address)
    }

    pub fn addresses(&self) -> impl Iterator<Item = &NodeAddress> {
        self.drafts.keys()
    }

    pub fn learn_item(&mut self, node: NodeKey, item: ItemId, fact: Option<ItemFact>) {
        self.items.insert((node, item), fact);
    }

    /// What rosters said holds for those who asked before it was read, and not for whoever comes later
    /// into the same turn: a roster may have changed, and the change been answered.
    pub fn forget_rosters(&mut self) {
        self.contacts.clear();
    }

    pub fn learn_owners(&mut self, node: NodeKey, owners: Vec<BareJid>) {
        self.owners.insert(node, owners);
    }

    pub fn learn_graph(&mut self, graph: Graph) {
        self.graph = graph;
    }

    pub fn learn_waiting(&mut self, node: NodeKey, waiting: Vec<Subscription>) {
        self.waiting.insert(node, waiting);
    }

    pub fn learn_contact(&mut self, owner: BareJid, contact: BareJid, fact: Option<Contact>) {
        self.contacts.insert((owner, contact), fact);
    }

    pub fn learn_memo(&mut self, key: MemoKey, memo: Option<Box<Memo>>, of_caller: u64) {
        self.memos.insert(key, (memo, of_caller));
    }

    /// What was answered under a key, and how many its caller has; absent when that was not asked yet.
    pub fn memo(&self, key: &MemoKey) -> Option<(Option<&Memo>, u64)> {
        self.memos.get(key).map(|(memo, of_caller)| (memo.as_deref(), *of_caller))
    }

    /// Keeps the answer to the decision that was taken in last.
    pub fn remember(&mut self, memo: Memo) {
        let commit = self.drafts.get(&memo.key.address).and_then(|draft| draft.commit);
        let commit = commit.and_then(|index| self.commits.get_mut(index)).expect("a decision was taken in before");
        commit.memos.push(memo.clone());
        let of_caller = self.memos.get(&memo.key).map_or(0, |(_, of_caller)| *of_caller);
        self.memos.insert(memo.key.clone(), (Some(Box::new(memo)), of_caller + 1));
    }

    /// The facts for one request, or what must be gathered first.
    pub fn facts(
        &self,
        cache: &mut Cache,
        request: &Request,
        address: Option<&NodeAddress>,
        policy: &Arc<ServicePolicy>,
    ) -> Result<Facts, Vec<Ask>> {
        let mut facts = Facts {
            policy: policy.clone(),
            node: NodeState::Absent,
            affiliation: Affiliation::None,
            subscriptions: Vec::new(),
            contacts: Vec::new(),
            rosters_of: Vec::new(),
            affiliations: Vec::new(),
            contacts_of: Vec::new(),
            subscribers: Vec::new(),
            items: Vec::new(),
            oldest: Vec::new(),
            waiting: Vec::new(),
            owners: Vec::new(),
            graph: if named(request).is_some() { self.graph.clone() } else { Graph::default() },
        };
        let Some(address) = address else { return Ok(facts) };
        let draft = self.drafts.get(address);
        let hot = cache.of(address);
        let Some(state) = draft.map(|draft| &draft.state).or(hot.map(|hot| &hot.state)) else {
            return Err(vec![Ask::Node(address.clone())]);
        };
        facts.node = state.clone();
        let present = state.present();
        let Needs { affiliations, subscribers, items, oldest, waiting, owners, rosters } =
            needs(request, present.map(|node| &**node));
        let caller = request.caller.jid.bare();
        let Some(node) = present else {
            // As much is asked about a node that is not there as about one that is hidden from the caller, so
            // that the time which an answer takes does not tell them apart.
            if request.caller.role != Role::Admin {
                let (mut asks, view) = (Vec::new(), View { key: NO_NODE, draft, hot, learnt: self });
                view.affiliation(caller, &mut asks);
                view.subscriptions(caller, &mut asks);
                if !asks.is_empty() {
                    return Err(asks);
                }
            }
            facts.affiliations = vec![Affiliation::None; affiliations.len()];
            facts.contacts_of = vec![Vec::new(); affiliations.len()];
            facts.subscribers = vec![Vec::new(); subscribers.len()];
            facts.items = vec![None; items.len()];
            return Ok(facts);
        };
        let view = View { key: node.key, draft, hot, learnt: self };
        let mut asks = Vec::new();
        facts.affiliation = view.affiliation(caller, &mut asks);
        facts.subscriptions = view.subscriptions(caller, &mut asks);
        if node.config.hidden && request.caller.role != Role::Admin {
            // What else the request needs is looked up for those alone who may know that there is a node.
            if !asks.is_empty() {
                return Err(asks);
            }
            if !may_know(&node.config, facts.affiliation, request.caller.role, !facts.subscriptions.is_empty()) {
                return Ok(facts);
            }
        }
        facts.rosters_of = match rosters {
            Rosters::None => Vec::new(),
            Rosters::Service => vec![node.address.service.clone()],
            Rosters::Owners(max) => view.owners(max, &mut asks),
        };
        if owners > 0 {
            facts.owners = view.owners(owners, &mut asks);
        }
        facts.contacts = view.contacts(&facts.rosters_of, caller, &mut asks);
        facts.contacts_of = affiliations.iter().map(|jid| view.contacts(&facts.rosters_of, jid, &mut asks)).collect();
        facts.affiliations = affiliations.iter().map(|jid| view.affiliation(jid, &mut asks)).collect();
        facts.subscribers = subscribers.iter().map(|jid| view.subscriptions(jid, &mut asks)).collect();
        facts.items = items.iter().map(|item| view.item(item, &mut asks)).collect();
        facts.oldest = view.oldest(usize::try_from(oldest).unwrap_or(usize::MAX), &mut asks);
        facts.waiting = view.waiting(waiting, &mut asks);
        if asks.is_empty() { Ok(facts) } else { Err(asks) }
    }

    /// Takes in a decision. `before` is the node that it was decided upon, if there was one.
    pub fn take(
        &mut self,
        cache: &mut Cache,
        node: &Node,
        before: Option<&Node>,
        (changes, events): (&[Change], &[Event]),
        now: Timestamp,
    ) {
        let address = &node.address;
        if !self.drafts.contains_key(address) {
            let state = cache.of(address).map_or(NodeState::Absent, |hot| hot.state.clone());
            self.drafts.insert(address.clone(), Draft::new(state));
        }
        let draft = self.drafts.get_mut(address).expect("inserted above");
        for change in changes {
            draft.apply(change, cache, node, now);
        }
        let trim_from = before.filter(|before| before.floor_seq != node.floor_seq).map(|before| before.floor_seq);
        match draft.commit.map(|index| &mut self.commits[index]) {
            Some(commit) if commit.node.key == node.key => {
                commit.node = node.clone();
                commit.changes.extend(changes.iter().cloned());
                commit.events.extend(events.iter().cloned());
                commit.trim_from = commit.trim_from.or(trim_from);
            }
            _ => {
                draft.commit = Some(self.commits.len());
                self.commits.push(NodeCommit {
                    node: node.clone(),
                    expected_version: before.map_or(0, |before| before.version),
                    changes: changes.to_vec(),
                    events: events.to_vec(),
                    trim_from,
                    memos: Vec::new(),
                });
            }
        }
        if !matches!(draft.state, NodeState::Deleted(_)) {
            draft.state = NodeState::Present(Arc::new(node.clone()));
        }
    }

    /// After the commit: the overlay becomes what the cache knows.
    pub fn merge(self, cache: &mut Cache) {
        for (address, draft) in self.drafts {
            if draft.fresh {
                let mut hot = Hot::new(draft.state);
                hot.affiliations = draft.affiliations;
                hot.subscriptions = draft.subscriptions;
                let mut window = Window { complete: true, ..Window::default() };
                draft.puts.into_values().for_each(|fact| window.push(fact));
                hot.oldest = Some(window);
                cache.replace(address, hot);
            } else {
                cache.change(&address, |hot| {
                    hot.state = draft.state;
                    hot.affiliations.extend(draft.affiliations);
                    hot.subscriptions.extend(draft.subscriptions);
                    if draft.items_fresh {
                        hot.oldest = Some(Window { complete: true, ..Window::default() });
                    }
                    if let Some(window) = &mut hot.oldest {
                        draft.gone.into_iter().for_each(|seq| window.remove(seq));
                        draft.puts.into_values().for_each(|fact| window.push(fact));
                    }
                });
            }
        }
    }
}

impl Draft {
    fn new(state: NodeState) -> Self {
        Draft {
            state,
            fresh: false,
            items_fresh: false,
            affiliations: HashMap::new(),
            subscriptions: HashMap::new(),
            items: HashMap::new(),
            puts: BTreeMap::new(),
            gone: HashSet::new(),
            commit: None,
        }
    }

    fn apply(&mut self, change: &Change, cache: &mut Cache, node: &Node, now: Timestamp) {
        match change {
            Change::CreateNode => {
                *self = Draft { fresh: true, items_fresh: true, ..Draft::new(NodeState::Absent) };
            }
            Change::DeleteNode { redirect } => {
                let tombstone = Tombstone {
                    key: node.key,
                    last_seq: node.last_seq,
                    deleted: now,
                    redirect: redirect.clone(),
                    hidden: node.config.hidden,
                };
                let commit = self.commit;
                *self = Draft { fresh: true, commit, ..Draft::new(NodeState::Deleted(tombstone)) };
            }
            Change::Purge => {
                self.items_fresh = true;
                self.items.clear();
                self.puts.clear();
                self.gone.clear();
            }
            Change::PutItem { fact, replaces } => {
                if let Some(old) = replaces {
                    self.drop_item(*old);
                }
                self.items.insert(fact.id.clone(), Some(fact.clone()));
                self.puts.insert(fact.seq, fact.clone());
            }
            Change::RemoveItem { fact } => {
                self.drop_item(fact.seq);
                self.items.insert(fact.id.clone(), None);
            }
            Change::SetAffiliation { jid, affiliation } => {
                self.affiliations.insert(jid.clone(), *affiliation);
            }
            Change::SetSubscription { subscription } => self.set_subscription(subscription, cache, node),
            // What a request must know of the graph is read anew for each.
            Change::Associate { .. } | Change::Dissociate { .. } => {}
        }
    }

    fn drop_item(&mut self, seq: Seq) {
        if self.puts.remove(&seq).is_none() {
            self.gone.insert(seq);
        }
    }

    fn set_subscription(&mut self, changed: &Subscription, cache: &mut Cache, node: &Node) {
        let jid = changed.jid.bare();
        if !self.subscriptions.contains_key(jid) {
            let known = if self.fresh {
                Vec::new()
            } else {
                // Whoever decided this had the list before it, so that the cache has it too.
                cache.of(&node.address).and_then(|hot| hot.subscriptions.get(jid).cloned()).unwrap_or_default()
            };
            self.subscriptions.insert(jid.clone(), known);
        }
        let list = self.subscriptions.get_mut(jid).expect("inserted above");
        list.retain(|known| known.subid != changed.subid || known.jid != changed.jid);
        if changed.state != SubscriptionState::None {
            list.push(changed.clone());
        }
    }
}

/// The key of no node: they begin at 1.
const NO_NODE: NodeKey = NodeKey(0);

/// One present node as the next request of the turn sees it.
struct View<'a> {
    key: NodeKey,
    draft: Option<&'a Draft>,
    hot: Option<&'a Hot>,
    learnt: &'a Overlay,
}

impl View<'_> {
    fn fresh(&self) -> bool {
        self.draft.is_some_and(|draft| draft.fresh)
    }

    fn affiliation(&self, jid: &BareJid, asks: &mut Vec<Ask>) -> Affiliation {
        if let Some(known) = self.draft.and_then(|draft| draft.affiliations.get(jid)) {
            return *known;
        }
        if self.fresh() {
            return Affiliation::None;
        }
        match self.hot.and_then(|hot| hot.affiliations.get(jid)) {
            Some(known) => *known,
            None => {
                asks.push(Ask::Affiliation(self.key, jid.clone()));
                Affiliation::None
            }
        }
    }

    fn subscriptions(&self, jid: &BareJid, asks: &mut Vec<Ask>) -> Vec<Subscription> {
        if let Some(known) = self.draft.and_then(|draft| draft.subscriptions.get(jid)) {
            return known.clone();
        }
        if self.fresh() {
            return Vec::new();
        }
        match self.hot.and_then(|hot| hot.subscriptions.get(jid)) {
            Some(known) => known.clone(),
            None => {
                asks.push(Ask::Subscriptions(self.key, jid.clone()));
                Vec::new()
            }
        }
    }

    fn item(&self, item: &ItemId, asks: &mut Vec<Ask>) -> Option<ItemFact> {
        if let Some(draft) = self.draft {
            if let Some(known) = draft.items.get(item) {
                return known.clone();
            }
            if draft.fresh || draft.items_fresh {
                return None;
            }
        }
        match self.learnt.items.get(&(self.key, item.clone())) {
            Some(known) => known.clone(),
            None => {
                asks.push(Ask::Item(self.key, item.clone()));
                None
            }
        }
    }

    /// Some of the node's owners, as this turn leaves them.
    fn owners(&self, max: usize, asks: &mut Vec<Ask>) -> Vec<BareJid> {
        let mut owners = match self.learnt.owners.get(&self.key) {
            _ if self.fresh() => Vec::new(),
            Some(known) => known.clone(),
            None => {
                asks.push(Ask::Owners(self.key, max));
                return Vec::new();
            }
        };
        for (jid, affiliation) in self.draft.into_iter().flat_map(|draft| &draft.affiliations) {
            owners.retain(|owner| owner != jid);
            if *affiliation == Affiliation::Owner {
                owners.push(jid.clone());
            }
        }
        owners.truncate(max);
        owners
    }

    /// Who waits for approval, as this turn leaves them.
    fn waiting(&self, max: usize, asks: &mut Vec<Ask>) -> Vec<Subscription> {
        let mut waiting = match self.learnt.waiting.get(&self.key) {
            _ if max == 0 || self.fresh() => Vec::new(),
            Some(known) => known.clone(),
            None => {
                asks.push(Ask::Waiting(self.key, max));
                return Vec::new();
            }
        };
        if max > 0 {
            for (jid, subscriptions) in self.draft.into_iter().flat_map(|draft| &draft.subscriptions) {
                waiting.retain(|known| known.jid.bare() != jid);
                waiting.extend(subscriptions.iter().filter(|of| of.state == SubscriptionState::Pending).cloned());
            }
        }
        waiting.truncate(max);
        waiting
    }

    /// What these rosters say of somebody.
    fn contacts(&self, rosters_of: &[BareJid], jid: &BareJid, asks: &mut Vec<Ask>) -> Vec<Contact> {
        let mut contacts = Vec::new();
        for owner in rosters_of {
            match self.learnt.contacts.get(&(owner.clone(), jid.clone())) {
                Some(known) => contacts.extend(known.clone()),
                None => asks.push(Ask::Contact(owner.clone(), jid.clone())),
            }
        }
        contacts
    }

    fn oldest(&self, wanted: usize, asks: &mut Vec<Ask>) -> Vec<ItemFact> {
        if wanted == 0 {
            return Vec::new();
        }
        let mut oldest: Vec<ItemFact> = Vec::new();
        let newer = self.draft.map(|draft| &draft.puts);
        if !self.draft.is_some_and(|draft| draft.fresh || draft.items_fresh) {
            let gone = self.draft.map(|draft| &draft.gone);
            let Some(window) = self.hot.and_then(|hot| hot.oldest.as_ref()) else {
                asks.push(Ask::Oldest(self.key, (wanted + WINDOW_MAX) as u64));
                return oldest;
            };
            let still = |fact: &&ItemFact| gone.is_none_or(|gone| !gone.contains(&fact.seq));
            oldest.extend(window.items.iter().filter(still).take(wanted).cloned());
            if oldest.len() < wanted && !window.complete {
                let gone = gone.map_or(0, HashSet::len);
                asks.push(Ask::Oldest(self.key, (wanted + gone + WINDOW_MAX) as u64));
                return oldest;
            }
        }
        let missing = wanted - oldest.len();
        oldest.extend(newer.into_iter().flat_map(BTreeMap::values).take(missing).cloned());
        oldest
    }
}
