//! `<subscriptions/>`: one's own (XEP-0060 §5.6), and a node's, for its owners (§8.8).

use crate::engine::Answer;
use crate::jid::Jid;
use crate::pubsub::{SubId, Subscription, SubscriptionState, Verb};
use crate::xep::pubsub::{NS_OWNER, NS_PUBSUB, Words, configure, jid, subid, subscribe};
use crate::xep::{Body, Work, bad_request, rsm};
use crate::xml::Element;
use crate::xmpp::StanzaError;

/// XEP-0060 §5.6.
pub(super) fn own(words: &Words<'_>) -> Result<Work, StanzaError> {
    let node = words.node_opt()?;
    let wanted = rsm::wanted(&words.asked.element, words.asked.options.list_entries_max)?;
    let request = words.asked.request(Verb::Subscriptions { node: node.clone(), page: wanted.page });
    Ok(Work::ask(request, move |answered| {
        let Answer::SubscriptionsOf(list) = answered.answer else { return None };
        let entries = list.entries.iter().map(|(node, subscription)| subscribe::element(node, subscription));
        let subscriptions = Element::new("subscriptions", NS_PUBSUB)
            .with_attr_opt("node", node.as_ref().map(|node| node.as_str()))
            .with_children(entries);
        let pubsub = Element::new("pubsub", NS_PUBSUB).with_child(subscriptions);
        Some(Body::Element(pubsub.with_children(rsm::notation(&list, wanted.paged))))
    }))
}

/// XEP-0060 §8.8.1.
pub(super) fn of_node(words: &Words<'_>) -> Result<Work, StanzaError> {
    let node = words.node()?;
    let wanted = rsm::wanted(&words.asked.element, words.asked.options.list_entries_max)?;
    let request = words.asked.request(Verb::NodeSubscriptions { node: node.clone(), page: wanted.page });
    Ok(Work::ask(request, move |answered| {
        let Answer::NodeSubscriptions(list) = answered.answer else { return None };
        let listed = |subscription: &&Subscription| match subscription.state {
            SubscriptionState::Subscribed | SubscriptionState::Unconfigured => true,
            // XEP-0060 §8.8.1.2.
            SubscriptionState::None | SubscriptionState::Pending => false,
        };
        let entry = |subscription: &Subscription| {
            Element::new("subscription", NS_OWNER)
                .with_attr("jid", subscription.jid.to_string())
                .with_attr("subscription", subscription.state.as_str())
                .with_attr("subid", subscription.subid.as_str())
        };
        let subscriptions = Element::new("subscriptions", NS_OWNER)
            .with_attr("node", node.as_str())
            .with_children(list.entries.iter().filter(listed).map(entry));
        let pubsub = Element::new("pubsub", NS_OWNER).with_child(subscriptions);
        Some(Body::Element(pubsub.with_children(rsm::notation(&list, wanted.paged))))
    }))
}

/// XEP-0060 §8.8.2. An entry without a state changes nothing.
pub(super) fn set(words: &Words<'_>) -> Result<Work, StanzaError> {
    let node = words.node()?;
    let mut changes: Vec<(Jid, Option<SubId>, SubscriptionState)> = Vec::new();
    for entry in words.children("subscription") {
        let jid = jid(entry)?;
        let Some(state) = entry.attr("subscription") else { continue };
        let state =
            SubscriptionState::parse(state).ok_or_else(|| bad_request("there is no such subscription state"))?;
        changes.push((jid, subid(entry), state));
    }
    Ok(Work::ask(words.asked.request(Verb::SetSubscriptions { node, changes }), configure::done))
}
