//! A small world for tests: one service with a few node names, kept in memory. It gathers facts as the
//! engine does, applies decisions as a store does, and checks with every step what must always hold.

pub(super) mod check;
mod graph;
mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Affiliation, Attached, Caller, Change, Contact, Decision, Event, EventKind, Facts, Field, Given, ItemFact, ItemId,
    Media, NewItem, Node, NodeConfig, NodeId, NodeKey, NodeState, Payload, Precondition, RawField, Refusal, Request,
    Role, Rosters, Seq, ServicePolicy, SubId, Subscription, SubscriptionOptions, SubscriptionPolicy, SubscriptionState,
    Tally, Tombstone, Verb, WhoCreates, Words, decide, named, needs,
};
use crate::time::Timestamp;

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) policy: ServicePolicy,
    pub(super) places: BTreeMap<NodeId, Place>,
    /// What stands under every other name.
    nothing: Place,
    /// What the roster of the first says of the second.
    pub(super) rosters: BTreeMap<(BareJid, BareJid), Contact>,
    now: Timestamp,
    key: i64,
    fresh: u64,
}

/// One name, and what is kept under it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) node: NodeState,
    pub(super) affiliations: BTreeMap<BareJid, Affiliation>,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) items: BTreeMap<Seq, ItemFact>,
    pub(super) log: Vec<Event>,
    /// What the collection holds.
    pub(super) children: BTreeSet<NodeKey>,
    /// Whether the node kept items when its log began.
    kept_at_first: bool,
}

impl World {
    pub(super) fn new() -> Self {
        let policy = ServicePolicy {
            service: BareJid::new(None, "pubsub.d").unwrap(),
            who_creates: WhoCreates::Accounts,
            auto_create: false,
            templates: Arc::default(),
            payload_bytes_max: 1000,
            items_max: 50,
            children_max: 1000,
            parents_max: 16,
            of_server: false,
            batch_items_max: 5,
            attached_items_max: 3,
            subscriptions: SubscriptionPolicy::default(),
        };
        let places = BTreeMap::from([(node_id(), Place::absent())]);
        World {
            policy,
            places,
            nothing: Place::absent(),
            rosters: BTreeMap::new(),
            now: Timestamp(1_000_000),
            key: 1,
            fresh: 0,
        }
    }

    /// The name that is asked about where nothing else is said.
    pub(super) fn here(&self) -> &Place {
        &self.places[&node_id()]
    }

    pub(super) fn here_mut(&mut self) -> &mut Place {
        self.places.get_mut(&node_id()).unwrap()
    }

    /// What is kept under a name; nothing, where nothing is.
    pub(super) fn at(&self, name: Option<&NodeId>) -> &Place {
        name.and_then(|name| self.places.get(name)).unwrap_or(&self.nothing)
    }

    pub(super) fn clock(&self) -> Timestamp {
        self.now
    }

    /// Decides against what is, checks the decision, and makes it what is.
    pub(super) fn ask(&mut self, request: Request) -> Result<Decision, Refusal> {
        self.now = Timestamp(self.now.0 + 1);
        self.key += 1;
        let mut fresh = self.fresh;
        let outcome = self.outcome(&request, &mut fresh);
        self.fresh = fresh;
        self.check_outcome(&request, &outcome);
        let decision = outcome?;
        self.check_decision(&request, &decision);
        let before = decision.node.is_some().then(|| self.clone());
        self.apply(&decision);
        if let Some(before) = before {
            self.check_state();
            self.check_readers(&request, &decision);
            self.check_audience(&before, &decision);
        }
        Ok(decision)
    }

    fn outcome(&self, request: &Request, fresh: &mut u64) -> Result<Decision, Refusal> {
        let mut fresh_id = || {
            *fresh += 1;
            format!("n{fresh}")
        };
        let mut given = Given {
            now: self.now,
            node_key: NodeKey(self.key),
            kept_key: NodeKey(-self.key),
            words: &WORDS,
            fresh_id: &mut fresh_id,
        };
        decide(request.clone(), &self.facts(request), &mut given)
    }

    /// Whether somebody may follow a node's log: what `delivery` asks before it shows anything, of every subscription
    /// and every watcher.
    pub(super) fn may_watch(&self, node: &NodeId, who: &BareJid, role: Role) -> bool {
        let caller = Caller { jid: who.clone().into(), role };
        let verb = Verb::Watch { node: node.clone() };
        self.outcome(&Request { caller, service: self.policy.service.clone(), verb }, &mut 0).is_ok()
    }

    /// What `needs` asks for, from one view.
    pub(super) fn facts(&self, request: &Request) -> Facts {
        let place = self.at(request.verb.node());
        let wanted = needs(request, place.node.present().map(|node| &**node));
        let caller = request.caller.jid.bare();
        let oldest = usize::try_from(wanted.oldest).unwrap();
        let rosters_of: Vec<BareJid> = match wanted.rosters {
            Rosters::None => Vec::new(),
            Rosters::Service => vec![self.policy.service.clone()],
            Rosters::Owners(max) => place.owners(max),
        };
        let graph = named(request).map(|named| self.graph(request.verb.node(), &named, caller));
        Facts {
            node: place.node.clone(),
            affiliation: place.affiliation(caller),
            subscriptions: place.subscriptions_of(caller),
            contacts: self.contacts(&rosters_of, caller),
            contacts_of: wanted.affiliations.iter().map(|jid| self.contacts(&rosters_of, jid)).collect(),
            rosters_of,
            owners: place.owners(wanted.owners),
            affiliations: wanted.affiliations.iter().map(|jid| place.affiliation(jid)).collect(),
            subscribers: wanted.subscribers.iter().map(|jid| place.subscriptions_of(jid)).collect(),
            items: wanted.items.iter().map(|id| place.items.values().find(|fact| fact.id == *id).cloned()).collect(),
            oldest: place.items.values().take(oldest).cloned().collect(),
            waiting: place.waiting(wanted.waiting),
            graph: graph.unwrap_or_default(),
            ..Facts::new(Arc::new(self.policy.clone()))
        }
    }

    fn contacts(&self, rosters_of: &[BareJid], jid: &BareJid) -> Vec<Contact> {
        rosters_of.iter().filter_map(|owner| self.rosters.get(&(owner.clone(), jid.clone())).cloned()).collect()
    }

    /// Sets the clock.
    pub(super) fn now(&mut self, micros: i64) {
        self.now = Timestamp(micros);
    }

    fn apply(&mut self, decision: &Decision) {
        let Some(after) = &decision.node else { return };
        self.commit(after, &decision.changes, &decision.events);
        for share in &decision.shares {
            self.commit(&share.node, &share.changes, &share.events);
        }
    }

    fn commit(&mut self, after: &Node, changes: &[Change], events: &[Event]) {
        let now = self.now;
        let place = self.places.entry(after.address.node.clone()).or_insert_with(Place::absent);
        place.node = NodeState::Present(Arc::new(after.clone()));
        changes.iter().for_each(|change| place.apply(change.clone(), after, now));
        if place.node.present().is_some() {
            place.log.extend(events.iter().cloned());
        }
    }
}

impl Place {
    fn absent() -> Self {
        Place {
            node: NodeState::Absent,
            affiliations: BTreeMap::new(),
            subscriptions: Vec::new(),
            items: BTreeMap::new(),
            log: Vec::new(),
            children: BTreeSet::new(),
            kept_at_first: true,
        }
    }

    fn apply(&mut self, change: Change, after: &Node, now: Timestamp) {
        match change {
            Change::Associate { child } => assert!(self.children.insert(child), "a node is held once"),
            Change::Dissociate { child } => assert!(self.children.remove(&child), "what is let go was held"),
            Change::CreateNode => {
                self.forget();
                self.kept_at_first = after.config.persist_items;
            }
            Change::DeleteNode { redirect } => {
                let (key, last_seq) = (after.key, after.last_seq);
                let hidden = after.config.hidden;
                self.node = NodeState::Deleted(Tombstone { key, last_seq, deleted: now, redirect, hidden });
                self.forget();
            }
            Change::Purge => self.items.clear(),
            Change::PutItem { fact, replaces } => {
                replaces.map(|seq| self.items.remove(&seq));
                self.items.insert(fact.seq, fact);
            }
            Change::RemoveItem { fact } => {
                self.items.remove(&fact.seq);
            }
            Change::SetAffiliation { jid, affiliation: Affiliation::None } => {
                self.affiliations.remove(&jid);
            }
            Change::SetAffiliation { jid, affiliation } => {
                self.affiliations.insert(jid, affiliation);
            }
            Change::SetSubscription { subscription } => {
                let other =
                    |standing: &Subscription| standing.jid != subscription.jid || standing.subid != subscription.subid;
                self.subscriptions.retain(other);
                if subscription.state != SubscriptionState::None {
                    self.subscriptions.push(subscription);
                }
            }
        }
    }

    fn forget(&mut self) {
        *self = Place { node: self.node.clone(), ..Place::absent() };
    }

    pub(super) fn affiliation(&self, jid: &BareJid) -> Affiliation {
        self.affiliations.get(jid).copied().unwrap_or_default()
    }

    pub(super) fn subscriptions_of(&self, jid: &BareJid) -> Vec<Subscription> {
        self.subscriptions.iter().filter(|subscription| subscription.jid.bare() == jid).cloned().collect()
    }

    fn owners(&self, max: usize) -> Vec<BareJid> {
        let owners = self.affiliations.iter().filter(|(_, affiliation)| **affiliation == Affiliation::Owner);
        owners.map(|(owner, _)| owner.clone()).take(max).collect()
    }

    fn waiting(&self, max: usize) -> Vec<Subscription> {
        let waits = |of: &&Subscription| of.state == SubscriptionState::Pending;
        self.subscriptions.iter().filter(waits).take(max).cloned().collect()
    }
}

/// Makes the node be there, as its second commit would have left it.
pub(super) fn stand(world: &mut World, config: &[RawField], items: &[(&str, &str)]) {
    let owner = bare("hamlet");
    let config = NodeConfig::new(&world.policy).with(config, &world.policy).unwrap();
    let config = config.showing(std::iter::once(owner.clone()));
    let service = world.policy.service.clone();
    let place = world.here_mut();
    place.kept_at_first = config.persist_items;
    for (position, (id, publisher)) in items.iter().enumerate() {
        let seq = Seq(11 + position as u64);
        let fact = ItemFact { id: item(id), seq, publisher: bare(publisher), published: Timestamp(1) };
        let (item, publisher) = (Some(fact.id.clone()), fact.publisher.clone());
        let kind = EventKind::Published { item, publisher, payload: Some(payload(10, "urn-x")), replaces: None };
        place.log.push(Event { seq, time: Timestamp(1), kind });
        place.items.insert(seq, fact);
    }
    // What the log holds beside speaks of no item.
    for seq in 11 + items.len() as u64..=20 {
        let kind = EventKind::Published { item: None, publisher: owner.clone(), payload: None, replaces: None };
        place.log.push(Event { seq: Seq(seq), time: Timestamp(1), kind });
    }
    place.affiliations.insert(owner.clone(), Affiliation::Owner);
    place.node = NodeState::Present(Arc::new(Node {
        key: NodeKey(1),
        address: crate::pubsub::NodeAddress { service, node: node_id() },
        config: Arc::new(config),
        creator: owner,
        created: Timestamp(1),
        last_seq: Seq(20),
        floor_seq: Seq(1),
        items: items.len() as u64,
        owners: 1,
        subscribers: 0,
        version: 7,
    }));
}

/// Makes a leaf `m` be there beside the node that stands, which holds it or does not.
pub(super) fn stand_beside(world: &mut World, owner: &str, held: bool) {
    let name = NodeId::parse("m").unwrap();
    let (service, owner) = (world.policy.service.clone(), bare(owner));
    let node = Node {
        key: NodeKey(0),
        address: crate::pubsub::NodeAddress { service, node: name.clone() },
        config: Arc::new(NodeConfig::new(&world.policy)),
        creator: owner.clone(),
        created: Timestamp(1),
        last_seq: Seq(0),
        floor_seq: Seq(1),
        items: 0,
        owners: 1,
        subscribers: 0,
        version: 1,
    };
    let affiliations = BTreeMap::from([(owner, Affiliation::Owner)]);
    let beside = Place { node: NodeState::Present(Arc::new(node)), affiliations, ..Place::absent() };
    world.places.insert(name.clone(), beside);
    if held {
        let place = world.here_mut();
        place.children.insert(NodeKey(0));
        let kind = EventKind::Associated { node: name, at: Seq(0), created: false, hidden: false };
        place.log.last_mut().expect("it stands").kind = kind;
    }
}

impl World {
    /// Makes somebody be subscribed to nothing.
    pub(super) fn forget_subscriptions(&mut self, who: &BareJid) {
        let place = self.here_mut();
        place.subscriptions.retain(|subscription| subscription.jid.bare() != who);
        if let NodeState::Present(node) = &mut place.node {
            let counted = place.subscriptions.iter().filter(|subscription| subscription.counts()).count();
            Arc::make_mut(node).subscribers = counted as u64;
        }
    }

    /// Gives every subscription these options, as they may stand a while after they were asked for.
    pub(super) fn set_options(&mut self, fields: &[RawField]) {
        let options = SubscriptionOptions::default().with(fields, &self.policy.subscriptions, Timestamp(0)).unwrap();
        let options = Arc::new(options);
        self.here_mut().subscriptions.iter_mut().for_each(|subscription| subscription.options = options.clone());
    }

    /// Makes somebody be subscribed, as its request would have left it.
    pub(super) fn stand_subscribed(&mut self, jid: Jid, subid: SubId) {
        self.stand_in_state(jid, subid, SubscriptionState::Subscribed);
    }

    pub(super) fn stand_in_state(&mut self, jid: Jid, subid: SubId, state: SubscriptionState) {
        let options = SubscriptionOptions::standard();
        let subscription = Subscription { jid, subid, state, options };
        let place = self.here_mut();
        if let NodeState::Present(node) = &mut place.node {
            Arc::make_mut(node).subscribers += u64::from(subscription.counts());
        }
        place.subscriptions.push(subscription);
    }
}

pub(super) fn request(caller: &str, role: Role, verb: Verb) -> Request {
    Request { caller: Caller { jid: jid(caller), role }, service: BareJid::new(None, "pubsub.d").unwrap(), verb }
}

pub(super) fn new_item(id: Option<&str>) -> NewItem {
    NewItem { id: id.map(item), payload: Some(payload(10, "urn-x")), precondition: Precondition::None }
}

pub(super) fn payload(bytes: usize, namespace: &str) -> Payload {
    Payload { media: Media::Xml, namespace: Arc::from(namespace), xml: vec![b'x'; bytes].into() }
}

pub(super) fn raw(name: &str, value: &str) -> RawField {
    let var = Field::named(name).map_or_else(|| format!("pubsub#{name}"), Field::var);
    RawField { name: var, values: vec![value.to_owned()] }
}

/// `romeo` is `romeo@d`, `romeo/phone` is `romeo@d/phone`.
pub(super) fn jid(short: &str) -> Jid {
    match short.split_once('/') {
        None => bare(short).into(),
        Some((local, resource)) => bare(local).with_resource(resource).unwrap().into(),
    }
}

pub(super) fn bare(local: &str) -> BareJid {
    BareJid::new(Some(local), "d").unwrap()
}

pub(super) fn item(id: &str) -> ItemId {
    ItemId::parse(id).unwrap()
}

pub(super) fn node_id() -> NodeId {
    NodeId::parse("n").unwrap()
}

/// Attachments are `noticed,heart,star`, and their sums `2 noticed,1 heart`.
pub(super) const WORDS: Words = Words {
    attached: |payload| {
        let words = std::str::from_utf8(&payload.xml).unwrap().split(',').filter(|word| !word.is_empty());
        let (noticed, reactions): (Vec<&str>, Vec<&str>) = words.partition(|word| *word == "noticed");
        (&*payload.namespace == "attachments").then(|| Attached {
            noticed: !noticed.is_empty(),
            reactions: reactions.into_iter().map(Arc::from).collect(),
        })
    },
    tally: |payload| {
        let mut tally = Tally::default();
        let parts = std::str::from_utf8(&payload.xml).unwrap().split(',').filter_map(|part| part.split_once(' '));
        for (count, word) in parts.map(|(count, word)| (count.parse().unwrap(), word)) {
            match word {
                "noticed" => tally.noticed = count,
                reaction => drop(tally.reactions.insert(reaction.into(), count)),
            }
        }
        tally
    },
    subscriber: |jid| Payload { xml: jid.as_str().as_bytes().into(), ..payload(0, "subscriber") },
    summary: |tally| {
        let reactions = tally.reactions.iter().map(|(reaction, count)| (*count, &**reaction));
        let counted = std::iter::once((tally.noticed, "noticed")).chain(reactions);
        let text: Vec<String> = counted.map(|(count, word)| format!("{count} {word}")).collect();
        Payload { xml: text.join(",").as_bytes().into(), ..payload(0, "summary") }
    },
};
