//! XEP-0465: Pubsub Public Subscriptions, as a service has them: `<subscribe/>` says so, and the rules of `pubsub` keep
//! the node for it. What an account does for itself (XEP-0376) is not here, and accounts do not say that it is.

use crate::xep::{Entity, Extension, Feature};

pub(super) const EXTENSION: Extension = Extension {
    number: 465,
    name: "Pubsub Public Subscriptions",
    version: "0.1.1",
    features: &[Feature::always(NS_PUBLIC, &[Entity::Service])],
    claims: &[],
};

pub(super) const NS_PUBLIC: &str = "urn:xmpp:pps:0";
