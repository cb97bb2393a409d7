//! Reads and changes a node's configuration (XEP-0060 §8.2).

use std::sync::Arc;

use crate::pubsub::draft::Draft;
use crate::pubsub::{Caller, Decision, EventKind, Facts, Given, Node, NodeConfig, RawField, Refusal, Reply, rights};

pub(super) fn configuration(caller: &Caller, facts: &Facts) -> Result<Decision, Refusal> {
    let config = rights::owned(caller, facts)?.config.clone();
    Ok(Decision::answer(Reply::Configuration { config }))
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
    let config = node.config.with(changes, &facts.policy)?;
    let mut draft = Draft::over(node, given.now);
    if config == *node.config {
        return Ok(draft.done(Reply::Done));
    }
    let config = Arc::new(config);
    draft.node.config = config.clone();
    draft.log(EventKind::Configured { config: config.clone() });
    if !config.persist_items && node.items > 0 {
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

fn retire(draft: &mut Draft, config: &NodeConfig, facts: &Facts) {
    let surplus = draft.node.items.saturating_sub(config.max_items);
    let surplus = usize::try_from(surplus).unwrap_or(usize::MAX);
    for fact in facts.oldest.iter().take(surplus) {
        draft.remove_item(fact, config.notify_retract);
    }
}
