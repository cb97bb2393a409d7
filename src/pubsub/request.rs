//! What may be asked of a node, and what a decision is made of.

use std::sync::Arc;

use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Affiliation, Event, ItemFact, ItemId, Node, NodeId, NodeKey, Payload, RawField, Seq, SubId, Subscription,
    SubscriptionOptions, SubscriptionState,
};
use crate::time::Timestamp;

/// Who asks what of which service. Made by a door, from whatever its wire looks like.
#[derive(Clone, Debug)]
pub struct Request {
    pub caller: Caller,
    pub service: BareJid,
    pub verb: Verb,
}

/// Who is calling, as authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// A session's full JID, or the bare JID that an HTTP credential speaks for.
    pub jid: Jid,
    pub role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Administers this service: owner of every node, and may create anywhere.
    Admin,
    /// Has an account on this server.
    Account,
    /// Neither: an entity of another server or of a component.
    Stranger,
}

/// One use case each; the file of the same name decides it.
#[derive(Clone, Debug)]
pub enum Verb {
    /// XEP-0060 §8.1. Without a name, an instant node.
    Create { node: Option<NodeId>, config: Vec<RawField> },
    /// XEP-0060 §8.2.
    Configure { node: NodeId, config: Vec<RawField> },
    /// XEP-0060 §8.2.1: the owner's view of the configuration.
    Configuration { node: NodeId },
    /// XEP-0060 §8.4.
    Delete { node: NodeId, redirect: Option<Arc<str>> },
    /// XEP-0248 §7.5: the node comes into the collection.
    Associate { collection: NodeId, node: NodeId },
    /// XEP-0248 §7.6.
    Dissociate { collection: NodeId, node: NodeId },
    /// XEP-0060 §8.5.
    Purge { node: NodeId },
    /// XEP-0060 §7.1. All items or none.
    Publish {
        node: NodeId,
        items: Vec<NewItem>,
        /// Publish options that must match the node (XEP-0060 §7.1.5), and the configuration of a
        /// node that the publish creates.
        options: Option<Vec<RawField>>,
        /// The caller asks for the node to be created when it is absent (HTTP `?create=true`).
        create: bool,
    },
    /// XEP-0060 §7.2. `notify` overrides `pubsub#notify_retract` when it is present.
    Retract { node: NodeId, items: Vec<ItemId>, notify: Option<bool>, precondition: Precondition },
    /// XEP-0060 §6.1, and with options §6.3.7.
    Subscribe { node: NodeId, jid: Jid, options: Option<Vec<RawField>>, public: Public },
    /// XEP-0060 §6.2.
    Unsubscribe { node: NodeId, jid: Jid, subid: Option<SubId> },
    /// XEP-0060 §6.3.2: the options of a subscription of this JID.
    Options { node: NodeId, jid: Jid, subid: Option<SubId> },
    /// XEP-0060 §6.3.5.
    SetOptions { node: NodeId, jid: Jid, subid: Option<SubId>, options: Vec<RawField> },
    /// XEP-0060 §6.4: what a subscription is like that asks for no options, to one node or to any.
    DefaultOptions { node: Option<NodeId> },
    /// The server's own: ends a subscription of this JID whose lease has run out, or which was to last
    /// as long as the presence of its subscriber, who has gone (XEP-0060 §12.5, §12.19).
    Lapse { node: NodeId, jid: Jid, subid: SubId },
    /// XEP-0060 §6.5.
    Items { node: NodeId, selection: Selection, page: Page, view: View },
    /// XEP-0060 §5.6: the caller's own, at one node or everywhere.
    Subscriptions { node: Option<NodeId>, page: Page },
    /// XEP-0060 §5.7: the caller's own, at one node or everywhere.
    Affiliations { node: Option<NodeId>, page: Page },
    /// XEP-0060 §8.8.1: everyone's, for the owner.
    NodeSubscriptions { node: NodeId, page: Page },
    /// XEP-0060 §8.8.2. `SubscriptionState::None` ends one.
    SetSubscriptions { node: NodeId, changes: Vec<(Jid, Option<SubId>, SubscriptionState)> },
    /// XEP-0060 §8.6: an owner's answer to somebody who waits to be subscribed.
    Approve { node: NodeId, jid: Jid, subid: Option<SubId>, allow: bool },
    /// XEP-0060 §8.7: who waits, at one node or at every node that the caller owns.
    Pending { node: Option<NodeId> },
    /// XEP-0060 §8.9.1: everyone's, for the owner.
    NodeAffiliations { node: NodeId, page: Page },
    /// XEP-0060 §8.9.2. All changes or none.
    SetAffiliations { node: NodeId, changes: Vec<(BareJid, Affiliation)> },
    /// XEP-0060 §5.2: the nodes that the caller may know of.
    Nodes { page: Page },
    /// XEP-0060 §5.3, §5.4: that a node exists, and its metadata.
    Metadata { node: NodeId },
    /// Items that are due go (`pubsub#item_expire`). No door asks this: the engine does, in its own name.
    Expire { node: NodeId },
    /// May the caller follow the node's log? Answers with the node, whose head is a position.
    Watch { node: NodeId },
}

impl Verb {
    /// The node that is addressed, where one is.
    pub fn node(&self) -> Option<&NodeId> {
        match self {
            Verb::Create { node, .. }
            | Verb::Subscriptions { node, .. }
            | Verb::DefaultOptions { node }
            | Verb::Affiliations { node, .. }
            | Verb::Pending { node } => node.as_ref(),
            Verb::Nodes { .. } => None,
            Verb::Configure { node, .. }
            | Verb::Configuration { node }
            | Verb::Delete { node, .. }
            | Verb::Associate { collection: node, .. }
            | Verb::Dissociate { collection: node, .. }
            | Verb::Purge { node }
            | Verb::Publish { node, .. }
            | Verb::Retract { node, .. }
            | Verb::Subscribe { node, .. }
            | Verb::Unsubscribe { node, .. }
            | Verb::Options { node, .. }
            | Verb::SetOptions { node, .. }
            | Verb::Lapse { node, .. }
            | Verb::Items { node, .. }
            | Verb::NodeSubscriptions { node, .. }
            | Verb::SetSubscriptions { node, .. }
            | Verb::NodeAffiliations { node, .. }
            | Verb::SetAffiliations { node, .. }
            | Verb::Metadata { node }
            | Verb::Approve { node, .. }
            | Verb::Expire { node }
            | Verb::Watch { node } => Some(node),
        }
    }
}

/// Whether everybody may know of a subscription (XEP-0465 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Public {
    /// The door has no word for it: as it was, and at first not.
    #[default]
    AsItIs,
    Yes,
    No,
}

/// An item to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewItem {
    /// Without one the service makes it.
    pub id: Option<ItemId>,
    pub payload: Option<Payload>,
    pub precondition: Precondition,
}

/// A condition on the current item of a name (RFC 9110 §13.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precondition {
    #[default]
    None,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: *`
    Present,
    /// `If-Match: "etag"`: a publication of this node, and of none that had its name before.
    At(NodeKey, Seq),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    All,
    /// The newest so many (XEP-0060 §6.5.7).
    Newest(u64),
    /// These, in this order; one that is absent is left out (XEP-0060 §6.5.8).
    These(Vec<ItemId>),
}

/// How items are read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct View {
    pub under: Under,
    pub order: Order,
    pub payloads: Payloads,
}

/// Which of the caller's subscriptions a reading speaks of (XEP-0060 §6.5.9.1). What is read does not
/// depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Under {
    /// The door knows no subscriptions.
    #[default]
    Any,
    /// The one that the request names; it may leave that out where there is no other.
    Named(Option<SubId>),
}

/// What the items of a list are ordered by (XEP-0413 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// When the item was published last: by seq.
    #[default]
    Modification,
    /// When an item of its id was published that was new.
    Creation,
}

/// Whether payloads are read, or names alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Payloads {
    #[default]
    Read,
    Left,
}

/// A page of a list (XEP-0059). `max` is at most what the door allows; 0 asks for the count only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub max: u64,
    pub edge: Edge,
}

/// Where a page begins or ends. What stands in `After` and `Before` is a list's own key of its
/// entries: of items the seq in decimal, of nodes the NodeID, of subscriptions and affiliations the JID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edge {
    First,
    After(String),
    Before(String),
    Last,
    /// At this number, counted from 0 (XEP-0059 §2.6).
    At(u64),
    /// The page ends so many entries ahead of the end.
    AtEnd(u64),
}

/// What the pure core made of a request: all of it is committed, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub reply: Reply,
    /// The node as it is after the commit; absent where nothing changes. Its `version` is one more
    /// than the facts' and `last_seq` the last event's.
    pub node: Option<Node>,
    pub changes: Vec<Change>,
    pub events: Vec<Event>,
    /// What is done to other nodes with it.
    pub shares: Vec<Share>,
}

/// What a decision does to a node beside the one that was addressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The node as it was when it was decided; absent where this creates it.
    pub before: Option<Arc<Node>>,
    pub node: Node,
    pub changes: Vec<Change>,
    pub events: Vec<Event>,
}

/// What a commit changes beside the node's own row and its log, which hold every event of the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    CreateNode,
    /// The row goes, with items, affiliations, subscriptions and log; a tombstone stays.
    DeleteNode {
        redirect: Option<Arc<str>>,
    },
    /// Every item goes, and every payload in the log.
    Purge,
    /// `fact.seq` is the seq of the event that bears the payload.
    PutItem {
        fact: ItemFact,
        replaces: Option<Seq>,
    },
    /// The item goes, and its payloads are erased from the log.
    RemoveItem {
        fact: ItemFact,
    },
    /// `Affiliation::None` removes the entry.
    SetAffiliation {
        jid: BareJid,
        affiliation: Affiliation,
    },
    /// `SubscriptionState::None` removes it.
    SetSubscription {
        subscription: Subscription,
    },
    /// The node holds another one (XEP-0248).
    Associate {
        child: NodeKey,
    },
    /// It does no more. Whatever is deleted is held by nothing, and holds nothing.
    Dissociate {
        child: NodeKey,
    },
}

/// The success of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Created {
        node: NodeId,
    },
    /// Done, and there is nothing to say.
    Done,
    Published {
        items: Vec<Published>,
        created: bool,
    },
    Retracted,
    /// The subscription, and whether the last item is due to its JID (XEP-0060 §6.1.7).
    Subscribed {
        subscription: Subscription,
        send_last: bool,
    },
    /// As it was, and is no more.
    Unsubscribed {
        subscription: Subscription,
    },
    /// The subscription whose options were asked for.
    Options {
        subscription: Subscription,
    },
    DefaultOptions {
        options: Arc<SubscriptionOptions>,
    },
    /// So many items have gone because their time had come.
    Expired {
        items: usize,
    },
    Watching {
        node: Arc<Node>,
    },
    /// The caller may read this; `engine` fetches it once all that was decided before is committed.
    Read(Read),
}

/// A reading of the store that has been allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    Items {
        node: Arc<Node>,
        selection: Selection,
        page: Page,
        order: Order,
        payloads: Payloads,
    },
    /// How a node is set, and where it stands in the graph of collections.
    Configuration {
        node: Arc<Node>,
    },
    /// The nodes that a collection holds; without hidden ones, but for administrators.
    Children {
        node: Arc<Node>,
        hidden: bool,
    },
    /// What anybody may know of a node, with its owners and publishers, who are those of the second.
    Metadata {
        node: Arc<Node>,
        led: NodeKey,
    },
    /// One entity's subscriptions: at one node, or everywhere at a service.
    SubscriptionsOf {
        service: BareJid,
        jid: BareJid,
        node: Option<NodeKey>,
        page: Page,
    },
    AffiliationsOf {
        service: BareJid,
        jid: BareJid,
        node: Option<NodeKey>,
        page: Page,
    },
    NodeSubscriptions {
        node: NodeKey,
        page: Page,
    },
    NodeAffiliations {
        node: NodeKey,
        page: Page,
    },
    /// Those that the viewer may know of; without one, all.
    Nodes {
        service: BareJid,
        viewer: Option<BareJid>,
        page: Page,
    },
    /// Subscriptions that wait for approval: at one node, or at the nodes of an owner, or at all.
    Pending {
        service: BareJid,
        owner: Option<BareJid>,
        node: Option<NodeKey>,
    },
}

/// What became of one item of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub id: Option<ItemId>,
    pub seq: Seq,
    pub replaced: bool,
    pub time: Timestamp,
}
