//! Reads and changes the subscriptions of a node (XEP-0060 §5.6, §8.8).

use std::collections::{BTreeMap, HashSet};

use crate::jid::{BareJid, Jid};
use crate::pubsub::draft::Draft;
use crate::pubsub::subscribe::{approved, begin, ended, named};
use crate::pubsub::{
    Caller, Decision, Facts, Given, NodeConfig, Page, Read, Reader, Refusal, Reply, SubId, Subscription,
    SubscriptionState, Unchanged, may_read, rights,
};

/// What an owner asks for one JID: the state, and the subscription's name if he knows it.
type Wish = (Jid, Option<SubId>, SubscriptionState);

/// The caller's own, at the addressed node or everywhere (XEP-0060 §5.6).
pub(super) fn subscriptions(
    caller: &Caller,
    service: BareJid,
    at_node: bool,
    page: Page,
    facts: &Facts,
) -> Result<Decision, Refusal> {
    let node = if at_node { Some(rights::present(facts)?.key) } else { None };
    let jid = caller.jid.bare().clone();
    Ok(Decision::answer(Reply::Read(Read::SubscriptionsOf { service, jid, node, page })))
}

/// Everyone's, for an owner (XEP-0060 §8.8.1).
pub(super) fn of_node(caller: &Caller, page: Page, facts: &Facts) -> Result<Decision, Refusal> {
    let node = rights::owned(caller, facts)?.key;
    Ok(Decision::answer(Reply::Read(Read::NodeSubscriptions { node, page })))
}

/// XEP-0060 §8.8.2. All changes or none, so that a refusal returns every entry as it still is.
pub(super) fn set(caller: &Caller, wishes: &[Wish], facts: &Facts, given: &mut Given<'_>) -> Result<Decision, Refusal> {
    let node = rights::owned(caller, facts)?;
    let mut seen = HashSet::new();
    // XEP-0060 §8.8.2.4: two entries for one JID must differ in their SubID.
    if let Some((jid, ..)) = wishes.iter().find(|(jid, subid, _)| !seen.insert((jid, subid))) {
        return Err(Refusal::DuplicateChange { jid: jid.clone() });
    }
    let mut standing = Standing::of(wishes, &node.config, facts);
    let invalid = |why| Refusal::InvalidChange { why, unchanged: unchanged(wishes, facts) };
    if wishes.len() > rights::CHANGES_MAX {
        return Err(invalid("more changes than one request may bear"));
    }
    let mut draft = Draft::over(node, given.now);
    for wish in wishes {
        if let Some((before, after)) = standing.grant(wish, given).map_err(invalid)? {
            draft.set_subscription(before.as_ref(), after);
        }
    }
    Ok(draft.done(Reply::Done))
}

/// The subscriptions of those whom a request names, as its entries change them one by one.
struct Standing<'a> {
    config: &'a NodeConfig,
    entities: BTreeMap<&'a BareJid, Entity>,
}

#[derive(Default)]
struct Entity {
    /// Whether it may read once an owner lets it in (XEP-0060 §4.1: an outcast, for one, may not).
    admissible: bool,
    subscriptions: Vec<Subscription>,
}

impl<'a> Standing<'a> {
    fn of(wishes: &'a [Wish], config: &'a NodeConfig, facts: &Facts) -> Self {
        let entity = |(position, subscriptions): (usize, &Vec<Subscription>)| {
            let admissible = may_read(config, &Reader { subscribed: true, ..facts.other(position) });
            Entity { admissible, subscriptions: subscriptions.clone() }
        };
        let known = facts.subscribers.iter().enumerate().map(entity);
        Standing { config, entities: wishes.iter().map(|(jid, ..)| jid.bare()).zip(known).collect() }
    }

    /// What an entry makes of a subscription, or of none, if it changes anything; or what is wrong with it.
    fn grant(
        &mut self,
        (jid, subid, state): &'a Wish,
        given: &mut Given<'_>,
    ) -> Result<Option<(Option<Subscription>, Subscription)>, &'static str> {
        let Entity { admissible, subscriptions } = self.entities.entry(jid.bare()).or_default();
        let admissible = *admissible;
        let found = match named(subscriptions, jid, subid.as_ref()) {
            Ok(found) => subscriptions.iter().position(|subscription| subscription == found),
            Err(Refusal::SubIdRequired) => return Err("the entity has several subscriptions: name one"),
            Err(_) if subid.is_some() => return Err("there is no subscription with that identifier"),
            Err(_) => None,
        };
        match (state, found) {
            // XEP-0060 §8.8.2: what waits for an owner is approved by him.
            (SubscriptionState::Subscribed, Some(at)) if subscriptions[at].state == SubscriptionState::Pending => {
                if !admissible {
                    return Err(UNREADABLE);
                }
                let waiting = subscriptions[at].clone();
                subscriptions[at] = approved(&waiting);
                Ok(Some((Some(waiting), subscriptions[at].clone())))
            }
            (SubscriptionState::None, None) | (SubscriptionState::Subscribed, Some(_)) => Ok(None),
            (SubscriptionState::None, Some(at)) => {
                let standing = subscriptions.remove(at);
                let gone = ended(&standing);
                Ok(Some((Some(standing), gone)))
            }
            (SubscriptionState::Subscribed, None) => {
                if !admissible {
                    return Err(UNREADABLE);
                }
                if subscriptions.len() >= rights::SUBSCRIPTIONS_MAX {
                    return Err("the entity may have no more subscriptions to the node");
                }
                let subscription = begin(jid.clone(), SubscriptionState::Subscribed, self.config, given);
                subscriptions.push(subscription.clone());
                Ok(Some((None, subscription)))
            }
            (SubscriptionState::Pending | SubscriptionState::Unconfigured, _) => {
                Err("only the states none and subscribed can be set")
            }
        }
    }
}

fn unchanged(wishes: &[Wish], facts: &Facts) -> Unchanged {
    let state = |jid: &Jid, subscriptions: &[Subscription]| {
        let found = subscriptions.iter().find(|subscription| subscription.jid == *jid);
        found.map_or(SubscriptionState::None, |subscription| subscription.state)
    };
    let entries = wishes.iter().zip(&facts.subscribers).map(|((jid, ..), of)| (jid.clone(), state(jid, of)));
    Unchanged::Subscriptions(entries.collect())
}

const UNREADABLE: &str = "the entity may not read the node";
