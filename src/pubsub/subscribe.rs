//! Subscribes and unsubscribes (XEP-0060 §6.1, §6.2).

use std::sync::Arc;

use crate::jid::Jid;
use crate::pubsub::audience::why_unreadable;
use crate::pubsub::draft::Draft;
use crate::pubsub::{
    Caller, Change, Decision, Facts, Given, NodeConfig, Reader, Refusal, Reply, Role, SendLast, SubId, Subscription,
    SubscriptionState, rights,
};

/// One JID has one subscription to a node, which a second request finds as it is (XEP-0060 §6.1.6).
pub(super) fn subscribe(caller: &Caller, jid: Jid, facts: &Facts, given: &mut Given<'_>) -> Result<Decision, Refusal> {
    let node = rights::present(facts)?;
    let entity = Entity::of(caller, &jid, facts).ok_or(Refusal::InvalidJid)?;
    let state = admission(&node.config, &entity.reader)?;
    let send_last = state == SubscriptionState::Subscribed && sends_last(&node.config);
    if let Some(standing) = entity.subscriptions.iter().find(|subscription| subscription.jid == jid) {
        return match (standing.state, state) {
            // XEP-0060 §6.1.3.7.
            (SubscriptionState::Pending, SubscriptionState::Pending) => Err(Refusal::SubscriptionPending),
            // Meanwhile the node lets it in without anybody's approval.
            (SubscriptionState::Pending, _) => {
                let subscription = approved(standing);
                let mut draft = Draft::over(node, given.now);
                draft.change(Change::SetSubscription { subscription: subscription.clone() });
                Ok(draft.done(Reply::Subscribed { subscription, send_last }))
            }
            _ => Ok(Decision::answer(Reply::Subscribed { subscription: standing.clone(), send_last })),
        };
    }
    // XEP-0060 §6.1.3.10.
    if !node.config.subscribe {
        return Err(Refusal::SubscriptionsClosed);
    }
    if entity.subscriptions.len() >= rights::SUBSCRIPTIONS_MAX {
        return Err(Refusal::TooManySubscriptions);
    }
    let subscription = begin(jid, state, given);
    let mut draft = Draft::over(node, given.now);
    draft.change(Change::SetSubscription { subscription: subscription.clone() });
    Ok(draft.done(Reply::Subscribed { subscription, send_last }))
}

/// Whoever has lost the right to read may still end what it began.
pub(super) fn unsubscribe(
    caller: &Caller,
    jid: &Jid,
    subid: Option<&SubId>,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Decision, Refusal> {
    let node = rights::present(facts)?;
    // XEP-0060 §6.2.3.3: here another's JID is forbidden, not invalid as in §6.1.3.1.
    let entity = Entity::of(caller, jid, facts).ok_or(Refusal::Forbidden)?;
    let standing = entity.subscriptions.iter().find(|subscription| subscription.jid == *jid);
    let standing = standing.ok_or(Refusal::NotSubscribed)?;
    if subid.is_some_and(|subid| *subid != standing.subid) {
        return Err(Refusal::InvalidSubId);
    }
    let mut draft = Draft::over(node, given.now);
    draft.change(Change::SetSubscription { subscription: ended(standing) });
    Ok(draft.done(Reply::Unsubscribed))
}

/// A new subscription; the service names it (XEP-0060 §6.1.6).
pub(super) fn begin(jid: Jid, state: SubscriptionState, given: &mut Given<'_>) -> Subscription {
    Subscription { jid, subid: SubId(Arc::from((given.fresh_id)())), state }
}

pub(super) fn approved(subscription: &Subscription) -> Subscription {
    Subscription { state: SubscriptionState::Subscribed, ..subscription.clone() }
}

pub(super) fn ended(subscription: &Subscription) -> Subscription {
    Subscription { state: SubscriptionState::None, ..subscription.clone() }
}

/// The state in which an entity's subscription begins. Those who have an affiliation need nobody's
/// approval, as XEP-0060 §6.1.4 lets a service decide; others wait for an owner.
fn admission(config: &NodeConfig, reader: &Reader<'_>) -> Result<SubscriptionState, Refusal> {
    match why_unreadable(config, reader) {
        None => Ok(SubscriptionState::Subscribed),
        Some(Refusal::SubscriptionRequired) => Ok(SubscriptionState::Pending),
        Some(refusal) => Err(refusal),
    }
}

/// XEP-0060 §6.1.7. A node that keeps nothing has nothing to send.
fn sends_last(config: &NodeConfig) -> bool {
    config.persist_items && config.send_last_published_item != SendLast::Never
}

/// Whose subscription it is about.
struct Entity<'a> {
    reader: Reader<'a>,
    subscriptions: &'a [Subscription],
}

impl<'a> Entity<'a> {
    /// The caller, under any of its JIDs; for an administrator, anyone. Bare JIDs are compared
    /// (XEP-0060 §6.1.3.1, §6.2.3.3). Somebody whom an administrator subscribes reads with his own
    /// rights, not with the administrator's.
    fn of(caller: &Caller, jid: &Jid, facts: &'a Facts) -> Option<Self> {
        if jid.bare() == caller.jid.bare() {
            let subscriptions = facts.subscriptions.as_slice();
            return Some(Entity { reader: facts.reader(caller), subscriptions });
        }
        (caller.role == Role::Admin).then(|| Entity {
            reader: facts.other(0),
            subscriptions: facts.subscribers.first().map(Vec::as_slice).unwrap_or_default(),
        })
    }
}
