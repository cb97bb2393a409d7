//! The one entrance to the rules: what must be known before a request can be decided, and the decision.

use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Caller, Decision, Facts, ItemReply, Kept, Needs, NewItem, Node, NodeKey, Read, Refusal, Reply, Request, Role,
    Rosters, SubscriptionState, Verb, Words,
};
use crate::pubsub::{
    affiliations, approve, configure, create, delete, expire, graph, items, kept, publish, purge, retract, rights,
};
use crate::pubsub::{subscribe, subscriptions};
use crate::time::Timestamp;

/// What a decision is given beside facts: time and fresh names, for the core has neither.
pub struct Given<'a> {
    pub now: Timestamp,
    /// The key of the node that this request may create, and of the one that the service may begin to keep with it.
    pub node_key: NodeKey,
    pub kept_key: NodeKey,
    /// How the service reads and writes what it keeps itself.
    pub words: &'a Words,
    /// Makes an identifier that was never made before: of items, subscriptions, instant nodes. It
    /// must be a valid [`crate::pubsub::NodeId`] and [`crate::pubsub::ItemId`], and hard to guess.
    pub fresh_id: &'a mut dyn FnMut() -> String,
}

/// What must be gathered before this request can be decided, once the node is known. Ask with the
/// very node that [`decide`] will be given: the answer depends on its item count and configuration.
/// An absent node needs nothing.
pub fn needs(request: &Request, node: Option<&Node>) -> Needs {
    let Some(node) = node else { return Needs::default() };
    let owners = if shows_owner(request, node) { rights::OWNERS_MAX } else { 0 };
    Needs { rosters: rosters(node), owners, ..of_verb(request, node) }
}

/// Whose rosters say who may read a node, or what is kept of it.
pub fn rosters(node: &Node) -> Rosters {
    match (node.config.access_model.asks_rosters(), node.address.service.local()) {
        (false, _) => Rosters::None,
        (true, Some(_)) => Rosters::Service,
        (true, None) => Rosters::Owners(rights::OWNERS_MAX),
    }
}

/// Whether an owner may have to be found whose address items are to bear (XEP-0060 §12.17).
fn shows_owner(request: &Request, node: &Node) -> bool {
    let shown = node.config.item_reply == ItemReply::Owner;
    match &request.verb {
        Verb::SetAffiliations { .. } => shown,
        Verb::Configure { config, .. } => shown || config.iter().any(|field| field.bare_name() == "itemreply"),
        _ => false,
    }
}

fn of_verb(request: &Request, node: &Node) -> Needs {
    match &request.verb {
        Verb::Publish { items, .. } => of_publish(items, node),
        Verb::Retract { items, .. } => Needs { items: items.clone(), ..Needs::default() },
        Verb::Configure { config, .. } => Needs {
            oldest: configure::surplus(config, node),
            waiting: if configure::opens(config, node) { rights::WAITING_MAX } else { 0 },
            ..Needs::default()
        },
        Verb::Subscribe { jid, .. }
        | Verb::Unsubscribe { jid, .. }
        | Verb::Options { jid, .. }
        | Verb::SetOptions { jid, .. }
        | Verb::Lapse { jid, .. } => of_entity(&request.caller, jid),
        Verb::Approve { jid, .. } => {
            let jid = jid.bare().clone();
            Needs { affiliations: vec![jid.clone()], subscribers: vec![jid], ..Needs::default() }
        }
        Verb::Expire { .. } => Needs { oldest: expire::surplus(node), ..Needs::default() },
        Verb::SetSubscriptions { changes, .. } => of_subscriptions(changes),
        Verb::SetAffiliations { changes, .. } if changes.len() <= rights::CHANGES_MAX => {
            let jids: Vec<_> = changes.iter().map(|(jid, _)| jid.clone()).collect();
            Needs { affiliations: jids.clone(), subscribers: jids, ..Needs::default() }
        }
        Verb::Delete { .. } => Needs { waiting: rights::WAITING_MAX, ..Needs::default() },
        Verb::Create { .. }
        | Verb::Associate { .. }
        | Verb::Dissociate { .. }
        | Verb::Configuration { .. }
        | Verb::Purge { .. }
        | Verb::DefaultOptions { .. }
        | Verb::Items { .. }
        | Verb::Subscriptions { .. }
        | Verb::Affiliations { .. }
        | Verb::NodeSubscriptions { .. }
        | Verb::Pending { .. }
        | Verb::NodeAffiliations { .. }
        | Verb::SetAffiliations { .. }
        | Verb::Nodes { .. }
        | Verb::Metadata { .. }
        | Verb::Watch { .. } => Needs::default(),
    }
}

/// Decides. `facts` must answer [`needs`] for this request and this node; nothing else is looked at.
/// A refusal changes nothing, and so does a decision whose `node` is absent.
pub fn decide(request: Request, facts: &Facts, given: &mut Given<'_>) -> Result<Decision, Refusal> {
    let Request { caller, service, verb } = request;
    if let Some(kept) = &facts.kept {
        kept::check(kept, &caller, &verb, facts)?;
    }
    if !facts.are_known(&caller) {
        // Whoever may not know of a node cannot have it either.
        return Err(if matches!(verb, Verb::Create { .. }) { Refusal::MayNotCreate } else { Refusal::NodeAbsent });
    }
    let decision = by_verb(&caller, service, verb, facts, given)?;
    kept::keep(decision, facts, given)
}

fn by_verb(
    caller: &Caller,
    service: BareJid,
    verb: Verb,
    facts: &Facts,
    given: &mut Given<'_>,
) -> Result<Decision, Refusal> {
    match verb {
        Verb::Create { node, config } => create::create(caller, service, node, &config, facts, given),
        Verb::Configure { config, .. } => configure::configure(caller, &config, facts, given),
        Verb::Configuration { .. } => configure::configuration(caller, facts),
        Verb::Delete { redirect, .. } => delete::delete(caller, redirect, facts, given),
        Verb::Associate { node, .. } => {
            kept::check_names(&service, std::iter::once(&node))?;
            graph::associate(caller, facts, given)
        }
        Verb::Dissociate { .. } => graph::dissociate(caller, facts, given),
        Verb::Purge { .. } => purge::purge(caller, facts, given),
        Verb::Publish { node, items, options, create } => {
            let publication = publish::Publication { service, node, items, options, create };
            match (&facts.kept, &facts.target) {
                (Some(Kept::Attachments { item, .. }), Some(of)) => {
                    kept::attach(caller, publication, of, item, facts, given)
                }
                _ => publish::publish(caller, publication, facts, given),
            }
        }
        Verb::Retract { items, notify, precondition, .. } => {
            retract::retract(caller, &items, notify, precondition, facts, given)
        }
        Verb::Subscribe { jid, options, public, .. } => {
            let wanted = options.unwrap_or_default();
            subscribe::subscribe(caller, jid, &wanted, public, facts, given)
        }
        Verb::Unsubscribe { jid, subid, .. } => subscribe::unsubscribe(caller, &jid, subid.as_ref(), facts, given),
        Verb::Options { jid, subid, .. } => subscribe::options(caller, &jid, subid.as_ref(), facts),
        Verb::SetOptions { jid, subid, options, .. } => {
            subscribe::set_options(caller, &jid, subid.as_ref(), &options, facts, given)
        }
        Verb::DefaultOptions { node } => subscribe::default_options(caller, node.is_some(), facts),
        Verb::Lapse { jid, subid, .. } => subscribe::lapse(caller, &jid, &subid, facts, given),
        Verb::Items { selection, page, view, .. } => items::items(caller, selection, page, view, facts),
        Verb::Watch { .. } => items::watch(caller, facts),
        Verb::Subscriptions { node, page } => {
            subscriptions::subscriptions(caller, service, node.is_some(), page, facts)
        }
        Verb::Approve { jid, subid, allow, .. } => approve::approve(caller, &jid, subid.as_ref(), allow, facts, given),
        Verb::Pending { node } => approve::pending(caller, service, node.is_some(), facts),
        Verb::Expire { .. } => expire::expire(caller, facts, given),
        Verb::NodeSubscriptions { page, .. } => subscriptions::of_node(caller, page, facts),
        Verb::SetSubscriptions { changes, .. } => subscriptions::set(caller, &changes, facts, given),
        Verb::Affiliations { node, page } => affiliations::affiliations(caller, service, node.is_some(), page, facts),
        Verb::NodeAffiliations { page, .. } => affiliations::of_node(caller, page, facts),
        Verb::SetAffiliations { changes, .. } => affiliations::set(caller, &changes, facts, given),
        // XEP-0060 §5.2: hidden nodes are for those who know them.
        Verb::Nodes { page } => {
            let viewer = (caller.role != Role::Admin).then(|| caller.jid.bare().clone());
            Ok(Decision::answer(Reply::Read(Read::Nodes { service, viewer, page })))
        }
        Verb::Metadata { .. } => {
            let node = rights::present(facts)?.clone();
            let led = facts.led_by(&node);
            Ok(Decision::answer(Reply::Read(Read::Metadata { node, led })))
        }
    }
}

fn of_publish(items: &[NewItem], node: &Node) -> Needs {
    let ids = items.iter().filter_map(|item| item.id.clone()).collect();
    Needs { items: ids, oldest: publish::surplus(items.len(), node), ..Needs::default() }
}

/// The caller's own subscriptions are facts anyway; another entity's must be asked for.
fn of_entity(caller: &Caller, jid: &Jid) -> Needs {
    if jid.bare() == caller.jid.bare() {
        return Needs::default();
    }
    Needs { affiliations: vec![jid.bare().clone()], subscribers: vec![jid.bare().clone()], ..Needs::default() }
}

fn of_subscriptions<T>(changes: &[(Jid, T, SubscriptionState)]) -> Needs {
    if changes.len() > rights::CHANGES_MAX {
        return Needs::default();
    }
    let jids: Vec<_> = changes.iter().map(|(jid, _, _)| jid.bare().clone()).collect();
    Needs { affiliations: jids.clone(), subscribers: jids, ..Needs::default() }
}
