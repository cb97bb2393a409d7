//! Removes every item of a node (XEP-0060 §8.5).

use crate::pubsub::draft::Draft;
use crate::pubsub::{Caller, Decision, Facts, Given, Refusal, Reply, rights};

pub(super) fn purge(caller: &Caller, facts: &Facts, given: &Given<'_>) -> Result<Decision, Refusal> {
    let node = rights::owned(caller, facts)?;
    // XEP-0248 §4.1.
    if node.config.is_collection() {
        return Err(Refusal::NotOfCollections { feature: "purge-nodes" });
    }
    // XEP-0060 §8.5.3.3.
    if !node.config.persist_items {
        return Err(Refusal::NotPersistent);
    }
    let mut draft = Draft::over(node, given.now);
    draft.purge();
    Ok(draft.done(Reply::Done))
}
