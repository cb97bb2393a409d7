//! `<subscribe/>` and `<unsubscribe/>` (XEP-0060 §6.1, §6.2).

use crate::delivery::Due;
use crate::engine::Answer;
use crate::pubsub::{NodeId, Public, Reply, Subscription, Verb};
use crate::xep::public::NS_PUBLIC;
use crate::xep::pubsub::{NS_PUBSUB, Words, options};
use crate::xep::{Ask, Body, Work};
use crate::xml::Element;
use crate::xmpp::StanzaError;

pub(super) fn subscribe(words: &Words<'_>) -> Result<Work, StanzaError> {
    let (node, jid) = (words.node()?, words.jid()?);
    let options = options::of_guest(words.asked, options::beside_subscribe(words)?);
    let configured = words.companion.is_some();
    let verb = Verb::Subscribe { node: node.clone(), jid, options, public: public(words) };
    let request = words.asked.request(verb);
    let caller = request.caller.clone();
    let say = Box::new(move |answered: crate::engine::Answered| {
        let Answer::Reply(Reply::Subscribed { subscription, send_last }) = answered.answer else { return None };
        let resulting = configured.then(|| options::resulting(&subscription.options));
        let pubsub = Element::new("pubsub", NS_PUBSUB).with_child(element(&node, &subscription));
        let body = Body::Element(pubsub.with_children(resulting));
        // Whom somebody else has subscribed, is told apart.
        let own = caller.jid.bare() == subscription.jid.bare();
        let due = answered.at.filter(|_| send_last && own);
        Some((body, due.map(|at| Box::new(Due { node: at.node, subscription, at: at.seq }))))
    });
    Ok(Work::Ask(Box::new(Ask { request, say, instead: None })))
}

/// XEP-0465 §4.1, §4.3.
fn public(words: &Words<'_>) -> Public {
    if words.verb.child("public", NS_PUBLIC).is_some() { Public::Yes } else { Public::No }
}

pub(super) fn unsubscribe(words: &Words<'_>) -> Result<Work, StanzaError> {
    let verb = Verb::Unsubscribe { node: words.node()?, jid: words.jid()?, subid: words.subid() };
    Ok(Work::ask(words.asked.request(verb), |answered| {
        matches!(answered.answer, Answer::Reply(Reply::Unsubscribed { .. })).then_some(Body::Empty)
    }))
}

/// A subscription as its subscriber is told of it (XEP-0060 §6.1.2, §5.6).
pub(super) fn element(node: &NodeId, subscription: &Subscription) -> Element {
    Element::new("subscription", NS_PUBSUB)
        .with_attr("node", node.as_str())
        .with_attr("jid", subscription.jid.to_string())
        .with_attr("subid", subscription.subid.as_str())
        .with_attr("subscription", subscription.state.as_str())
}
