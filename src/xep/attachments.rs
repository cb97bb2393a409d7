//! XEP-0470: Pubsub Attachments. Nothing but publishing: what the service does with it is a rule of `pubsub`, how it
//! reads attachments and writes sums is `payload`'s.

use crate::xep::{Entity, Extension, Feature};

pub(super) const EXTENSION: Extension = Extension {
    number: 470,
    name: "Pubsub Attachments",
    version: "0.2.0",
    features: &[Feature::always("urn:xmpp:pubsub-attachments:1", &[Entity::Service, Entity::Account])],
    claims: &[],
};
