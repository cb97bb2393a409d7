//! `<affiliations/>`: one's own (XEP-0060 §5.7), and a node's, for its owners (§8.9).

use crate::engine::Answer;
use crate::jid::BareJid;
use crate::pubsub::{Affiliation, NodeId, Verb};
use crate::xep::pubsub::{NS_OWNER, NS_PUBSUB, Words, configure, jid};
use crate::xep::{Body, Work, bad_request, rsm};
use crate::xml::Element;
use crate::xmpp::StanzaError;

/// XEP-0060 §5.7.
pub(super) fn own(words: &Words<'_>) -> Result<Work, StanzaError> {
    let node = words.node_opt()?;
    let wanted = rsm::wanted(&words.asked.element, words.asked.options.list_entries_max)?;
    let request = words.asked.request(Verb::Affiliations { node: node.clone(), page: wanted.page });
    Ok(Work::ask(request, move |answered| {
        let Answer::AffiliationsOf(list) = answered.answer else { return None };
        let entry = |(node, affiliation): &(NodeId, Affiliation)| {
            Element::new("affiliation", NS_PUBSUB)
                .with_attr("node", node.as_str())
                .with_attr("affiliation", affiliation.as_str())
        };
        let affiliations = Element::new("affiliations", NS_PUBSUB)
            .with_attr_opt("node", node.as_ref().map(NodeId::as_str))
            .with_children(list.entries.iter().map(entry));
        let pubsub = Element::new("pubsub", NS_PUBSUB).with_child(affiliations);
        Some(Body::Element(pubsub.with_children(rsm::notation(&list, wanted.paged))))
    }))
}

/// XEP-0060 §8.9.1.
pub(super) fn of_node(words: &Words<'_>) -> Result<Work, StanzaError> {
    let node = words.node()?;
    let wanted = rsm::wanted(&words.asked.element, words.asked.options.list_entries_max)?;
    let request = words.asked.request(Verb::NodeAffiliations { node: node.clone(), page: wanted.page });
    Ok(Work::ask(request, move |answered| {
        let Answer::NodeAffiliations(list) = answered.answer else { return None };
        let entry = |(jid, affiliation): &(BareJid, Affiliation)| {
            Element::new("affiliation", NS_OWNER)
                .with_attr("jid", jid.as_str())
                .with_attr("affiliation", affiliation.as_str())
        };
        let affiliations = Element::new("affiliations", NS_OWNER)
            .with_attr("node", node.as_str())
            .with_children(list.entries.iter().map(entry));
        let pubsub = Element::new("pubsub", NS_OWNER).with_child(affiliations);
        Some(Body::Element(pubsub.with_children(rsm::notation(&list, wanted.paged))))
    }))
}

/// XEP-0060 §8.9.2. An entry without an affiliation changes nothing; a resource is not part of what
/// is affiliated (§4.1).
pub(super) fn set(words: &Words<'_>) -> Result<Work, StanzaError> {
    let node = words.node()?;
    let mut changes: Vec<(BareJid, Affiliation)> = Vec::new();
    for entry in words.children("affiliation") {
        let jid = jid(entry)?;
        let Some(affiliation) = entry.attr("affiliation") else { continue };
        let affiliation = Affiliation::parse(affiliation).ok_or_else(|| bad_request("there is no such affiliation"))?;
        changes.push((jid.bare().clone(), affiliation));
    }
    Ok(Work::ask(words.asked.request(Verb::SetAffiliations { node, changes }), configure::done))
}
