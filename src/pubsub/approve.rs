//! Answers those who wait to be subscribed (XEP-0060 §8.6), and tells who waits.

use crate::jid::{BareJid, Jid};
use crate::pubsub::audience::why_unreadable;
use crate::pubsub::draft::Draft;
use crate::pubsub::subscribe::{approved, ended};
use crate::pubsub::{
    Caller, Decision, Facts, Given, Read, Reader, Refusal, Reply, Role, SubId, SubscriptionState, rights,
};

/// An owner's answer. The first one counts: what no longer waits is left as it is.
pub(super) fn approve(
    caller: &Caller,
    jid: &Jid,
    subid: Option<&SubId>,
    allow: bool,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Decision, Refusal> {
    let node = rights::owned(caller, facts)?;
    let mut subscriptions = facts.subscribers.first().into_iter().flatten();
    let waiting = subscriptions.find(|subscription| {
        subscription.jid == *jid
            && subscription.state == SubscriptionState::Pending
            && subid.is_none_or(|subid| *subid == subscription.subid)
    });
    let waiting = waiting.ok_or(Refusal::NotPending)?;
    let subscription = if allow {
        // The node may have been closed to the entity since it asked.
        let reader = Reader { subscribed: true, ..facts.other(0) };
        why_unreadable(&node.config, &reader).map_or(Ok(()), Err)?;
        approved(waiting)
    } else {
        ended(waiting)
    };
    let mut draft = Draft::over(node, given.now);
    draft.set_subscription(Some(waiting), subscription);
    Ok(draft.done(Reply::Done))
}

/// Who waits: at one node, for its owners, or at every node of the service that the caller owns
/// (XEP-0060 §8.7). An administrator owns them all.
pub(super) fn pending(caller: &Caller, service: BareJid, at_node: bool, facts: &Facts) -> Result<Decision, Refusal> {
    let node = if at_node { Some(rights::owned(caller, facts)?.key) } else { None };
    let owner = (caller.role != Role::Admin && !at_node).then(|| caller.jid.bare().clone());
    Ok(Decision::answer(Reply::Read(Read::Pending { service, owner, node })))
}
