//! What this server can, told by hashes of it (XEP-0115 §6.3, XEP-0390 §5.2): whoever knows them need not
//! ask. They stand among the features of streams.

use crate::jid::BareJid;
use crate::messaging::capabilities_hash;
use crate::xep::{Entity, Extension, Feature, Target, Xep, disco};
use crate::xml::Element;
use crate::xmpp::caps::MarkForm;

pub(super) const EXTENSION: Extension = Extension {
    number: 115,
    name: "Entity Capabilities",
    version: "1.6.0",
    features: &[Feature::always(NS_CAPS, &[Entity::Server])],
    claims: &[],
};

pub(super) const NEWER: Extension = Extension {
    number: 390,
    name: "Entity Capabilities 2.0",
    version: "0.3.2",
    features: &[Feature::always(NS_CAPS_2, &[Entity::Server])],
    claims: &[],
};

impl Xep {
    /// The stream features that tell what a host of this server can.
    pub fn announced(&self, host: &BareJid) -> Vec<Element> {
        let shared = &self.shared;
        let Some(host) = shared.hosts.iter().find(|known| known.domain == *host) else { return Vec::new() };
        let policy = shared.engine.policy(Target::Server(host.clone()).service());
        let info = disco::server_info(&policy, &shared.messaging, &shared.options);
        let older = capabilities_hash(MarkForm::Slashes, OLDER_ALGORITHM, &info).map(|ver| {
            Element::new("c", NS_CAPS)
                .with_attr("hash", OLDER_ALGORITHM)
                .with_attr("node", SOFTWARE)
                .with_attr("ver", ver)
        });
        let newer = capabilities_hash(MarkForm::Separators, NEWER_ALGORITHM, &info).map(|hash| {
            let hash = Element::new("hash", NS_HASHES).with_attr("algo", NEWER_ALGORITHM).with_text(hash);
            Element::new("c", NS_CAPS_2).with_child(hash)
        });
        older.into_iter().chain(newer).collect()
    }
}

/// Whether a node is one of those that the hashes of this answer name (XEP-0115 §6.2, XEP-0390 §4.2).
pub(super) fn names(node: &str, info: &Element) -> bool {
    let named = |form, algorithm, before: &str| {
        let hash = node.strip_prefix(before);
        hash.is_some_and(|hash| capabilities_hash(form, algorithm, info).as_deref() == Some(hash))
    };
    named(MarkForm::Slashes, OLDER_ALGORITHM, &format!("{SOFTWARE}#"))
        || named(MarkForm::Separators, NEWER_ALGORITHM, &format!("{NS_CAPS_2}#{NEWER_ALGORITHM}."))
}

/// What everybody understands, and XEP-0115 §5.1 prescribes.
const OLDER_ALGORITHM: &str = "sha-1";
/// XEP-0390 §4.4 by way of XEP-0300.
const NEWER_ALGORITHM: &str = "sha-256";
/// The URI of the software (XEP-0115 §4).
const SOFTWARE: &str = "urn:tidings:server";
const NS_CAPS: &str = "http://jabber.org/protocol/caps";
const NS_CAPS_2: &str = "urn:xmpp:caps";
const NS_HASHES: &str = "urn:xmpp:hashes:2";
