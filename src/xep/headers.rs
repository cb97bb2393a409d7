//! XEP-0131: Stanza Headers and Internet Metadata: those that notifications bear.

use crate::xep::disco::NS_INFO;
use crate::xep::{Asked, Body, Entity, Extension, Feature, Work};
use crate::xml::Element;

pub(super) const EXTENSION: Extension = Extension {
    number: 131,
    name: "Stanza Headers and Internet Metadata",
    version: "1.2",
    features: &[Feature::always(NS_SHIM, &[Entity::Service, Entity::Account])],
    claims: &[],
};

/// By which of its subscriptions somebody is notified (XEP-0060 §7.1.2.4).
pub(super) const SUBID: &str = "SubID";
/// By way of which collection (XEP-0248 §5.3).
pub(super) const COLLECTION: &str = "Collection";

/// XEP-0131 §3.2: which headers are known, where the well-known node is asked for.
pub(super) fn discovered(asked: &Asked<'_>) -> Option<Work> {
    if asked.element.attr("node") != Some(NS_SHIM) {
        return None;
    }
    let feature = |name: &str| Element::new("feature", NS_INFO).with_attr("var", format!("{NS_SHIM}#{name}").as_str());
    let leaf = Element::new("identity", NS_INFO).with_attr("category", "hierarchy").with_attr("type", "leaf");
    let query = Element::new("query", NS_INFO).with_attr("node", NS_SHIM).with_child(leaf);
    Some(Work::Done(Body::Element(query.with_children([SUBID, COLLECTION].map(feature)))))
}

pub(super) const NS_SHIM: &str = "http://jabber.org/protocol/shim";
