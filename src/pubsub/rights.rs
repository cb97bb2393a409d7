//! What a caller may do to a node, by affiliation (XEP-0060 §4.1, Table 1), role and publish model.

use std::sync::Arc;

use crate::jid::BareJid;
use crate::pubsub::audience::why_unreadable;
use crate::pubsub::{
    Affiliation, Caller, Facts, ItemFact, Node, NodeId, NodeState, PublishModel, Refusal, Role, ServicePolicy,
    Template, WhoCreates, may_read,
};

/// Which items a publisher may overwrite and retract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Any,
    /// Only those that the publisher published itself.
    Own,
}

impl Reach {
    pub(super) fn covers(self, publisher: &BareJid, fact: &ItemFact) -> bool {
        self == Reach::Any || fact.publisher == *publisher
    }
}

/// The addressed node, or why there is none.
pub(super) fn present(facts: &Facts) -> Result<&Arc<Node>, Refusal> {
    match &facts.node {
        NodeState::Present(node) => Ok(node),
        NodeState::Deleted(tombstone) if tombstone.hidden => Err(Refusal::NodeAbsent),
        // XEP-0060 §6.1.3.11: a node that has moved is gone, and says where to.
        NodeState::Deleted(tombstone) => Err(Refusal::NodeGone { redirect: tombstone.redirect.clone() }),
        NodeState::Absent => Err(Refusal::NodeAbsent),
    }
}

/// The addressed node, for what only its owners may do (XEP-0060 §8, §14.2).
pub(super) fn owned<'a>(caller: &Caller, facts: &'a Facts) -> Result<&'a Arc<Node>, Refusal> {
    let node = present(facts)?;
    if caller.role == Role::Admin || facts.affiliation == Affiliation::Owner {
        Ok(node)
    } else {
        Err(Refusal::Forbidden)
    }
}

/// The addressed node, for those who may read it.
pub(super) fn readable<'a>(caller: &Caller, facts: &'a Facts) -> Result<&'a Arc<Node>, Refusal> {
    let node = present(facts)?;
    why_unreadable(&node.config, &facts.reader(caller)).map_or(Ok(node), Err)
}

/// May the caller publish to this node and take back what was published (XEP-0060 §4.1, §7.1.3.1),
/// and whose items may it touch?
///
/// Owners and publishers touch any item, as the note to Table 1 allows. Whoever publishes as
/// publish-only, or because of the publish model alone, touches only its own: it could otherwise
/// destroy by overwriting what it may not delete.
pub(super) fn publishing(caller: &Caller, node: &Node, facts: &Facts) -> Result<Reach, Refusal> {
    if caller.role == Role::Admin {
        return Ok(Reach::Any);
    }
    match facts.affiliation {
        Affiliation::Owner | Affiliation::Publisher => Ok(Reach::Any),
        Affiliation::PublishOnly => Ok(Reach::Own),
        Affiliation::Outcast => Err(Refusal::Outcast),
        Affiliation::Member | Affiliation::None => match node.config.publish_model {
            PublishModel::Open => Ok(Reach::Own),
            PublishModel::Subscribers if subscribed(caller, node, facts) => Ok(Reach::Own),
            PublishModel::Subscribers | PublishModel::Publishers => Err(Refusal::Forbidden),
        },
    }
}

/// Whether the caller may create nodes at this service at all.
pub fn may_create(caller: &Caller, policy: &ServicePolicy) -> bool {
    creating(caller, policy, None).is_ok()
}

/// May the caller create a node at this service (XEP-0060 §8.1.1), of this name or of one that the
/// service makes? A name may be reserved for some, who need no other right then.
pub(super) fn creating(caller: &Caller, policy: &ServicePolicy, node: Option<&NodeId>) -> Result<(), Refusal> {
    let template = node.and_then(|node| Template::of(&policy.templates, node));
    match template.and_then(|template| template.reserved_for(caller.jid.bare())) {
        Some(true) => return Ok(()),
        Some(false) if caller.role != Role::Admin => return Err(Refusal::MayNotCreate),
        Some(false) | None => {}
    }
    match (policy.who_creates, caller.role) {
        // XEP-0163 §3: nobody else makes nodes of an account, for they would be somebody else's.
        // An anonymous session is none, and leaves nothing behind.
        (WhoCreates::Itself, Role::Admin | Role::Account) if *caller.jid.bare() == policy.service => Ok(()),
        (WhoCreates::Itself, _) => Err(Refusal::Forbidden),
        (_, Role::Admin) | (WhoCreates::Anyone, _) | (WhoCreates::Accounts, Role::Account) => Ok(()),
        (WhoCreates::Accounts, Role::Stranger) => Err(Refusal::RegistrationRequired),
        (WhoCreates::Admins, Role::Account | Role::Stranger) => Err(Refusal::MayNotCreate),
    }
}

/// A subscription outlives the right to read; only both together make a subscriber.
fn subscribed(caller: &Caller, node: &Node, facts: &Facts) -> bool {
    let reader = facts.reader(caller);
    reader.subscribed && may_read(&node.config, &reader)
}

/// The most affiliations or subscriptions that an owner may change in one request: each is two facts
/// to gather and up to [`SUBSCRIPTIONS_MAX`] changes to write.
pub(super) const CHANGES_MAX: usize = 256;

/// The most of those who wait for approval that are told of the deletion of their node.
pub(super) const WAITING_MAX: usize = 256;

/// The most owners of a node who are looked for: for their rosters, and to show one of them.
pub(super) const OWNERS_MAX: usize = 16;

/// The most subscriptions that the JIDs of one bare JID may have at one node (XEP-0060 §6.1.3.9).
pub(super) const SUBSCRIPTIONS_MAX: usize = 10;
