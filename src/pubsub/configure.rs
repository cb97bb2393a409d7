//! Reads and changes a node's configuration (XEP-0060 §8.2).

use std::sync::Arc;

use crate::pubsub::draft::Draft;
use crate::pubsub::graph::{Wanted, makes_collection};
use crate::pubsub::subscribe::approved;
use crate::pubsub::{
    AccessModel, Affiliation, Caller, Decision, EventKind, Facts, Given, Node, NodeConfig, RawField, Read, Refusal,
    Reply, rights,
};

pub(super) fn configuration(caller: &Caller, facts: &Facts) -> Result<Decision, Refusal> {
    let node = rights::owned(caller, facts)?.clone();
    Ok(Decision::answer(Reply::Read(Read::Configuration { node })))
}

/// A configuration under which fewer items are kept lets the others go in the same commit. Fields
/// that the submission omits keep their values (XEP-0060 §8.2.4).
pub(super) fn configure(
    caller: &Caller,
    changes: &[RawField],
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Decision, Refusal> {
    let node = rights::owned(caller, facts)?;
    if facts.policy.is_personal() && changes.iter().any(makes_collection) {
        return Err(Refusal::CollectionsUnsupported);
    }
    let (wanted, changes) = Wanted::of(changes, &facts.policy)?;
    wanted.check(&facts.policy)?;
    let owners = (facts.affiliation == Affiliation::Owner).then(|| caller.jid.bare().clone());
    let owners = owners.into_iter().chain(facts.owners.iter().cloned());
    let config = Arc::new(node.config.with(&changes, &facts.policy)?.showing(owners));
    if node.config.is_collection() && !config.is_collection() {
        // XEP-0248 §7.2.3.4.
        return Err(Refusal::InvalidGraph { why: "a collection stays one" });
    }
    let children_max = config.children_max;
    if children_max < node.config.children_max && children_max < facts.graph.children.len() as u64 {
        return Err(Refusal::TooManyChildren { children_max });
    }
    let mut draft = Draft::over(node, given.now);
    draft.node.config = config.clone();
    wanted.apply(&mut draft, false, caller, facts, given)?;
    if *config == *node.config && !draft.is_touched() {
        return Ok(draft.done(Reply::Done));
    }
    draft.log(EventKind::Configured { config: config.clone() });
    // XEP-0060 §8.7.4: who is let in anyway need not be approved.
    if config.access_model == AccessModel::Open {
        for subscription in &facts.waiting {
            draft.set_subscription(Some(subscription), approved(subscription));
        }
    }
    // XEP-0248 §7.2.4: a node that becomes a collection has no items.
    if (!config.persist_items || config.is_collection()) && node.items > 0 {
        draft.purge();
    } else if config.persist_items {
        retire(&mut draft, &config, facts);
    }
    Ok(draft.done(Reply::Done))
}

/// How many of the oldest items a submission may let go: those beyond the `max_items` that it sets.
/// `max` is never less than what stands, and what is no number is refused later.
pub(super) fn surplus(changes: &[RawField], node: &Node) -> u64 {
    let kept = changes
        .iter()
        .rfind(|change| change.bare_name() == "max_items")
        .and_then(|change| change.values.first())
        .and_then(|value| value.parse().ok())
        .unwrap_or(node.config.max_items);
    node.items.saturating_sub(kept)
}

/// Whether a submission may let those in who wait for approval. Beyond [`rights::WAITING_MAX`] they come in
/// when they ask again.
pub(super) fn opens(changes: &[RawField], node: &Node) -> bool {
    let opens = |change: &RawField| change.bare_name() == "access_model" && change.values == ["open"];
    node.config.access_model != AccessModel::Open && changes.iter().any(opens)
}

fn retire(draft: &mut Draft, config: &NodeConfig, facts: &Facts) {
    let surplus = draft.node.items.saturating_sub(config.max_items);
    let surplus = usize::try_from(surplus).unwrap_or(usize::MAX);
    for fact in facts.oldest.iter().take(surplus) {
        draft.remove_item(fact, config.notify_retract);
    }
}
