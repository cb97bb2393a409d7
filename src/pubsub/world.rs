//! A small world for tests: one service with one node name, kept in memory. It gathers facts as the
//! engine does, applies decisions as a store does, and checks with every step what must always hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Affiliation, Attached, Caller, Change, Contact, Decision, Event, EventKind, Facts, Field, Given, ItemFact, ItemId,
    ItemReply, Media, NewItem, Node, NodeConfig, NodeId, NodeKey, NodeState, Payload, Precondition, RawField, Reader,
    Refusal, Request, Role, Rosters, Seq, ServicePolicy, SubId, Subscription, SubscriptionOptions, SubscriptionPolicy,
    SubscriptionState, Tally, Tombstone, Verb, WhoCreates, Words, decide, may_read, needs, rights,
};
use crate::time::Timestamp;

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) policy: ServicePolicy,
    pub(super) node: NodeState,
    pub(super) affiliations: BTreeMap<BareJid, Affiliation>,
    pub(super) subscriptions: Vec<Subscription>,
    /// What the roster of the first says of the second.
    pub(super) rosters: BTreeMap<(BareJid, BareJid), Contact>,
    pub(super) items: BTreeMap<Seq, ItemFact>,
    pub(super) log: Vec<Event>,
    /// Whether the node kept items when its log began.
    kept_at_first: bool,
    now: Timestamp,
    key: i64,
    fresh: u64,
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
            batch_items_max: 5,
            attached_items_max: 3,
            subscriptions: SubscriptionPolicy::default(),
        };
        World {
            policy,
            node: NodeState::Absent,
            affiliations: BTreeMap::new(),
            subscriptions: Vec::new(),
            rosters: BTreeMap::new(),
            items: BTreeMap::new(),
            log: Vec::new(),
            kept_at_first: true,
            now: Timestamp(1_000_000),
            key: 1,
            fresh: 0,
        }
    }

    /// Decides against what is, checks the decision, and makes it what is.
    pub(super) fn ask(&mut self, request: Request) -> Result<Decision, Refusal> {
        self.now = Timestamp(self.now.0 + 1);
        self.key += 1;
        let facts = self.facts(&request);
        let mut fresh = self.fresh;
        let mut fresh_id = || {
            fresh += 1;
            format!("n{fresh}")
        };
        let mut given = Given {
            now: self.now,
            node_key: NodeKey(self.key),
            kept_key: NodeKey(-self.key),
            words: &WORDS,
            fresh_id: &mut fresh_id,
        };
        let outcome = decide(request.clone(), &facts, &mut given);
        self.fresh = fresh;
        let decision = outcome?;
        self.check_decision(&decision);
        self.apply(&decision);
        self.check_state();
        self.check_readers(&request, &decision);
        Ok(decision)
    }

    /// What `needs` asks for, from one view.
    pub(super) fn facts(&self, request: &Request) -> Facts {
        let wanted = needs(request, self.node.present().map(|node| &**node));
        let caller = request.caller.jid.bare();
        let oldest = usize::try_from(wanted.oldest).unwrap();
        let rosters_of: Vec<BareJid> = match wanted.rosters {
            Rosters::None => Vec::new(),
            Rosters::Service => vec![self.policy.service.clone()],
            Rosters::Owners(max) => self.owners(max),
        };
        Facts {
            node: self.node.clone(),
            affiliation: self.affiliation(caller),
            subscriptions: self.subscriptions_of(caller),
            contacts: self.contacts(&rosters_of, caller),
            contacts_of: wanted.affiliations.iter().map(|jid| self.contacts(&rosters_of, jid)).collect(),
            rosters_of,
            owners: self.owners(wanted.owners),
            affiliations: wanted.affiliations.iter().map(|jid| self.affiliation(jid)).collect(),
            subscribers: wanted.subscribers.iter().map(|jid| self.subscriptions_of(jid)).collect(),
            items: wanted.items.iter().map(|id| self.items.values().find(|fact| fact.id == *id).cloned()).collect(),
            oldest: self.items.values().take(oldest).cloned().collect(),
            waiting: self.waiting(wanted.waiting),
            ..Facts::new(Arc::new(self.policy.clone()))
        }
    }

    fn owners(&self, max: usize) -> Vec<BareJid> {
        let owners = self.affiliations.iter().filter(|(_, affiliation)| **affiliation == Affiliation::Owner);
        owners.map(|(owner, _)| owner.clone()).take(max).collect()
    }

    fn contacts(&self, rosters_of: &[BareJid], jid: &BareJid) -> Vec<Contact> {
        rosters_of.iter().filter_map(|owner| self.rosters.get(&(owner.clone(), jid.clone())).cloned()).collect()
    }

    /// Sets the clock.
    pub(super) fn now(&mut self, micros: i64) {
        self.now = Timestamp(micros);
    }

    /// May somebody read, by all that is known, and not only by what a request asked for?
    pub(super) fn may_read(&self, node: &Node, jid: &BareJid, role: Role) -> bool {
        let owners = self.owners(usize::MAX);
        let mut own = self.subscriptions.iter().filter(|subscription| subscription.jid.bare() == jid);
        let reader = Reader {
            affiliation: self.affiliation(jid),
            role,
            subscribed: own.any(|subscription| subscription.state == SubscriptionState::Subscribed),
            contacts: &self.contacts(&owners, jid),
        };
        may_read(&node.config, &reader)
    }

    pub(super) fn affiliation(&self, jid: &BareJid) -> Affiliation {
        self.affiliations.get(jid).copied().unwrap_or_default()
    }

    fn waiting(&self, max: usize) -> Vec<Subscription> {
        let waits = |of: &&Subscription| of.state == SubscriptionState::Pending;
        self.subscriptions.iter().filter(waits).take(max).cloned().collect()
    }

    pub(super) fn subscriptions_of(&self, jid: &BareJid) -> Vec<Subscription> {
        self.subscriptions.iter().filter(|subscription| subscription.jid.bare() == jid).cloned().collect()
    }

    /// A node is one version and a gapless run of events further on, or nothing happened.
    fn check_decision(&self, decision: &Decision) {
        let Some(after) = &decision.node else {
            assert!(decision.changes.is_empty() && decision.events.is_empty(), "changes without a node");
            return;
        };
        let created = decision.changes.first() == Some(&Change::CreateNode);
        let (version, last_seq, floor_seq, key) = match self.node.present() {
            Some(node) => (node.version, node.last_seq, node.floor_seq, node.key),
            None => (0, Seq(0), Seq(1), NodeKey(self.key)),
        };
        assert_eq!(created, self.node.present().is_none(), "a node is created where there is none");
        assert_eq!((after.version, after.key, after.floor_seq), (version + 1, key, floor_seq));
        let mut seq = last_seq;
        for event in &decision.events {
            seq = seq.next();
            assert_eq!((event.seq, event.time), (seq, self.now), "the log is gapless");
        }
        assert_eq!(after.last_seq, seq);
        for change in &decision.changes {
            match change {
                Change::PutItem { fact, replaces } => {
                    let standing = self.items.values().find(|standing| standing.id == fact.id);
                    assert_eq!(standing.map(|standing| standing.seq), *replaces);
                    assert!(decision.events.iter().any(|event| bears(event, fact)), "{fact:?} stands on no event");
                }
                Change::RemoveItem { fact } => assert_eq!(self.items.get(&fact.seq), Some(fact)),
                _ => {}
            }
        }
    }

    fn apply(&mut self, decision: &Decision) {
        let Some(after) = &decision.node else { return };
        self.node = NodeState::Present(Arc::new(after.clone()));
        for change in &decision.changes {
            match change.clone() {
                // Other nodes are not of this world.
                Change::Associate { .. } | Change::Dissociate { .. } => {}
                Change::CreateNode => {
                    self.forget();
                    self.kept_at_first = after.config.persist_items;
                }
                Change::DeleteNode { redirect } => {
                    let (key, last_seq) = (after.key, after.last_seq);
                    let hidden = after.config.hidden;
                    self.node = NodeState::Deleted(Tombstone { key, last_seq, deleted: self.now, redirect, hidden });
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
                    let other = |standing: &Subscription| {
                        standing.jid != subscription.jid || standing.subid != subscription.subid
                    };
                    self.subscriptions.retain(other);
                    if subscription.state != SubscriptionState::None {
                        self.subscriptions.push(subscription);
                    }
                }
            }
        }
        if self.node.present().is_some() {
            self.log.extend(decision.events.iter().cloned());
        }
    }

    fn forget(&mut self) {
        self.affiliations.clear();
        self.subscriptions.clear();
        self.items.clear();
        self.log.clear();
    }

    /// The node's counters are true, its limits hold, and its log tells the same story as its items.
    fn check_state(&self) {
        let Some(node) = self.node.present() else { return };
        let owners = self.affiliations.values().filter(|affiliation| **affiliation == Affiliation::Owner).count();
        assert!(owners > 0, "an owner remains");
        assert_eq!(node.owners, owners as u64);
        match (&node.config.shown_owner, node.config.item_reply) {
            (Some(owner), ItemReply::Owner) => {
                assert_eq!(self.affiliation(owner), Affiliation::Owner, "an owner is shown")
            }
            (None, ItemReply::Publisher | ItemReply::None) => {}
            (shown, reply) => panic!("{shown:?} is shown under {reply:?}"),
        }
        assert_eq!(node.items, self.items.len() as u64);
        let counted = self.subscriptions.iter().filter(|subscription| subscription.counts()).count();
        assert_eq!(node.subscribers, counted as u64, "the counter of subscribers is true");
        let items_max = if node.config.persist_items { node.config.max_items } else { 0 };
        assert!(node.items <= items_max, "{} items where {items_max} may be", node.items);
        let told: Vec<ItemId> = replay(self.kept_at_first, &self.log);
        let kept: Vec<ItemId> = self.items.values().map(|fact| fact.id.clone()).collect();
        assert_eq!(told, kept, "a watcher of the log knows the items");
        for subscription in &self.subscriptions {
            let several = self.policy.subscriptions.multi_subscribe;
            let same = |other: &&Subscription| {
                other.jid == subscription.jid && (!several || other.subid == subscription.subid)
            };
            assert_eq!(self.subscriptions.iter().filter(same).count(), 1, "one subscription a JID, or a SubID");
            let of_entity = self.subscriptions_of(subscription.jid.bare());
            assert!(of_entity.len() <= rights::SUBSCRIPTIONS_MAX);
        }
    }

    /// Nobody is subscribed who may not read; nobody keeps a subscription who is told to go.
    fn check_readers(&self, request: &Request, decision: &Decision) {
        let Some(node) = self.node.present() else { return };
        for change in &decision.changes {
            match change {
                Change::SetSubscription { subscription } if subscription.state == SubscriptionState::Subscribed => {
                    let entity = subscription.jid.bare();
                    let own = entity == request.caller.jid.bare();
                    let role = if own { request.caller.role } else { Role::Stranger };
                    assert!(self.may_read(node, entity, role), "{entity} may not read");
                }
                Change::SetAffiliation { jid, .. } => {
                    let reads = self.may_read(node, jid, Role::Stranger);
                    let waits = |found: &Subscription| found.state == SubscriptionState::Pending;
                    let left = self.subscriptions_of(jid);
                    assert!(reads || left.iter().all(waits), "{jid} is still subscribed");
                    assert!(!reads || !left.iter().any(waits), "{jid} waits for what it may do");
                }
                _ => {}
            }
        }
    }
}

/// Makes the node be there, as its second commit would have left it.
pub(super) fn stand(world: &mut World, config: &[RawField], items: &[(&str, &str)]) {
    let owner = bare("hamlet");
    let config = NodeConfig::new(&world.policy).with(config, &world.policy).unwrap();
    let config = config.showing(std::iter::once(owner.clone()));
    world.kept_at_first = config.persist_items;
    for (position, (id, publisher)) in items.iter().enumerate() {
        let seq = Seq(11 + position as u64);
        let fact = ItemFact { id: item(id), seq, publisher: bare(publisher), published: Timestamp(1) };
        let (item, publisher) = (Some(fact.id.clone()), fact.publisher.clone());
        let kind = EventKind::Published { item, publisher, payload: Some(payload(10, "urn-x")), replaces: None };
        world.log.push(Event { seq, time: Timestamp(1), kind });
        world.items.insert(seq, fact);
    }
    world.affiliations.insert(owner.clone(), Affiliation::Owner);
    world.node = NodeState::Present(Arc::new(Node {
        key: NodeKey(1),
        address: crate::pubsub::NodeAddress { service: world.policy.service.clone(), node: node_id() },
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

impl World {
    /// Makes somebody be subscribed to nothing.
    pub(super) fn forget_subscriptions(&mut self, who: &BareJid) {
        self.subscriptions.retain(|subscription| subscription.jid.bare() != who);
        if let NodeState::Present(node) = &mut self.node {
            let counted = self.subscriptions.iter().filter(|subscription| subscription.counts()).count();
            Arc::make_mut(node).subscribers = counted as u64;
        }
    }

    /// Gives every subscription these options, as they may stand a while after they were asked for.
    pub(super) fn set_options(&mut self, fields: &[RawField]) {
        let options = SubscriptionOptions::default().with(fields, &self.policy.subscriptions, Timestamp(0)).unwrap();
        let options = Arc::new(options);
        self.subscriptions.iter_mut().for_each(|subscription| subscription.options = options.clone());
    }

    /// Makes somebody be subscribed, as its request would have left it.
    pub(super) fn stand_subscribed(&mut self, jid: Jid, subid: SubId) {
        self.stand_in_state(jid, subid, SubscriptionState::Subscribed);
    }

    pub(super) fn stand_in_state(&mut self, jid: Jid, subid: SubId, state: SubscriptionState) {
        let options = SubscriptionOptions::standard();
        let subscription = Subscription { jid, subid, state, options };
        if let NodeState::Present(node) = &mut self.node {
            Arc::make_mut(node).subscribers += u64::from(subscription.counts());
        }
        self.subscriptions.push(subscription);
    }
}

/// The items that a watcher knows who has seen the whole log.
fn replay(mut kept: bool, log: &[Event]) -> Vec<ItemId> {
    let mut known: Vec<ItemId> = Vec::new();
    for event in log {
        match &event.kind {
            EventKind::Published { item: Some(item), .. } if kept => {
                known.retain(|other| other != item);
                known.push(item.clone());
            }
            EventKind::Retracted { item, .. } => {
                assert!(known.contains(item), "retracted what was not there: {item}");
                known.retain(|other| other != item);
            }
            EventKind::Purged => known.clear(),
            EventKind::Configured { config } => kept = config.persist_items,
            EventKind::Published { .. }
            | EventKind::Associated { .. }
            | EventKind::Dissociated { .. }
            | EventKind::Deleted { .. } => {}
        }
    }
    known
}

fn bears(event: &Event, fact: &ItemFact) -> bool {
    let EventKind::Published { item, publisher, .. } = &event.kind else { return false };
    (event.seq, event.time, publisher) == (fact.seq, fact.published, &fact.publisher) && item.as_ref() == Some(&fact.id)
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
