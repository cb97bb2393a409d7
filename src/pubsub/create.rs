//! Creates a node (XEP-0060 §8.1), asked for by name, without one, or by a publish (§7.1.4).

use std::iter;
use std::sync::Arc;

use crate::jid::BareJid;
use crate::pubsub::draft::Draft;
use crate::pubsub::graph::{Wanted, makes_collection};
use crate::pubsub::{
    Affiliation, Caller, Change, Decision, Facts, Given, Node, NodeAddress, NodeId, RawField, Refusal, Reply, rights,
};

pub(super) fn create(
    caller: &Caller,
    service: BareJid,
    node: Option<NodeId>,
    config: &[RawField],
    facts: &Facts,
    given: &mut Given<'_>,
) -> Result<Decision, Refusal> {
    rights::creating(caller, &facts.policy, node.as_ref())?;
    let node = match node {
        Some(_) if facts.node.present().is_some() => return Err(Refusal::NodeExists),
        Some(node) => node,
        // XEP-0060 §8.1.1: an instant node is named by the service.
        None => NodeId::parse(&(given.fresh_id)()).expect("a fresh identifier is a node id"),
    };
    if facts.policy.is_personal() && config.iter().any(makes_collection) {
        return Err(Refusal::CollectionsUnsupported);
    }
    let (wanted, config) = Wanted::of(config, &facts.policy)?;
    wanted.check(&facts.policy)?;
    let mut draft = draft(caller, NodeAddress { service, node: node.clone() }, &config, facts, given)?;
    wanted.apply(&mut draft, true, caller, facts, given)?;
    Ok(draft.done(Reply::Created { node }))
}

/// A new node with the configuration of its name's template, or the default one, but for the given fields, and the caller as its owner.
pub(super) fn draft(
    caller: &Caller,
    address: NodeAddress,
    config: &[RawField],
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Draft, Refusal> {
    let creator = caller.jid.bare().clone();
    let config = facts.policy.new_config(&address.node)?.with(config, &facts.policy)?;
    let config = config.showing(iter::once(creator.clone()));
    let node = Node::begin(given.node_key, address, Arc::new(config), creator.clone(), 1, given.now);
    let mut draft = Draft::create(node, given.now);
    draft.change(Change::SetAffiliation { jid: creator, affiliation: Affiliation::Owner });
    Ok(draft)
}
