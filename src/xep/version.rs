//! XEP-0092: Software Version. The operating system is nobody's business (§5).

use crate::xep::{Asked, Body, Claim, Entity, Extension, Feature, RequestKind, Work};
use crate::xml::Element;
use crate::xmpp::StanzaError;

pub(super) const EXTENSION: Extension = Extension {
    number: 92,
    name: "Software Version",
    version: "1.1",
    features: &[Feature::always(NS_VERSION, AT)],
    claims: &[Claim { name: "query", ns: NS_VERSION, kinds: &[RequestKind::Get], at: AT, handler: version }],
};

fn version(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    let word = |name: &str, text: &str| Element::new(name, NS_VERSION).with_text(text);
    let query = Element::new("query", NS_VERSION)
        .with_child(word("name", &asked.options.software_name))
        .with_child(word("version", &asked.options.software_version));
    Ok(Work::Done(Body::Element(query)))
}

const AT: &[Entity] = &[Entity::Server, Entity::Service];
const NS_VERSION: &str = "jabber:iq:version";
