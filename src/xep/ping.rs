//! XEP-0199: XMPP Ping.

use crate::xep::{Asked, Body, Claim, Entity, Extension, Feature, RequestKind, Work};
use crate::xmpp::StanzaError;

pub(super) const EXTENSION: Extension = Extension {
    number: 199,
    name: "XMPP Ping",
    version: "2.0.1",
    features: &[Feature::always(NS_PING, EVERYBODY)],
    claims: &[Claim { name: "ping", ns: NS_PING, kinds: &[RequestKind::Get], at: EVERYBODY, handler: ping }],
};

/// XEP-0199 §4.
fn ping(_asked: &Asked<'_>) -> Result<Work, StanzaError> {
    Ok(Work::Done(Body::Empty))
}

const EVERYBODY: &[Entity] = &[Entity::Server, Entity::Service, Entity::Account];
const NS_PING: &str = "urn:xmpp:ping";
