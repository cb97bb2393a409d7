//! Deletes a node (XEP-0060 §8.4).

use std::sync::Arc;

use crate::pubsub::config::{is_uri, sane};
use crate::pubsub::draft::Draft;
use crate::pubsub::graph::Held;
use crate::pubsub::subscribe::ended;
use crate::pubsub::{Caller, Change, Decision, EventKind, Facts, Given, Refusal, Reply, rights};

/// The node goes with all that it has; what stays is its name, the end of its log, and where its
/// owner says to look instead.
pub(super) fn delete(
    caller: &Caller,
    redirect: Option<Arc<str>>,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Decision, Refusal> {
    let node = rights::owned(caller, facts)?;
    if let Some(redirect) = &redirect {
        let invalid = |why: &str| Refusal::InvalidConfig { field: Arc::from("redirect"), why: Arc::from(why) };
        sane(redirect).map_err(|why| invalid(&why))?;
        // XEP-0060 §8.4.1: a URI or IRI of whatever scheme.
        if !is_uri(redirect) {
            return Err(invalid("not a URI"));
        }
    }
    let mut draft = Draft::over(node, given.now);
    draft.log(EventKind::Deleted { redirect: redirect.clone() });
    draft.node.items = 0;
    // XEP-0060 §8.4.2: who waits watches no log, and is told apart.
    for waiting in &facts.waiting {
        draft.set_subscription(Some(waiting), ended(waiting));
    }
    // XEP-0248 §8.2: what it held stays, and what held it holds it no more.
    for parent in &facts.graph.parents {
        draft.share(parent.share(given, |share| share.dissociate(Held::of(node), true)));
    }
    draft.change(Change::DeleteNode { redirect });
    Ok(draft.done(Reply::Done))
}
