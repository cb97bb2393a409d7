//! Retrieves items (XEP-0060 §6.5), and lets a reader follow the node's log.

use crate::pubsub::{Caller, Decision, Facts, Page, Read, Refusal, Reply, Selection, rights};

pub(super) fn items(caller: &Caller, selection: Selection, page: Page, facts: &Facts) -> Result<Decision, Refusal> {
    let node = rights::readable(caller, facts)?;
    // XEP-0060 §6.5.9.4.
    if !node.config.persist_items {
        return Err(Refusal::NotPersistent);
    }
    if let Selection::These(ids) = &selection
        && ids.len() > facts.policy.batch_items_max
    {
        return Err(Refusal::TooManyItems { items: ids.len(), items_max: facts.policy.batch_items_max as u64 });
    }
    Ok(Decision::answer(Reply::Read(Read::Items { node: node.clone(), selection, page })))
}

/// Following the log is reading it: the same rule, whether items are kept or not.
pub(super) fn watch(caller: &Caller, facts: &Facts) -> Result<Decision, Refusal> {
    let node = rights::readable(caller, facts)?.clone();
    Ok(Decision::answer(Reply::Watching { node }))
}
