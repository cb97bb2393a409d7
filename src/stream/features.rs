//! The features that are offered, and when: TLS, then SASL, then binding (XEP-0170 §1).

use super::options::Limits;
use super::sasl::Mechanism;
use super::{BIND_NS, CLIENT_NS, CSI_NS, LIMITS_NS, SASL_NS, SESSION_NS, SM_NS, TLS_NS};
use crate::xml::Element;

/// How far a stream has come, which decides what it is offered.
pub(super) enum Offer<'a> {
    /// Nothing but TLS (RFC 6120 §5.3.1): whoever listens in the clear learns nothing else.
    StartTls,
    Authentication {
        mechanisms: &'a [Mechanism],
        limits: Limits,
    },
    Binding {
        limits: Limits,
    },
}

/// `<stream:features>` (RFC 6120 §4.3.2).
pub(super) fn render(offer: &Offer<'_>) -> Vec<u8> {
    let mut bytes = b"<stream:features>".to_vec();
    for feature in features(offer) {
        feature.write(&mut bytes, CLIENT_NS);
    }
    bytes.extend_from_slice(b"</stream:features>");
    bytes
}

fn features(offer: &Offer<'_>) -> Vec<Element> {
    match offer {
        Offer::StartTls => {
            vec![Element::new("starttls", TLS_NS).with_child(Element::new("required", TLS_NS))]
        }
        Offer::Authentication { mechanisms, limits: advertised } => {
            let names = mechanisms.iter().map(|m| Element::new("mechanism", SASL_NS).with_text(m.name()));
            let offered = Element::new("mechanisms", SASL_NS).with_children(names);
            [offered].into_iter().chain(limits(*advertised)).collect()
        }
        Offer::Binding { limits: advertised } => {
            // RFC 3921 §3 is history, but old libraries wait for the session feature; `optional` tells
            // the others that they may leave it.
            let session = Element::new("session", SESSION_NS).with_child(Element::new("optional", SESSION_NS));
            let managed = Element::new("sm", SM_NS);
            // RFC 6121 §2.6.1, §3.4.
            let versions = Element::new("ver", "urn:xmpp:features:rosterver");
            let approvals = Element::new("sub", "urn:xmpp:features:pre-approval");
            // XEP-0352 §3.
            let state = Element::new("csi", CSI_NS);
            let offered = [Element::new("bind", BIND_NS), session, managed, state, versions, approvals];
            offered.into_iter().chain(limits(*advertised)).collect()
        }
    }
}

/// XEP-0478 §3.1.
fn limits(limits: Limits) -> Option<Element> {
    let number = |name: &'static str, value: Option<u64>| {
        value.map(|value| Element::new(name, LIMITS_NS).with_text(value.to_string()))
    };
    let children = [number("max-bytes", limits.max_bytes), number("idle-seconds", limits.idle_seconds)];
    let element = Element::new("limits", LIMITS_NS).with_children(children.into_iter().flatten());
    (!element.nodes().is_empty()).then_some(element)
}
