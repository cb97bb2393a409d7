//! Deletes items (XEP-0060 §7.2): all that are named, or none (§12.11).

use crate::pubsub::draft::Draft;
use crate::pubsub::{Caller, Decision, Facts, Given, ItemFact, ItemId, Precondition, Refusal, Reply, publish, rights};

pub(super) fn retract(
    caller: &Caller,
    ids: &[ItemId],
    notify: Option<bool>,
    precondition: Precondition,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Decision, Refusal> {
    let node = rights::present(facts)?;
    let reach = rights::publishing(caller, node, facts)?;
    // XEP-0248 §4.1.
    if node.config.is_collection() {
        return Err(Refusal::NotOfCollections { feature: "delete-items" });
    }
    // XEP-0060 §7.2.3.5.
    if !node.config.persist_items {
        return Err(Refusal::NotPersistent);
    }
    // XEP-0060 §7.2.3.4.
    if ids.is_empty() {
        return Err(Refusal::ItemRequired);
    }
    publish::within_batch(ids.len(), facts)?;
    publish::distinct(ids.iter())?;
    let facts_of: Vec<&ItemFact> = facts.items.iter().flatten().collect();
    // XEP-0060 §7.2.3.2.
    if facts_of.len() != ids.len() {
        return Err(Refusal::ItemAbsent);
    }
    if !facts_of.iter().all(|fact| reach.covers(caller.jid.bare(), fact)) {
        return Err(Refusal::Forbidden);
    }
    if !facts_of.iter().all(|fact| precondition.holds(node.key, Some(fact))) {
        return Err(Refusal::PreconditionFailed);
    }
    let mut draft = Draft::over(node, given.now);
    // XEP-0060 §7.2.2.1: the request may say whether subscribers are told.
    let notify = notify.unwrap_or(node.config.notify_retract);
    for fact in facts_of {
        draft.remove_item(fact, notify);
    }
    Ok(draft.done(Reply::Retracted))
}
