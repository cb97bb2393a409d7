//! Retrieves items (XEP-0060 §6.5), and lets a reader follow the node's log.

use crate::jid::Jid;
use crate::pubsub::{
    Caller, Decision, Facts, Page, Payloads, Read, Refusal, Reply, Role, Selection, Subscription, Under, View, rights,
};

pub(super) fn items(
    caller: &Caller,
    selection: Selection,
    page: Page,
    view: View,
    facts: &Facts,
) -> Result<Decision, Refusal> {
    let node = rights::readable(caller, facts)?;
    check_subid(caller, &view.under, &facts.subscriptions)?;
    // XEP-0248 §4.1, §6.2.3.
    if node.config.is_collection() && view.payloads == Payloads::Left {
        // XEP-0248 §5.2.
        let hidden = caller.role == Role::Admin;
        return Ok(Decision::answer(Reply::Read(Read::Children { node: node.clone(), hidden })));
    }
    if node.config.is_collection() {
        return Err(Refusal::NotOfCollections { feature: "retrieve-items" });
    }
    // XEP-0060 §6.5.9.4.
    if !node.config.persist_items {
        return Err(Refusal::NotPersistent);
    }
    if let Selection::These(ids) = &selection
        && ids.len() > facts.policy.batch_items_max
    {
        return Err(Refusal::TooManyItems { items: ids.len(), items_max: facts.policy.batch_items_max as u64 });
    }
    let (order, payloads) = (view.order, view.payloads);
    Ok(Decision::answer(Reply::Read(Read::Items { node: node.clone(), selection, page, order, payloads })))
}

/// XEP-0060 §6.5.9.1, §6.5.9.2: who has several subscriptions says which it means, and nobody one
/// that it does not have. Those of other resources are other entities' (§6.1.6).
fn check_subid(caller: &Caller, under: &Under, subscriptions: &[Subscription]) -> Result<(), Refusal> {
    let Under::Named(subid) = under else { return Ok(()) };
    let own = |subscription: &&Subscription| match &subscription.jid {
        Jid::Bare(bare) => bare == caller.jid.bare(),
        full @ Jid::Full(_) => *full == caller.jid,
    };
    let same = |one: &Subscription| subscriptions.iter().filter(|other| other.jid == one.jid).count();
    match subid {
        None if subscriptions.iter().filter(own).any(|one| same(one) > 1) => Err(Refusal::SubIdRequired),
        Some(subid)
            if !subscriptions.is_empty() && !subscriptions.iter().filter(own).any(|one| one.subid == *subid) =>
        {
            Err(Refusal::InvalidSubId)
        }
        _ => Ok(()),
    }
}

/// Following the log is reading it: the same rule, whether items are kept or not.
pub(super) fn watch(caller: &Caller, facts: &Facts) -> Result<Decision, Refusal> {
    let node = rights::readable(caller, facts)?.clone();
    Ok(Decision::answer(Reply::Watching { node }))
}
