//! What a turn has decided and not yet committed, laid over the cache, so that the next request of
//! the turn sees it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::cache::{Cache, Hot, WINDOW_MAX, Window};
use crate::jid::BareJid;
use crate::pubsub::{
    About, Affiliation, Change, Contact, Event, EventKind, Facts, Graph, ItemFact, ItemId, Kept, Needs, Node,
    NodeAddress, NodeKey, NodeState, Payload, Request, Role, Rosters, Seq, ServicePolicy, Subscription,
    SubscriptionState, Target, Told, Tombstone, governed, may_know, named, needs, questions, root, rosters,
};
use crate::store::{Ask, Memo, MemoKey, NodeCommit};
use crate::time::Timestamp;

#[derive(Default)]
pub(super) struct Overlay {
    drafts: HashMap<NodeAddress, Draft>,
    /// Of these nodes something is written, or of what is kept of them.
    roots: HashSet<NodeAddress>,
    commits: Vec<NodeCommit>,
    /// Items that the store was asked for in this turn.
    items: HashMap<(NodeKey, ItemId), Option<ItemFact>>,
    payloads: HashMap<(NodeKey, ItemId), Option<Payload>>,
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
    /// What they hold, of nodes that the service keeps.
    payloads: HashMap<ItemId, Option<Payload>>,
    puts: BTreeMap<Seq, ItemFact>,
    gone: HashSet<Seq>,
    /// Where its share of the batch stands in `commits`.
    commit: Option<usize>,
}

/// What must be gathered, and of which name.
pub(super) type Asks = Vec<(NodeAddress, Ask)>;

impl Overlay {
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    pub fn commits(&self) -> &[NodeCommit] {
        &self.commits
    }

    /// Whether anything changes of this name, or of what is decided together with it.
    pub fn touches(&self, address: &NodeAddress) -> bool {
        !self.roots.is_empty() && self.roots.contains(&root(address))
    }

    pub fn addresses(&self) -> impl Iterator<Item = &NodeAddress> {
        self.drafts.keys()
    }

    pub fn learn_item(&mut self, node: NodeKey, item: ItemId, fact: Option<ItemFact>) {
        self.items.insert((node, item), fact);
    }

    pub fn learn_payload(&mut self, node: NodeKey, item: ItemId, payload: Option<Payload>) {
        self.payloads.insert((node, item), payload);
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
    ) -> Result<Facts, Asks> {
        let mut facts = Facts::new(policy.clone());
        if named(request).is_some() {
            facts.graph = self.graph.clone();
        }
        let Some(address) = address else { return Ok(facts) };
        let mut asks = Asks::new();
        let Some(state) = self.state(cache, address, &mut asks) else { return Err(asks) };
        facts.kept = Kept::of(&address.service, &address.node);
        if state.present().is_some_and(|node| node.owners > 0) {
            facts.kept = None;
        }
        let target = facts.kept.as_ref().and_then(Kept::target);
        let target = target.map(|node| NodeAddress { service: address.service.clone(), node: node.clone() });
        let of = match &target {
            None => None,
            Some(target) => match self.state(cache, target, &mut asks) {
                None => return Err(asks),
                Some(state) => state.present().cloned(),
            },
        };
        facts.node = match (state, &of) {
            (NodeState::Present(node), Some(of)) => NodeState::Present(governed(&node, of)),
            (state, _) => state,
        };
        let known = self.of_node(cache, request, address, of.as_ref(), &mut facts, &mut asks);
        if known && asks.is_empty() {
            self.beside(cache, request, address, &mut facts, &mut asks);
        }
        if asks.is_empty() { Ok(facts) } else { Err(asks) }
    }

    /// What must be known of the addressed node, and of those whom the request names; of their rights, by what they
    /// are to the node that it is kept `of`. False where the caller may not know that there is a node, which is then
    /// all that has to be known: so much is asked about a node that is not there, too, so that the work which an
    /// answer takes does not tell the two apart.
    fn of_node(
        &self,
        cache: &Cache,
        request: &Request,
        address: &NodeAddress,
        of: Option<&Arc<Node>>,
        facts: &mut Facts,
        asks: &mut Asks,
    ) -> bool {
        let present = facts.node.present().cloned();
        let Needs { affiliations, subscribers, items, oldest, waiting, owners, rosters: _ } =
            needs(request, present.as_deref());
        let caller = request.caller.jid.bare();
        let Some(ruling) = of.or(present.as_ref()) else {
            if request.caller.role != Role::Admin {
                let nothing = self.view(cache, address, NO_NODE);
                nothing.affiliation(caller, asks);
                nothing.subscriptions(caller, asks);
            }
            facts.affiliations = vec![Affiliation::None; affiliations.len()];
            facts.contacts_of = vec![Vec::new(); affiliations.len()];
            facts.subscribers = vec![Vec::new(); subscribers.len()];
            facts.items = vec![None; items.len()];
            return true;
        };
        let rights = self.view(cache, &ruling.address, ruling.key);
        facts.affiliation = rights.affiliation(caller, asks);
        let ruled = (of.is_some() || ruling.config.hidden).then(|| rights.subscriptions(caller, asks));
        let ruled = ruled.unwrap_or_default();
        facts.target = of.map(|of| Target { node: of.clone(), subscriptions: ruled.clone() });
        let role = request.caller.role;
        if of.is_none()
            && ruling.config.hidden
            && role != Role::Admin
            && (!asks.is_empty() || !may_know(&ruling.config, facts.affiliation, role, !ruled.is_empty()))
        {
            return false;
        }
        facts.rosters_of = match rosters(ruling) {
            Rosters::None => Vec::new(),
            Rosters::Service => vec![ruling.address.service.clone()],
            Rosters::Owners(max) => rights.owners(max, asks),
        };
        if owners > 0 {
            facts.owners = rights.owners(owners, asks);
        }
        facts.contacts = rights.contacts(&facts.rosters_of, caller, asks);
        facts.contacts_of = affiliations.iter().map(|jid| rights.contacts(&facts.rosters_of, jid, asks)).collect();
        facts.affiliations = affiliations.iter().map(|jid| rights.affiliation(jid, asks)).collect();
        let Some(node) = present else {
            facts.subscribers = vec![Vec::new(); subscribers.len()];
            facts.items = vec![None; items.len()];
            return true;
        };
        let view = self.view(cache, address, node.key);
        facts.subscriptions = view.subscriptions(caller, asks);
        facts.subscribers = subscribers.iter().map(|jid| view.subscriptions(jid, asks)).collect();
        facts.items = items.iter().map(|item| view.item(item, asks)).collect();
        facts.oldest = view.oldest(usize::try_from(oldest).unwrap_or(usize::MAX), asks);
        facts.waiting = view.waiting(waiting, asks);
        true
    }

    /// What must be known of other nodes, as far as can be told.
    fn beside(&self, cache: &mut Cache, request: &Request, address: &NodeAddress, facts: &mut Facts, asks: &mut Asks) {
        loop {
            let mut questions = questions(request, facts);
            questions.retain(|question| !facts.beside.knows(question));
            if questions.is_empty() {
                return;
            }
            for question in questions {
                let other = NodeAddress { service: address.service.clone(), node: question.node.clone() };
                let Some(state) = self.state(cache, &other, asks) else { continue };
                let before = asks.len();
                let view = state.present().map(|node| self.view(cache, &other, node.key));
                let told = match (&question.about, view) {
                    (About::Node, _) => Told::Node(state.clone()),
                    (About::Item(item), Some(view)) => Told::Item(view.item(item, asks)),
                    (About::Payload(item), Some(view)) => Told::Payload(view.payload(item, asks)),
                    (About::Items(max), Some(view)) => {
                        Told::Items(view.oldest(usize::try_from(*max).unwrap_or(usize::MAX), asks))
                    }
                    (About::Item(_), None) => Told::Item(None),
                    (About::Payload(_), None) => Told::Payload(None),
                    (About::Items(_), None) => Told::Items(Vec::new()),
                };
                if asks.len() == before {
                    facts.beside.learn(question, told);
                }
            }
            if !asks.is_empty() {
                return;
            }
        }
    }

    fn state(&self, cache: &mut Cache, address: &NodeAddress, asks: &mut Asks) -> Option<NodeState> {
        let state = match self.drafts.get(address) {
            Some(draft) => Some(draft.state.clone()),
            None => cache.of(address).map(|hot| hot.state.clone()),
        };
        if state.is_none() {
            asks.push((address.clone(), Ask::Node(address.clone())));
        }
        state
    }

    fn view<'a>(&'a self, cache: &'a Cache, address: &'a NodeAddress, key: NodeKey) -> View<'a> {
        View { address, key, draft: self.drafts.get(address), hot: cache.peek(address), learnt: self }
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
            self.roots.insert(root(address));
            self.drafts.insert(address.clone(), Draft::new(state));
        }
        let draft = self.drafts.get_mut(address).expect("inserted above");
        for change in changes {
            draft.apply(change, cache, node, now);
        }
        if node.owners == 0 {
            draft.hold(changes, events);
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
            payloads: HashMap::new(),
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
                self.payloads.clear();
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

    /// Keeps what was published, for it to be counted on.
    fn hold(&mut self, changes: &[Change], events: &[Event]) {
        for change in changes {
            let Change::PutItem { fact, .. } = change else { continue };
            let published = events.iter().find(|event| event.seq == fact.seq).map(|event| &event.kind);
            if let Some(EventKind::Published { payload, .. }) = published {
                self.payloads.insert(fact.id.clone(), payload.clone());
            }
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
    address: &'a NodeAddress,
    key: NodeKey,
    draft: Option<&'a Draft>,
    hot: Option<&'a Hot>,
    learnt: &'a Overlay,
}

impl View<'_> {
    fn fresh(&self) -> bool {
        self.draft.is_some_and(|draft| draft.fresh)
    }

    fn affiliation(&self, jid: &BareJid, asks: &mut Asks) -> Affiliation {
        if let Some(known) = self.draft.and_then(|draft| draft.affiliations.get(jid)) {
            return *known;
        }
        if self.fresh() {
            return Affiliation::None;
        }
        match self.hot.and_then(|hot| hot.affiliations.get(jid)) {
            Some(known) => *known,
            None => {
                asks.push((self.address.clone(), Ask::Affiliation(self.key, jid.clone())));
                Affiliation::None
            }
        }
    }

    fn subscriptions(&self, jid: &BareJid, asks: &mut Asks) -> Vec<Subscription> {
        if let Some(known) = self.draft.and_then(|draft| draft.subscriptions.get(jid)) {
            return known.clone();
        }
        if self.fresh() {
            return Vec::new();
        }
        match self.hot.and_then(|hot| hot.subscriptions.get(jid)) {
            Some(known) => known.clone(),
            None => {
                asks.push((self.address.clone(), Ask::Subscriptions(self.key, jid.clone())));
                Vec::new()
            }
        }
    }

    fn item(&self, item: &ItemId, asks: &mut Asks) -> Option<ItemFact> {
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
                asks.push((self.address.clone(), Ask::Item(self.key, item.clone())));
                None
            }
        }
    }

    /// What the current item of this name holds.
    fn payload(&self, item: &ItemId, asks: &mut Asks) -> Option<Payload> {
        if let Some(draft) = self.draft {
            if let Some(known) = draft.payloads.get(item) {
                return known.clone();
            }
            if draft.fresh || draft.items_fresh {
                return None;
            }
        }
        match self.learnt.payloads.get(&(self.key, item.clone())) {
            Some(known) => known.clone(),
            None => {
                asks.push((self.address.clone(), Ask::Payload(self.key, item.clone())));
                None
            }
        }
    }

    /// Some of the node's owners, as this turn leaves them.
    fn owners(&self, max: usize, asks: &mut Asks) -> Vec<BareJid> {
        let mut owners = match self.learnt.owners.get(&self.key) {
            _ if self.fresh() => Vec::new(),
            Some(known) => known.clone(),
            None => {
                asks.push((self.address.clone(), Ask::Owners(self.key, max)));
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
    fn waiting(&self, max: usize, asks: &mut Asks) -> Vec<Subscription> {
        let mut waiting = match self.learnt.waiting.get(&self.key) {
            _ if max == 0 || self.fresh() => Vec::new(),
            Some(known) => known.clone(),
            None => {
                asks.push((self.address.clone(), Ask::Waiting(self.key, max)));
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
    fn contacts(&self, rosters_of: &[BareJid], jid: &BareJid, asks: &mut Asks) -> Vec<Contact> {
        let mut contacts = Vec::new();
        for owner in rosters_of {
            match self.learnt.contacts.get(&(owner.clone(), jid.clone())) {
                Some(known) => contacts.extend(known.clone()),
                None => asks.push((self.address.clone(), Ask::Contact(owner.clone(), jid.clone()))),
            }
        }
        contacts
    }

    fn oldest(&self, wanted: usize, asks: &mut Asks) -> Vec<ItemFact> {
        if wanted == 0 {
            return Vec::new();
        }
        let mut oldest: Vec<ItemFact> = Vec::new();
        let newer = self.draft.map(|draft| &draft.puts);
        if !self.draft.is_some_and(|draft| draft.fresh || draft.items_fresh) {
            let gone = self.draft.map(|draft| &draft.gone);
            let Some(window) = self.hot.and_then(|hot| hot.oldest.as_ref()) else {
                asks.push((self.address.clone(), Ask::Oldest(self.key, (wanted + WINDOW_MAX) as u64)));
                return oldest;
            };
            let still = |fact: &&ItemFact| gone.is_none_or(|gone| !gone.contains(&fact.seq));
            oldest.extend(window.items.iter().filter(still).take(wanted).cloned());
            if oldest.len() < wanted && !window.complete {
                let gone = gone.map_or(0, HashSet::len);
                asks.push((self.address.clone(), Ask::Oldest(self.key, (wanted + gone + WINDOW_MAX) as u64)));
                return oldest;
            }
        }
        let missing = wanted - oldest.len();
        oldest.extend(newer.into_iter().flat_map(BTreeMap::values).take(missing).cloned());
        oldest
    }
}
