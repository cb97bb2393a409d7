//! Subscribes and unsubscribes (XEP-0060 §6.1, §6.2).

use std::sync::Arc;

use crate::jid::Jid;
use crate::pubsub::audience::why_unreadable;
use crate::pubsub::draft::Draft;
use crate::pubsub::{
    Caller, Decision, Depth, Expire, Facts, Given, Kinds, NodeConfig, Public, RawField, Reader, Refusal, Reply, Role,
    SendLast, SubId, Subscription, SubscriptionOptions, SubscriptionState, rights,
};

/// One JID has one subscription to a node, which a second request finds as it is, but for the options
/// that it bears; unless the operator lets it have several (XEP-0060 §6.1.6).
pub(super) fn subscribe(
    caller: &Caller,
    jid: Jid,
    wanted: &[RawField],
    public: Public,
    facts: &Facts,
    given: &mut Given<'_>,
) -> Result<Decision, Refusal> {
    let node = rights::present(facts)?;
    let entity = Entity::of(caller, &jid, facts).ok_or(Refusal::InvalidJid)?;
    let state = admission(&node.config, &entity.reader)?;
    if state == SubscriptionState::Pending && facts.target.is_some() {
        // Whoever approves, does so for the node that this one is kept of.
        return Err(Refusal::SubscriptionRequired);
    }
    let send_last = state == SubscriptionState::Subscribed && sends_last(&node.config);
    let policy = &facts.policy.subscriptions;
    let of_jid = || entity.subscriptions.iter().filter(|subscription| subscription.jid == jid);
    let waits = |standing: &&Subscription| standing.state == SubscriptionState::Pending;
    // Nobody else makes a subscription public.
    let public = if jid.bare() == caller.jid.bare() { public } else { Public::AsItIs };
    // XEP-0060 §6.1.3.7; but whether it is to be public is heard at once.
    let again = |standing: &Subscription| shown(standing.clone(), public) == *standing;
    if state == SubscriptionState::Pending && of_jid().filter(waits).any(again) {
        return Err(Refusal::SubscriptionPending);
    }
    if let Some(standing) = of_jid().find(waits).or(of_jid().next().filter(|_| !policy.multi_subscribe)) {
        let subscription = shown(changed(standing, wanted, &node.config, facts, given)?, public);
        // What waited may come in by now without anybody's approval.
        let comes_in = waits(&&subscription) && state == SubscriptionState::Subscribed;
        let subscription = if comes_in { approved(&subscription) } else { subscription };
        let mut draft = Draft::over(node, given.now);
        if subscription != *standing {
            draft.set_subscription(Some(standing), subscription.clone());
        }
        take_back(&mut draft, public, entity.subscriptions.iter().filter(|other| *other != standing));
        return Ok(draft.done(Reply::Subscribed { subscription, send_last }));
    }
    // XEP-0060 §6.1.3.10.
    if !node.config.subscribe {
        return Err(Refusal::SubscriptionsClosed);
    }
    if entity.subscriptions.len() >= rights::SUBSCRIPTIONS_MAX {
        return Err(Refusal::TooManySubscriptions);
    }
    let options = standard(&node.config).with(wanted, policy, given.now)?;
    let options = fitting(&node.config, options, wanted)?;
    let subscription = Subscription { options: options.into(), ..begin(jid, state, &node.config, given) };
    let subscription = shown(subscription, public);
    let mut draft = Draft::over(node, given.now);
    draft.set_subscription(None, subscription.clone());
    take_back(&mut draft, public, entity.subscriptions.iter());
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
    let standing = named(entity.subscriptions, jid, subid)?;
    let mut draft = Draft::over(node, given.now);
    let subscription = ended(standing);
    draft.set_subscription(Some(standing), subscription.clone());
    Ok(draft.done(Reply::Unsubscribed { subscription }))
}

/// XEP-0060 §6.3.2.
pub(super) fn options(caller: &Caller, jid: &Jid, subid: Option<&SubId>, facts: &Facts) -> Result<Decision, Refusal> {
    rights::present(facts)?;
    let entity = Entity::of(caller, jid, facts).ok_or(Refusal::Forbidden)?;
    let subscription = named(entity.subscriptions, jid, subid)?.clone();
    Ok(Decision::answer(Reply::Options { subscription }))
}

/// XEP-0060 §6.3.5.
pub(super) fn set_options(
    caller: &Caller,
    jid: &Jid,
    subid: Option<&SubId>,
    wanted: &[RawField],
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Decision, Refusal> {
    let node = rights::present(facts)?;
    let entity = Entity::of(caller, jid, facts).ok_or(Refusal::Forbidden)?;
    let standing = named(entity.subscriptions, jid, subid)?;
    let subscription = changed(standing, wanted, &node.config, facts, given)?;
    let mut draft = Draft::over(node, given.now);
    if subscription != *standing {
        draft.set_subscription(Some(standing), subscription);
    }
    Ok(draft.done(Reply::Done))
}

/// XEP-0060 §6.4: the defaults of a leaf node are those of the service.
pub(super) fn default_options(caller: &Caller, at_node: bool, facts: &Facts) -> Result<Decision, Refusal> {
    let options =
        if at_node { standard(&rights::readable(caller, facts)?.config) } else { SubscriptionOptions::standard() };
    Ok(Decision::answer(Reply::DefaultOptions { options }))
}

/// Ends a subscription whose time has come. One that was renewed meanwhile, or has gone, is let be.
pub(super) fn lapse(
    caller: &Caller,
    jid: &Jid,
    subid: &SubId,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Decision, Refusal> {
    let node = rights::present(facts)?;
    let entity = Entity::of(caller, jid, facts).ok_or(Refusal::Forbidden)?;
    let mut draft = Draft::over(node, given.now);
    let standing = entity.subscriptions.iter().find(|standing| standing.jid == *jid && standing.subid == *subid);
    if let Some(standing) =
        standing.filter(|standing| node.config.tempsub || standing.options.expire.is_over(given.now))
    {
        draft.set_subscription(Some(standing), ended(standing));
    }
    Ok(draft.done(Reply::Done))
}

/// The subscription that a request means.
pub(super) fn named<'a>(
    subscriptions: &'a [Subscription],
    jid: &Jid,
    subid: Option<&SubId>,
) -> Result<&'a Subscription, Refusal> {
    let mut of_jid = subscriptions.iter().filter(|subscription| subscription.jid == *jid);
    match (of_jid.next(), subid) {
        (None, _) => Err(Refusal::NotSubscribed),
        (Some(first), None) => of_jid.next().map_or(Ok(first), |_| Err(Refusal::SubIdRequired)),
        (Some(first), Some(subid)) => {
            let mut of_jid = std::iter::once(first).chain(of_jid);
            of_jid.find(|subscription| subscription.subid == *subid).ok_or(Refusal::InvalidSubId)
        }
    }
}

/// A subscription with other options.
fn changed(
    standing: &Subscription,
    wanted: &[RawField],
    config: &NodeConfig,
    facts: &Facts,
    given: &Given<'_>,
) -> Result<Subscription, Refusal> {
    let options = standing.options.with(wanted, &facts.policy.subscriptions, given.now)?;
    let options = fitting(config, options, wanted)?;
    let options = if options == *standing.options { standing.options.clone() } else { options.into() };
    Ok(Subscription { options, ..standing.clone() })
}

/// XEP-0465 §4.3: whoever subscribes again without making it public takes that back.
fn shown(mut subscription: Subscription, public: Public) -> Subscription {
    let public = match public {
        Public::AsItIs => return subscription,
        Public::Yes => true,
        Public::No => false,
    };
    if subscription.options.public != public {
        Arc::make_mut(&mut subscription.options).public = public;
    }
    subscription
}

/// Public is an entity: whoever takes it back for one of his subscriptions to a node takes it back for all of them.
fn take_back<'a>(draft: &mut Draft, public: Public, others: impl Iterator<Item = &'a Subscription>) {
    if public == Public::No {
        for other in others.filter(|other| other.options.public) {
            draft.set_subscription(Some(other), shown(other.clone(), public));
        }
    }
}

/// A new subscription; the service names it (XEP-0060 §6.1.6).
pub(super) fn begin(jid: Jid, state: SubscriptionState, config: &NodeConfig, given: &mut Given<'_>) -> Subscription {
    let subid = SubId(Arc::from((given.fresh_id)()));
    Subscription { jid, subid, state, options: standard(config) }
}

/// The options, as far as the node lets them be.
fn fitting(
    config: &NodeConfig,
    mut options: SubscriptionOptions,
    wanted: &[RawField],
) -> Result<SubscriptionOptions, Refusal> {
    let asked = |name: &str| wanted.iter().any(|field| field.bare_name() == name);
    let invalid = |field: &str, why: &str| Err(Refusal::InvalidOptions { field: field.into(), why: why.into() });
    // Its owner may want every subscription to end with the presence of its subscriber (XEP-0060 §12.5). A
    // lease that is asked for would not be kept then.
    if config.tempsub {
        if matches!(options.expire, Expire::At(_)) && asked("expire") {
            return invalid("expire", "the subscriptions of this node end with the presence of their subscribers");
        }
        options.expire = Expire::Presence;
    }
    if !config.is_collection() && asked("subscription_type") && options.kinds != Kinds::Items {
        return invalid("subscription_type", "the node is no collection: it has items only");
    }
    if !config.is_collection() && asked("subscription_depth") && options.depth != Depth::To(1) {
        return invalid("subscription_depth", "the node is no collection: there is nothing below it");
    }
    Ok(options)
}

/// What a subscription is like that asks for nothing else (XEP-0248 §6.1, XEP-0060 §12.5).
fn standard(config: &NodeConfig) -> Arc<SubscriptionOptions> {
    let mut options = SubscriptionOptions::standard();
    if config.tempsub {
        Arc::make_mut(&mut options).expire = Expire::Presence;
    }
    if config.is_collection() {
        Arc::make_mut(&mut options).kinds = Kinds::Nodes;
    }
    options
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

/// Is the last item sent to whoever is subscribed, or let in (XEP-0060 §6.1.7, §12.2)? A node that keeps nothing has
/// nothing to send.
pub fn sends_last(config: &NodeConfig) -> bool {
    config.persist_items && config.send_last_published_item != SendLast::Never
}

/// Is it sent to whoever becomes available, too (XEP-0060 §4.3)?
pub fn sends_last_at_presence(config: &NodeConfig) -> bool {
    config.persist_items && config.send_last_published_item == SendLast::OnSubAndPresence
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
