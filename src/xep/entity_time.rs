//! XEP-0202: Entity Time. The server tells UTC, whatever its machine's zone.

use crate::xep::{Asked, Body, Claim, Entity, Extension, Feature, RequestKind, Work};
use crate::xml::Element;
use crate::xmpp::StanzaError;

pub(super) const EXTENSION: Extension = Extension {
    number: 202,
    name: "Entity Time",
    version: "2.0",
    features: &[Feature::always(NS_TIME, AT)],
    claims: &[Claim { name: "time", ns: NS_TIME, kinds: &[RequestKind::Get], at: AT, handler: time }],
};

fn time(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    let word = |name: &str, text: String| Element::new(name, NS_TIME).with_text(text);
    let time = Element::new("time", NS_TIME)
        .with_child(word("tzo", "+00:00".to_owned()))
        .with_child(word("utc", asked.now.to_string()));
    Ok(Work::Done(Body::Element(time)))
}

const AT: &[Entity] = &[Entity::Server, Entity::Service];
const NS_TIME: &str = "urn:xmpp:time";
