//! `<configure/>` and `<default/>` of owners (XEP-0060 §8.2, §8.3).

use crate::engine::{Answer, Answered};
use crate::pubsub::{NodeConfig, NodeType, Reply, Verb};
use crate::xep::pubsub::{NS_OWNER, Words, configuration as submitted, errors, form};
use crate::xep::{Body, Work, bad_request};
use crate::xml::Element;
use crate::xmpp::{Form, FormType, StanzaError};

/// XEP-0060 §8.2.1.
pub(super) fn configuration(words: &Words<'_>) -> Result<Work, StanzaError> {
    let node = words.node()?;
    let request = words.asked.request(Verb::Configuration { node: node.clone() });
    let policy = words.asked.policy.clone();
    Ok(Work::ask(request, move |answered| {
        let Answer::Configuration { node: found, collections, children } = answered.answer else { return None };
        let form = form::to_fill_in_of_node(&found.config, &policy, &collections, &children);
        let configure = Element::new("configure", NS_OWNER).with_attr("node", node.as_str());
        let configure = configure.with_child(form.to_element());
        Some(Body::Element(Element::new("pubsub", NS_OWNER).with_child(configure)))
    }))
}

/// XEP-0060 §8.2.4. Who cancels must have been able to ask, and changes nothing.
pub(super) fn configure(words: &Words<'_>) -> Result<Work, StanzaError> {
    let node = words.node()?;
    if Form::within(words.verb).is_ok_and(|form| form.is_some_and(|form| form.kind == FormType::Cancel)) {
        let request = words.asked.request(Verb::Configuration { node });
        return Ok(Work::ask(request, |_| Some(Body::Empty)));
    }
    let config = submitted(words.verb)?.ok_or_else(|| bad_request("the configuration has no form"))?;
    Ok(Work::ask(words.asked.request(Verb::Configure { node, config }), done))
}

/// XEP-0060 §8.3, XEP-0248 §7.3: of leaf nodes, or of collections.
pub(super) fn default(words: &Words<'_>) -> Result<Work, StanzaError> {
    let policy = &words.asked.policy;
    let mut config = NodeConfig::new(policy);
    config.node_type = match words.verb.attr("type") {
        None | Some("leaf") => NodeType::Leaf,
        Some("collection") if policy.is_personal() => return Err(errors::unsupported("collections")),
        Some("collection") => NodeType::Collection,
        Some(_) => return Err(bad_request("there is no such type of node")),
    };
    let config = form::to_fill_in_of_node(&config, policy, &[], &[]);
    let default = Element::new("default", NS_OWNER).with_child(config.to_element());
    Ok(Work::Done(Body::Element(Element::new("pubsub", NS_OWNER).with_child(default))))
}

/// The answer of verbs whose success says nothing.
pub(super) fn done(answered: Answered) -> Option<Body> {
    matches!(answered.answer, Answer::Reply(Reply::Done)).then_some(Body::Empty)
}
