//! Makes commits as the engine would, with the numbers right.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Affiliation, Change, Event, EventKind, Expire, ItemFact, ItemId, Media, Node, NodeAddress, NodeConfig, NodeId,
    NodeKey, NodeState, Payload, Seq, ServicePolicy, SubId, Subscription, SubscriptionOptions, SubscriptionState,
    WhoCreates,
};
use crate::store::{Ask, Found, NodeCommit, Store};
use crate::time::Timestamp;

/// A node as the test believes it to be, and what is to be committed to it next.
#[derive(Clone)]
pub struct Hand {
    pub node: Node,
    pub items: BTreeMap<String, ItemFact>,
    /// Every event that was ever committed.
    pub told: Vec<Event>,
    next: Option<NodeCommit>,
    pub now: Timestamp,
}

impl Hand {
    /// A node that is not created yet.
    pub async fn new(store: &dyn Store, service: &str, node: &str) -> Hand {
        let key = NodeKey(store.reserve_node_keys(1).await.unwrap().start);
        let node = Node {
            key,
            address: NodeAddress { service: jid(service), node: NodeId::parse(node).unwrap() },
            config: Arc::new(NodeConfig::new(&policy())),
            creator: jid("alice@localhost"),
            created: Timestamp(1_000_000),
            last_seq: Seq(0),
            floor_seq: Seq(1),
            items: 0,
            owners: 1,
            subscribers: 0,
            version: 0,
        };
        let mut hand = Hand { node, items: BTreeMap::new(), told: Vec::new(), next: None, now: Timestamp(1_000_000) };
        hand.change(Change::CreateNode);
        hand
    }

    /// A node that is there.
    pub async fn create(store: &dyn Store, service: &str, node: &str) -> Hand {
        let mut hand = Hand::new(store, service, node).await;
        hand.commit(store).await;
        hand
    }

    /// What was done since the last commit, as a part of a batch. The test is to commit it.
    pub fn part(&mut self) -> NodeCommit {
        self.draft();
        let mut commit = self.next.take().expect("drafted above");
        commit.node = self.node.clone();
        self.told.extend(commit.events.iter().cloned());
        commit
    }

    pub async fn commit(&mut self, store: &dyn Store) {
        store.commit(vec![self.part()]).await.unwrap();
    }

    fn draft(&mut self) -> &mut NodeCommit {
        if self.next.is_none() {
            let expected_version = self.node.version;
            self.node.version += 1;
            self.next = Some(NodeCommit {
                node: self.node.clone(),
                expected_version,
                changes: Vec::new(),
                events: Vec::new(),
                trim_from: None,
                memos: Vec::new(),
            });
        }
        self.next.as_mut().expect("made above")
    }

    pub fn change(&mut self, change: Change) {
        self.draft().changes.push(change);
    }

    pub fn tell(&mut self, kind: EventKind) -> Seq {
        self.node.last_seq = self.node.last_seq.next();
        let event = Event { seq: self.node.last_seq, time: self.now, kind };
        self.draft().events.push(event);
        self.node.last_seq
    }

    pub fn publish(&mut self, id: &str, xml: &str) -> Seq {
        let item = ItemId::parse(id).unwrap();
        let replaces = self.items.get(id).map(|fact| fact.seq);
        let publisher = jid("bob@localhost");
        let seq = self.tell(EventKind::Published {
            item: Some(item.clone()),
            publisher: publisher.clone(),
            payload: Some(payload(xml)),
            replaces,
        });
        let fact = ItemFact { id: item, seq, publisher, published: self.now };
        self.change(Change::PutItem { fact: fact.clone(), replaces });
        self.items.insert(id.to_owned(), fact);
        self.node.items = self.items.len() as u64;
        seq
    }

    pub fn retract(&mut self, id: &str) -> Seq {
        let fact = self.items.remove(id).expect("the item is there");
        self.node.items = self.items.len() as u64;
        let seq = self.tell(EventKind::Retracted { item: fact.id.clone(), notify: true });
        self.change(Change::RemoveItem { fact });
        seq
    }

    pub fn purge(&mut self) -> Seq {
        self.items.clear();
        self.node.items = 0;
        self.change(Change::Purge);
        self.tell(EventKind::Purged)
    }

    pub fn delete(&mut self, redirect: Option<&str>) -> Seq {
        let redirect: Option<Arc<str>> = redirect.map(Arc::from);
        self.change(Change::DeleteNode { redirect: redirect.clone() });
        self.tell(EventKind::Deleted { redirect })
    }

    pub fn trim(&mut self, floor: Seq) {
        let from = self.node.floor_seq;
        self.draft().trim_from.get_or_insert(from);
        self.node.floor_seq = floor;
    }

    pub fn affiliate(&mut self, who: &str, affiliation: Affiliation) {
        self.change(Change::SetAffiliation { jid: jid(who), affiliation });
    }

    pub fn subscribe(&mut self, who: &str, subid: &str, state: SubscriptionState) -> Subscription {
        let subscription = subscription(who, subid, state);
        if subscription.counts() {
            self.node.subscribers += 1;
        } else if state == SubscriptionState::None {
            self.node.subscribers = self.node.subscribers.saturating_sub(1);
        }
        self.change(Change::SetSubscription { subscription: subscription.clone() });
        subscription
    }

    /// A subscription that ends by itself.
    pub fn lease(&mut self, who: &str, subid: &str, expire: Expire) -> Subscription {
        let options = Arc::new(SubscriptionOptions { expire, include_body: true, ..SubscriptionOptions::default() });
        let subscription = Subscription { options, ..subscription(who, subid, SubscriptionState::Subscribed) };
        self.change(Change::SetSubscription { subscription: subscription.clone() });
        subscription
    }

    /// The node as the store has it.
    pub async fn found(&self, store: &dyn Store) -> NodeState {
        match store.gather(vec![Ask::Node(self.node.address.clone())]).await.unwrap().remove(0) {
            Found::Node(state) => state,
            other => panic!("{other:?}"),
        }
    }

    /// The whole log as the store has it.
    pub async fn log(&self, store: &dyn Store) -> Vec<Event> {
        store.read_log(self.node.key, Seq(0), usize::MAX, usize::MAX).await.unwrap().expect("the node is there").events
    }
}

pub fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

pub fn subscription(who: &str, subid: &str, state: SubscriptionState) -> Subscription {
    let options = SubscriptionOptions::standard();
    Subscription { jid: Jid::parse(who).unwrap(), subid: SubId(Arc::from(subid)), state, options }
}

pub fn payload(xml: &str) -> Payload {
    Payload { media: Media::Json, namespace: Arc::from("urn:xmpp:json:0"), xml: Arc::from(xml.as_bytes()) }
}

/// The payload of a published event.
pub fn payload_of(event: &Event) -> Option<&str> {
    match &event.kind {
        EventKind::Published { payload: Some(payload), .. } => Some(std::str::from_utf8(&payload.xml).unwrap()),
        _ => None,
    }
}

pub fn policy() -> ServicePolicy {
    ServicePolicy {
        service: jid("pubsub.localhost"),
        who_creates: WhoCreates::Accounts,
        auto_create: false,
        templates: Arc::default(),
        payload_bytes_max: 1 << 20,
        items_max: 10_000,
        children_max: 1000,
        parents_max: 16,
        of_server: false,
        batch_items_max: 100,
        attached_items_max: 100,
        subscriptions: crate::pubsub::SubscriptionPolicy::default(),
    }
}

pub const SERVICE: &str = "pubsub.localhost";
