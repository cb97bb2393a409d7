//! Lets items go that have been kept as long as their node keeps them (`pubsub#item_expire`).

use crate::pubsub::draft::Draft;
use crate::pubsub::{Caller, Decision, Facts, Given, Node, Refusal, Reply, rights};

/// Those of the oldest that are due, each with an event of its own. What is due beyond so many is due
/// again at once.
pub(super) fn expire(caller: &Caller, facts: &Facts, given: &Given<'_>) -> Result<Decision, Refusal> {
    let node = rights::owned(caller, facts)?;
    let mut draft = Draft::over(node, given.now);
    let mut items = 0;
    if let Some(due) = node.config.expired_before(given.now) {
        for fact in facts.oldest.iter().take_while(|fact| fact.published <= due) {
            draft.remove_item(fact, node.config.notify_retract);
            items += 1;
        }
    }
    Ok(draft.done(Reply::Expired { items }))
}

/// How many of the oldest items may go at once.
pub(super) fn surplus(node: &Node) -> u64 {
    if node.config.item_expire.is_some() { node.items.min(EXPIRED_AT_ONCE) } else { 0 }
}

const EXPIRED_AT_ONCE: u64 = 256;
