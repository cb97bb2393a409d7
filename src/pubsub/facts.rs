//! What a decision needs to know, gathered by `engine` before [`crate::pubsub::decide`] is asked.

use std::sync::Arc;

use crate::jid::BareJid;
use crate::pubsub::{
    Affiliation, Beside, Caller, Contact, Graph, ItemFact, ItemId, Kept, Node, NodeConfig, NodeId, NodeKey, Reader,
    Refusal, Role, Seq, Subscription, SubscriptionPolicy, SubscriptionState, Target, Template, audience, kept,
};
use crate::time::Timestamp;

/// Everything that one decision may look at. Lists answer [`Needs`] position by position.
#[derive(Clone, Debug)]
pub struct Facts {
    pub policy: Arc<ServicePolicy>,
    pub node: NodeState,
    /// What the node is, where the service keeps it. It is as [`crate::pubsub::governed`] makes it then.
    pub kept: Option<Kept>,
    /// What it is kept of; absent where that is not there.
    pub target: Option<Target>,
    /// What [`crate::pubsub::questions`] asks for.
    pub beside: Beside,
    /// What the caller is to the node, or to that of which it is kept: so are all affiliations and contacts.
    pub affiliation: Affiliation,
    /// The caller's subscriptions to the node: its bare JID's and its full JIDs'.
    pub subscriptions: Vec<Subscription>,
    /// Whose rosters those of [`Needs::rosters`] are.
    pub rosters_of: Vec<BareJid>,
    /// What they say of the caller: an entry for each that holds one.
    pub contacts: Vec<Contact>,
    /// Owners of the node, at most [`Needs::owners`] of them.
    pub owners: Vec<BareJid>,
    /// For each of [`Needs::affiliations`], what that entity is to the node.
    pub affiliations: Vec<Affiliation>,
    /// For each of [`Needs::affiliations`], what the rosters of [`Needs::rosters`] say of that entity.
    pub contacts_of: Vec<Vec<Contact>>,
    /// For each of [`Needs::subscribers`], that entity's subscriptions to the node.
    pub subscribers: Vec<Vec<Subscription>>,
    /// For each of [`Needs::items`], the current item of that name.
    pub items: Vec<Option<ItemFact>>,
    /// Who waits for approval, at most [`Needs::waiting`] of them.
    pub waiting: Vec<Subscription>,
    /// What [`crate::pubsub::named`] asks for, where it asks.
    pub graph: Graph,
    /// The oldest items of the node by seq, at least [`Needs::oldest`] of them or all.
    pub oldest: Vec<ItemFact>,
}

/// What [`Facts`] must hold for one request, beyond the node and the caller's relation to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub affiliations: Vec<BareJid>,
    pub subscribers: Vec<BareJid>,
    pub items: Vec<ItemId>,
    pub oldest: u64,
    pub waiting: usize,
    pub owners: usize,
    pub rosters: Rosters,
}

/// Whose rosters say who may read (XEP-0060 §4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rosters {
    #[default]
    None,
    /// The account's, which is the service (XEP-0163).
    Service,
    /// The rosters of the node's owners, of which at most so many are looked at.
    Owners(usize),
}

#[derive(Clone, Debug)]
pub enum NodeState {
    Absent,
    /// It was deleted, and the retention time of its tombstone is not over.
    Deleted(Tombstone),
    Present(Arc<Node>),
}

/// What remains of a deleted node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    pub key: NodeKey,
    pub last_seq: Seq,
    pub deleted: Timestamp,
    pub redirect: Option<Arc<str>>,
    /// It was hidden, and its grave is.
    pub hidden: bool,
}

/// What the operator has settled for one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePolicy {
    pub service: BareJid,
    /// Whether the service is a server itself, the domain of accounts (XEP-0163 §4.3.1), for which administrators
    /// speak.
    pub of_server: bool,
    pub who_creates: WhoCreates,
    /// A publish to an absent node creates it, if the caller may create (XEP-0060 §7.1.4).
    pub auto_create: bool,
    /// What holds for nodes by their names.
    pub templates: Arc<[Template]>,
    /// The largest payload that any node may accept, in bytes of canonical XML.
    pub payload_bytes_max: u64,
    /// What `max_items=max` means, and the most that may be asked for.
    pub items_max: u64,
    /// The most nodes that a collection may hold, and what `children_max=max` means.
    pub children_max: u64,
    /// The most collections in which one node stands.
    pub parents_max: usize,
    /// The most items that one publish, retraction or retrieval may name.
    pub batch_items_max: usize,
    /// To how many items of one node something may be attached: the node's end is theirs, in one commit.
    pub attached_items_max: u64,
    pub subscriptions: SubscriptionPolicy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhoCreates {
    Admins,
    /// The account that the service is (XEP-0163).
    Itself,
    /// Those who have an account on this server.
    Accounts,
    Anyone,
}

impl ServicePolicy {
    /// Whether the service is an account (XEP-0163).
    pub fn is_personal(&self) -> bool {
        self.service.local().is_some()
    }
}

impl Facts {
    /// Where nothing is known but the rules of the service, as of a request that names no node.
    pub fn new(policy: Arc<ServicePolicy>) -> Self {
        Facts {
            policy,
            node: NodeState::Absent,
            kept: None,
            target: None,
            beside: Beside::default(),
            affiliation: Affiliation::None,
            subscriptions: Vec::new(),
            rosters_of: Vec::new(),
            contacts: Vec::new(),
            affiliations: Vec::new(),
            contacts_of: Vec::new(),
            subscribers: Vec::new(),
            items: Vec::new(),
            waiting: Vec::new(),
            owners: Vec::new(),
            graph: Graph::default(),
            oldest: Vec::new(),
        }
    }

    /// The caller, as far as reading the node goes.
    pub(super) fn reader(&self, caller: &Caller) -> Reader<'_> {
        Reader {
            affiliation: self.affiliation,
            role: caller.role,
            subscribed: self.target.as_ref().map_or_else(|| approved(&self.subscriptions), Target::is_subscribed),
            contacts: &self.contacts,
        }
    }

    /// Whether the caller may know that the node exists; nobody is kept from knowing that there is none.
    pub(super) fn are_known(&self, caller: &Caller) -> bool {
        let has = !self.subscriptions.is_empty();
        match (&self.target, &self.node) {
            (Some(target), _) => kept::may_know(caller, self.affiliation, target),
            (None, NodeState::Present(node)) => audience::may_know(&node.config, self.affiliation, caller.role, has),
            (None, NodeState::Absent | NodeState::Deleted(_)) => true,
        }
    }

    /// The node whose owners are this one's.
    pub(super) fn led_by(&self, node: &Node) -> NodeKey {
        self.target.as_ref().map_or(node.key, |target| target.node.key)
    }

    /// The entity at this place of [`Needs::affiliations`], with no rights but its own.
    pub(super) fn other(&self, position: usize) -> Reader<'_> {
        Reader {
            affiliation: self.affiliations.get(position).copied().unwrap_or_default(),
            role: Role::Stranger,
            subscribed: self.subscribers.get(position).is_some_and(|list| approved(list)),
            contacts: self.contacts_of.get(position).map(Vec::as_slice).unwrap_or_default(),
        }
    }
}

fn approved(subscriptions: &[Subscription]) -> bool {
    subscriptions.iter().any(|subscription| subscription.state == SubscriptionState::Subscribed)
}

impl ServicePolicy {
    /// The configuration with which a node of this name begins.
    pub fn new_config(&self, node: &NodeId) -> Result<NodeConfig, Refusal> {
        let config = NodeConfig::new(self);
        match Template::of(&self.templates, node) {
            Some(template) => config.with(&template.config, self),
            None => Ok(config),
        }
    }

    /// Whether a publish to an absent node of this name creates it.
    pub(super) fn creates_by_publishing(&self, node: &NodeId) -> bool {
        Template::of(&self.templates, node).map_or(self.auto_create, |template| template.auto_create)
    }
}

impl NodeState {
    pub fn present(&self) -> Option<&Arc<Node>> {
        match self {
            NodeState::Present(node) => Some(node),
            NodeState::Absent | NodeState::Deleted(_) => None,
        }
    }

    pub fn id(&self) -> Option<&NodeId> {
        self.present().map(|node| &node.address.node)
    }
}
