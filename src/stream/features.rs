//! The features that are offered, and when: TLS, then SASL, then binding (XEP-0170 §1).

use super::negotiation::Stream;
use super::options::{Limits, Options};
use super::output::{Output, write};
use super::registration;
use super::sasl::Mechanism;
use super::secured::Binding;
use super::{
    BIND_NS, BIND2_NS, CHANNEL_BINDING_NS, CLIENT_NS, CSI_NS, FAST_NS, LIMITS_NS, SASL_NS, SASL2_NS, SESSION_NS, SM_NS,
    TLS_NS,
};
use crate::jid::BareJid;
use crate::xml::Element;

/// How far a stream has come, which decides what it is offered.
pub(super) enum Offer<'a> {
    /// Nothing but TLS (RFC 6120 §5.3.1): whoever listens in the clear learns nothing else.
    StartTls,
    Authentication {
        mechanisms: &'a [Mechanism],
        bindings: &'a [Binding],
        /// Absent where SASL2 is not offered.
        sasl2: Option<Inlines<'a>>,
        /// Whoever has no account may make one.
        register: bool,
        limits: Limits,
    },
    Binding(Standing<'a>),
    /// A resource is bound already.
    Bound {
        standing: Standing<'a>,
        /// Whether stream management has begun too.
        managed: bool,
    },
}

/// What is offered to everybody who has authenticated.
pub(super) struct Standing<'a> {
    client_state: bool,
    /// What the host says of itself.
    announced: &'a [Element],
    limits: Limits,
}

impl Standing<'_> {
    /// RFC 6121 §2.6.1, §3.4, XEP-0352 §3, XEP-0115 §6.3, XEP-0390 §5.2, XEP-0478 §3.1.
    fn features(&self) -> impl Iterator<Item = Element> {
        let versions = Element::new("ver", "urn:xmpp:features:rosterver");
        let approvals = Element::new("sub", "urn:xmpp:features:pre-approval");
        let state = self.client_state.then(|| Element::new("csi", CSI_NS));
        [versions, approvals].into_iter().chain(state).chain(self.announced.iter().cloned()).chain(limits(self.limits))
    }
}

/// What may be asked for with SASL2 (XEP-0388 §2.1).
pub(super) struct Inlines<'a> {
    pub tokens: &'a [Mechanism],
    pub client_state: bool,
    pub bind_features: &'a [&'static str],
}

impl Stream {
    /// The mechanisms that are offered on this channel, at the domain that it was opened to.
    pub(super) fn offered(&self) -> Vec<Mechanism> {
        if self.host.is_some() && self.host == self.options.anonymous {
            return vec![Mechanism::Anonymous];
        }
        let usable = |mechanism: &Mechanism| match (mechanism, &self.secured) {
            (Mechanism::Token(_) | Mechanism::Anonymous, _) => false,
            (Mechanism::ScramPlus(_), Some(secured)) => !secured.bindings().is_empty(),
            (Mechanism::External, Some(secured)) => {
                let here = |jid: &BareJid| self.host.as_ref().is_some_and(|host| host.domain() == jid.domain());
                secured.certified.iter().any(here)
            }
            (_, Some(_)) => true,
            (mechanism, None) => mechanism.is_safe_in_the_clear(),
        };
        self.options.mechanisms.iter().copied().filter(usable).collect()
    }

    /// The types of channel binding that are announced: with a mechanism that uses them, or not at all
    /// (XEP-0440 §3).
    pub(super) fn bindings(&self, offered: &[Mechanism]) -> Vec<Binding> {
        match &self.secured {
            Some(secured) if offered.iter().any(|one| matches!(one, Mechanism::ScramPlus(_))) => secured.bindings(),
            _ => Vec::new(),
        }
    }

    /// The mechanisms for tokens that are offered on this channel (XEP-0484 §3.1).
    pub(super) fn offered_tokens(&self) -> Vec<Mechanism> {
        let nobody_stays = self.host == self.options.anonymous;
        let Some(secured) = self.secured.as_ref().filter(|_| self.options.fast && !nobody_stays) else {
            return Vec::new();
        };
        let usable = |mechanism: &Mechanism| match mechanism {
            Mechanism::Token(Some(binding)) => secured.binding(*binding).is_some(),
            _ => true,
        };
        Mechanism::TOKENS.into_iter().filter(usable).collect()
    }

    /// What is offered to a peer that has not authenticated.
    pub(super) fn offer_authentication(&self, out: &mut Vec<Output>) {
        let (mechanisms, tokens) = (self.offered(), self.offered_tokens());
        let Options { client_state, bind_features, .. } = &*self.options;
        let inlines = Inlines { tokens: &tokens, client_state: *client_state, bind_features };
        let offer = Offer::Authentication {
            mechanisms: &mechanisms,
            bindings: &self.bindings(&mechanisms),
            // XEP-0388 §3: after TLS, and with a mechanism at least.
            sasl2: (self.secured.is_some() && !mechanisms.is_empty()).then_some(inlines),
            register: self.offers_registration(),
            limits: self.options.limits_unauthenticated,
        };
        write(out, &render(&offer));
    }

    pub(super) fn standing_offer(&self) -> Standing<'_> {
        let announced = self.options.announced.iter().find(|(host, _)| Some(host) == self.host.as_ref());
        Standing {
            client_state: self.options.client_state,
            announced: announced.map_or(&[], |(_, elements)| elements),
            limits: self.options.limits,
        }
    }
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
        Offer::Authentication { mechanisms, bindings, sasl2, register, limits: advertised } => {
            let offered = Element::new("mechanisms", SASL_NS).with_children(names(mechanisms, SASL_NS));
            let sasl2 = sasl2.as_ref().map(|inlines| authentication(mechanisms, inlines));
            let register = register.then(registration::feature);
            let parts = [channel_bindings(bindings), sasl2, Some(offered), register, limits(*advertised)];
            parts.into_iter().flatten().collect()
        }
        Offer::Bound { standing, managed } => {
            let sm = (!managed).then(|| Element::new("sm", SM_NS));
            sm.into_iter().chain(standing.features()).collect()
        }
        Offer::Binding(standing) => {
            // RFC 3921 §3 is history, but old libraries wait for the session feature; `optional` tells
            // the others that they may leave it.
            let session = Element::new("session", SESSION_NS).with_child(Element::new("optional", SESSION_NS));
            let managed = Element::new("sm", SM_NS);
            let offered = [Element::new("bind", BIND_NS), session, managed];
            offered.into_iter().chain(standing.features()).collect()
        }
    }
}

fn names(mechanisms: &[Mechanism], ns: &'static str) -> impl Iterator<Item = Element> {
    mechanisms.iter().map(move |mechanism| Element::new("mechanism", ns).with_text(mechanism.name()))
}

/// XEP-0440 §2.
fn channel_bindings(bindings: &[Binding]) -> Option<Element> {
    let types = bindings
        .iter()
        .map(|binding| Element::new("channel-binding", CHANNEL_BINDING_NS).with_attr("type", binding.name()));
    let element = Element::new("sasl-channel-binding", CHANNEL_BINDING_NS).with_children(types);
    (!bindings.is_empty()).then_some(element)
}

/// XEP-0388 §2.1, XEP-0386 §3.1, XEP-0198 §9, XEP-0484 §3.1. Nothing is taken from TLS 1.3's early data, so
/// `tls-0rtt` is not said.
fn authentication(mechanisms: &[Mechanism], inlines: &Inlines<'_>) -> Element {
    let state = inlines.client_state.then_some(CSI_NS);
    let features = [SM_NS].into_iter().chain(state).chain(inlines.bind_features.iter().copied());
    let features = features.map(|name| Element::new("feature", BIND2_NS).with_attr("var", name));
    let bind = Element::new("bind", BIND2_NS).with_child(Element::new("inline", BIND2_NS).with_children(features));
    let mut inline = Element::new("inline", SASL2_NS).with_child(bind).with_child(Element::new("sm", SM_NS));
    if !inlines.tokens.is_empty() {
        inline.push(Element::new("fast", FAST_NS).with_children(names(inlines.tokens, FAST_NS)));
    }
    Element::new("authentication", SASL2_NS).with_children(names(mechanisms, SASL2_NS)).with_child(inline)
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
