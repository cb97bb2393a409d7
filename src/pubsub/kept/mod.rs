//! Nodes that the service itself keeps of others: the attachments to an item and their sums (XEP-0470), and who is
//! publicly subscribed (XEP-0465).
//!
//! Such a node is known by its name, which says what it is kept of, its target. It has no owners and no rights of its
//! own: who may read it, publish to it and purge it is whoever may do that to the target, by the target's
//! configuration, affiliations and approved subscriptions. Nobody makes or configures it, and what is done to the
//! target or to the node's items is followed in the same decision ([`keep`]), so that no commit parts them.
//!
//! A node of such a name that somebody made before the service kept any has an owner, and is a node as any other.

mod attachments;
mod name;
mod subscribers;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use crate::jid::BareJid;
use crate::pubsub::draft::Draft;
use crate::pubsub::{
    Affiliation, Caller, Change, Decision, EventKind, Facts, Given, ItemFact, ItemId, Node, NodeAddress, NodeConfig,
    NodeFull, NodeId, NodeKey, NodeState, Payload, RawField, Refusal, Request, Share, Subscription, SubscriptionState,
    Verb,
};

pub(super) use self::attachments::attach;
pub use self::name::{Kept, SUBSCRIBERS, root};
pub use self::tally::{Attached, REACTION_BYTES_MAX, REACTIONS_MAX, Tally, Words};

/// What a kept node is kept of, and what the caller is to that.
#[derive(Clone, Debug)]
pub struct Target {
    pub node: Arc<Node>,
    /// The caller's subscriptions to it.
    pub subscriptions: Vec<Subscription>,
}

/// Something to be known of a node beside the addressed one, at the same service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    pub node: NodeId,
    pub about: About,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// Whether it is there.
    Node,
    /// Its current item of this name.
    Item(ItemId),
    /// What that holds.
    Payload(ItemId),
    /// Its items, the oldest first: at most so many.
    Items(u64),
}

/// The answer to a [`Question`], of the same kind.
#[derive(Clone, Debug)]
pub enum Told {
    Node(NodeState),
    Item(Option<ItemFact>),
    Payload(Option<Payload>),
    Items(Vec<ItemFact>),
}

/// What is known of nodes beside the addressed one.
#[derive(Clone, Debug, Default)]
pub struct Beside(HashMap<Question, Told>);

impl Target {
    pub(super) fn is_subscribed(&self) -> bool {
        self.subscriptions.iter().any(|subscription| subscription.state == SubscriptionState::Subscribed)
    }
}

impl Beside {
    pub fn learn(&mut self, question: Question, told: Told) {
        self.0.insert(question, told);
    }

    pub fn knows(&self, question: &Question) -> bool {
        self.0.contains_key(question)
    }

    fn told(&self, node: &NodeId, about: About) -> Option<&Told> {
        self.0.get(&Question { node: node.clone(), about })
    }

    /// A node that the service keeps, where it does.
    fn kept(&self, node: &NodeId) -> Option<&Arc<Node>> {
        match self.told(node, About::Node)? {
            Told::Node(state) => state.present().filter(|node| node.owners == 0),
            _ => None,
        }
    }

    /// Whether somebody made a node of this name before the service kept any.
    fn is_anothers(&self, node: &NodeId) -> bool {
        let told = self.told(node, About::Node);
        matches!(told, Some(Told::Node(state)) if state.present().is_some_and(|node| node.owners > 0))
    }

    fn item(&self, node: &NodeId, item: &ItemId) -> Option<&ItemFact> {
        match self.told(node, About::Item(item.clone()))? {
            Told::Item(fact) => fact.as_ref(),
            _ => None,
        }
    }

    fn payload(&self, node: &NodeId, item: &ItemId) -> Option<&Payload> {
        match self.told(node, About::Payload(item.clone()))? {
            Told::Payload(payload) => payload.as_ref(),
            _ => None,
        }
    }

    fn items(&self, node: &NodeId, count: u64) -> &[ItemFact] {
        match self.told(node, About::Items(count)) {
            Some(Told::Items(items)) => items,
            _ => &[],
        }
    }
}

/// What must be known beside [`crate::pubsub::needs`], as far as it can be told from what is known: to be asked again
/// with the answers, until it asks for nothing new.
pub fn questions(request: &Request, facts: &Facts) -> Vec<Question> {
    match &facts.kept {
        Some(Kept::Attachments { target, item }) => attachments::questions(&request.verb, target, item, facts),
        Some(Kept::Summary { .. } | Kept::Subscribers { .. } | Kept::Astray) => Vec::new(),
        None => {
            let mut questions = attachments::questions_of_target(&request.verb, facts);
            questions.extend(subscribers::questions(&request.verb, facts));
            questions
        }
    }
}

/// A kept node as it is: who may do what to it is as its target has it now. The copy that its row bears is written
/// anew with whatever is written next.
pub fn governed(node: &Arc<Node>, target: &Node) -> Arc<Node> {
    let config = config_of(&node.config, &target.config);
    if config == *node.config { node.clone() } else { Node { config: config.into(), ..(**node).clone() }.into() }
}

fn config_of(own: &NodeConfig, target: &NodeConfig) -> NodeConfig {
    NodeConfig {
        access_model: target.access_model,
        roster_groups_allowed: target.roster_groups_allowed.clone(),
        publish_model: target.publish_model,
        ..own.clone()
    }
}

/// Whether what is asked of a kept node may be asked at all, whoever asks.
pub(super) fn check(kept: &Kept, caller: &Caller, verb: &Verb, facts: &Facts) -> Result<(), Refusal> {
    if let Kept::Subscribers { .. } = kept {
        return subscribers::check(caller, verb, facts);
    }
    // XEP-0470 §4.4.
    if matches!(verb, Verb::Create { .. }) {
        return Err(Refusal::KeptByService);
    }
    if facts.target.is_none() {
        return Err(Refusal::NodeAbsent);
    }
    let by_hand = match verb {
        Verb::Configure { .. }
        | Verb::SetAffiliations { .. }
        | Verb::SetSubscriptions { .. }
        | Verb::Approve { .. }
        | Verb::Associate { .. }
        | Verb::Dissociate { .. } => true,
        Verb::Publish { .. } | Verb::Retract { .. } | Verb::Purge { .. } | Verb::Delete { .. } => {
            !matches!(kept, Kept::Attachments { .. })
        }
        _ => false,
    };
    if by_hand { Err(Refusal::KeptByService) } else { Ok(()) }
}

/// Kept nodes stand in no collection: they come and go with their targets.
pub(super) fn check_names<'a>(service: &BareJid, mut names: impl Iterator<Item = &'a NodeId>) -> Result<(), Refusal> {
    if names.any(|name| Kept::of(service, name).is_some()) { Err(Refusal::KeptByService) } else { Ok(()) }
}

/// Adds to a decision what follows from it for the nodes that the service keeps of the addressed one, or with it.
pub(super) fn keep(mut decision: Decision, facts: &Facts, given: &Given<'_>) -> Result<Decision, Refusal> {
    if decision.node.is_none() {
        return Ok(decision);
    }
    match (&facts.kept, &facts.target) {
        (Some(Kept::Attachments { target, item }), Some(of)) => {
            attachments::sum_up(&mut decision, target, item, of, facts, given)?;
        }
        (Some(_), _) => {}
        (None, _) => {
            attachments::forsake(&mut decision, facts, given);
            subscribers::follow(&mut decision, facts, given);
        }
    }
    Ok(decision)
}

/// A kept node of a target, as it begins: nobody's, and not listed among the nodes of its service.
fn begin(key: NodeKey, name: NodeId, target: &Node, facts: &Facts, given: &Given<'_>) -> Draft {
    let own = NodeConfig {
        persist_items: true,
        max_items: facts.policy.items_max,
        node_full: NodeFull::Reject,
        hidden: true,
        ..NodeConfig::new(&facts.policy)
    };
    let address = NodeAddress { service: target.address.service.clone(), node: name };
    let config = Arc::new(config_of(&own, &target.config));
    Draft::create(Node::begin(key, address, config, target.creator.clone(), 0, given.now), given.now)
}

/// Publishes in the name of the service.
fn put(draft: &mut Draft, item: &ItemId, payload: Payload, standing: Option<&ItemFact>, given: &Given<'_>) {
    let publisher = draft.node.address.service.clone();
    let replaces = standing.map(|standing| standing.seq);
    let seq = draft.log(EventKind::Published {
        item: Some(item.clone()),
        publisher: publisher.clone(),
        payload: Some(payload),
        replaces,
    });
    draft.put_item(ItemFact { id: item.clone(), seq, publisher, published: given.now }, replaces);
}

/// A kept node goes.
fn vanish(node: &Arc<Node>, given: &Given<'_>) -> Share {
    let mut draft = Draft::over(node, given.now);
    draft.log(EventKind::Deleted { redirect: None });
    draft.node.items = 0;
    draft.change(Change::DeleteNode { redirect: None });
    draft.into_share(Some(node))
}

/// Whether a submitted configuration may let all items go.
fn may_purge(config: &[RawField]) -> bool {
    config.iter().any(|field| matches!(field.bare_name(), "persist_items" | "node_type"))
}

/// May the caller know of what stands behind a kept name? As much as of the target: to be subscribed to what is
/// kept of a hidden node makes nobody one of those who know it.
pub(super) fn may_know(caller: &Caller, affiliation: Affiliation, target: &Target) -> bool {
    let subscribed = !target.subscriptions.is_empty();
    crate::pubsub::audience::may_know(&target.node.config, affiliation, caller.role, subscribed)
}
