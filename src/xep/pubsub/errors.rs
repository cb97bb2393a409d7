//! What a refusal is called (XEP-0060 §11 and the error cases of each section). The one place where
//! that is decided for XMPP; every refusal has its line, so that a new one does not compile without.

use crate::engine::Wrong;
use crate::pubsub::{NodeId, Refusal, Unchanged, Verb};
use crate::store::Failure;
use crate::xep::pubsub::{NS_ERRORS, NS_OWNER};
use crate::xep::{Trouble, bad_request};
use crate::xml::Element;
use crate::xmpp::{Condition, ErrorType, StanzaError};

/// What of a request its error depends on.
pub(in crate::xep) struct Context {
    subscribing: bool,
    /// Options are asked for or set.
    options: bool,
    /// The node whose entries an error returns.
    node: Option<NodeId>,
}

impl Context {
    pub(in crate::xep) fn of(verb: &Verb) -> Self {
        let node = match verb {
            Verb::SetSubscriptions { node, .. } | Verb::SetAffiliations { node, .. } => Some(node.clone()),
            _ => None,
        };
        let options = matches!(verb, Verb::Options { .. } | Verb::SetOptions { .. });
        Context { subscribing: matches!(verb, Verb::Subscribe { .. }), options, node }
    }

    pub(in crate::xep) fn refused(&self, refusal: &Refusal) -> Trouble {
        let beside = match refusal {
            Refusal::LastOwner { unchanged } | Refusal::InvalidChange { unchanged, .. } => {
                self.node.as_ref().map(|node| entries(node, unchanged))
            }
            _ => None,
        };
        let error = match refusal {
            // Only who subscribes is told where a node has moved (XEP-0060 §6.1.3.11); to all others
            // it does not exist (§6.2.3.4, §6.5.9.11, §7.1.3.3, §8.2.3.5 ...).
            Refusal::NodeGone { .. } if !self.subscribing => stanza_error(&Refusal::NodeAbsent),
            // XEP-0060 §6.3.4.2 gives it another type than §6.2.3.2.
            Refusal::NotSubscribed if self.options => stanza_error(refusal).with_type(ErrorType::Modify),
            refusal => stanza_error(refusal),
        };
        Trouble { error, beside }
    }

    /// The error of whatever kept a request from being done.
    pub(in crate::xep) fn wrong(&self, wrong: &Wrong) -> Trouble {
        match wrong {
            Wrong::Refused(refusal) => self.refused(refusal),
            Wrong::Failed(failure) => failed(failure).into(),
            Wrong::Overloaded => overloaded().into(),
        }
    }
}

/// The error of a refusal.
pub(in crate::xep) fn stanza_error(refusal: &Refusal) -> StanzaError {
    use Condition::{
        Conflict, Forbidden, ItemNotFound, NotAcceptable, NotAllowed, NotAuthorized, PolicyViolation,
        RegistrationRequired, UnexpectedRequest,
    };
    let plain = StanzaError::new;
    match refusal {
        Refusal::NodeAbsent | Refusal::NodeGone { redirect: None } => plain(ItemNotFound),
        // XEP-0060 §6.1.3.11 gives it this type, against RFC 6120 §8.3.3.5.
        Refusal::NodeGone { redirect: Some(uri) } => {
            plain(Condition::Gone(Some(uri.to_string()))).with_type(ErrorType::Modify)
        }
        Refusal::NodeExists => plain(Conflict),
        Refusal::NodeRequired => node_required(),
        Refusal::Forbidden | Refusal::Outcast | Refusal::MayNotCreate => plain(Forbidden),
        Refusal::NotOnWhitelist => with_condition(plain(NotAllowed), "closed-node"),
        Refusal::PresenceRequired => with_condition(plain(NotAuthorized), "presence-subscription-required"),
        Refusal::NotInRosterGroup => with_condition(plain(NotAuthorized), "not-in-roster-group"),
        Refusal::SubscriptionRequired => with_condition(plain(NotAuthorized), "not-subscribed"),
        Refusal::SubscriptionPending => with_condition(plain(NotAuthorized), "pending-subscription"),
        Refusal::NotPending => plain(ItemNotFound).with_text("nobody waits for that answer"),
        Refusal::NodeFull => with_condition(plain(Conflict), "node-full"),
        Refusal::RegistrationRequired => plain(RegistrationRequired),
        Refusal::ItemAbsent => plain(ItemNotFound),
        Refusal::ItemRequired => with_condition(bad_request("an item is needed"), "item-required"),
        Refusal::ItemForbidden => with_condition(bad_request("the node takes no items"), "item-forbidden"),
        Refusal::PayloadRequired => with_condition(bad_request("a payload is needed"), "payload-required"),
        Refusal::InvalidPayload { why } => invalid_payload(*why),
        Refusal::PayloadTooBig { bytes, bytes_max } => {
            let text = format!("the payload has {bytes} bytes; at most {bytes_max} are accepted");
            with_condition(plain(NotAcceptable).with_text(text), "payload-too-big")
        }
        Refusal::TooManyItems { items, items_max } => {
            let text = format!("the request bears {items} items; at most {items_max} are accepted");
            with_condition(plain(NotAllowed).with_text(text), "max-items-exceeded")
        }
        Refusal::DuplicateItem { item } => bad_request(format!("the item {item} is given twice")),
        Refusal::PreconditionFailed => with_condition(plain(Conflict), "precondition-not-met"),
        Refusal::OptionsMismatch { field } => {
            let text = format!("the node is configured otherwise: {field}");
            with_condition(plain(Conflict).with_text(text), "precondition-not-met")
        }
        Refusal::InvalidConfig { field, why } => {
            let error = plain(NotAcceptable).with_text(format!("{field}: {why}"));
            // XEP-0060 §8.1.2.
            if &**field == "access_model" { with_condition(error, "unsupported-access-model") } else { error }
        }
        Refusal::InvalidJid => invalid_jid(),
        Refusal::SubscriptionsClosed => unsupported("subscribe"),
        // XEP-0060 §6.2.3.2 gives it this type, against RFC 6120 §8.3.3.22.
        Refusal::NotSubscribed => {
            with_condition(plain(UnexpectedRequest).with_type(ErrorType::Cancel), "not-subscribed")
        }
        Refusal::InvalidSubId => with_condition(plain(NotAcceptable), "invalid-subid"),
        Refusal::SubIdRequired => {
            with_condition(bad_request("there are several subscriptions: name one"), "subid-required")
        }
        Refusal::InvalidOptions { field, why } => {
            with_condition(bad_request(format!("{field}: {why}")), "invalid-options")
        }
        Refusal::TooManySubscriptions => {
            with_condition(plain(PolicyViolation).with_type(ErrorType::Wait), "too-many-subscriptions")
        }
        Refusal::LastOwner { .. } => plain(NotAcceptable).with_text("a node keeps at least one owner"),
        Refusal::InvalidChange { why, .. } => plain(NotAcceptable).with_text(*why),
        Refusal::DuplicateChange { jid } => bad_request(format!("{jid} is given twice")),
        Refusal::NotPersistent => unsupported("persistent-items"),
        Refusal::NotOfCollections { feature } => unsupported(feature),
        Refusal::CollectionsUnsupported => unsupported("collections"),
        Refusal::InvalidGraph { why } => with_condition(plain(NotAllowed).with_text(*why), "invalid-options"),
        Refusal::TooManyChildren { children_max } => {
            let text = format!("the collection holds at most {children_max} nodes");
            with_condition(plain(NotAllowed).with_text(text), "max-nodes-exceeded")
        }
        Refusal::NotAssociated => bad_request("the node does not stand in the collection"),
        Refusal::KeptByService => plain(NotAllowed).with_text("the service keeps this node itself"),
        Refusal::InvalidAttachments { why } => bad_request(*why),
        // XEP-0059 §2.4.
        Refusal::PageAbsent => plain(ItemNotFound),
    }
}

/// The storage's fault: nobody else can do anything about it but wait. A write whose outcome is not
/// known is never called undone.
/// Whatever the engine says when it does not do what it was asked.
pub(in crate::xep) fn wrong(wrong: &crate::engine::Wrong) -> StanzaError {
    match wrong {
        crate::engine::Wrong::Refused(refusal) => stanza_error(refusal),
        crate::engine::Wrong::Failed(failure) => failed(failure),
        crate::engine::Wrong::Overloaded => overloaded(),
    }
}

pub(in crate::xep) fn failed(failure: &Failure) -> StanzaError {
    let internal = StanzaError::new(Condition::InternalServerError).with_type(ErrorType::Wait);
    match failure {
        Failure::Full | Failure::Stale => {
            StanzaError::new(Condition::ResourceConstraint).with_text("nothing was stored; try again later")
        }
        Failure::Refused(_) => internal.with_text("nothing was stored"),
        Failure::Unknown(_) => internal.with_text("whether the change was stored is not known"),
        Failure::Read(_) => internal,
        // XEP-0059 §2.4.
        Failure::NoSuchEdge => StanzaError::new(Condition::ItemNotFound),
        Failure::Closed => internal.with_text("the server is stopping; nothing was stored"),
    }
}

pub(in crate::xep) fn overloaded() -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_text("too many requests are waiting; nothing was done")
}

/// A feature that is not there (XEP-0060 §11).
pub(in crate::xep) fn unsupported(feature: &str) -> StanzaError {
    let condition = Element::new("unsupported", NS_ERRORS).with_attr("feature", feature);
    StanzaError::new(Condition::FeatureNotImplemented).with_application(condition)
}

/// XEP-0060 §7.2.3.3, §8.2.3.3.
pub(in crate::xep) fn node_required() -> StanzaError {
    with_condition(bad_request("the request names no node"), "nodeid-required")
}

/// XEP-0060 §6.1.3.1.
pub(super) fn invalid_jid() -> StanzaError {
    with_condition(bad_request("the address is none, or not the sender's"), "invalid-jid")
}

/// XEP-0060 §7.1.3.6.
pub(in crate::xep) fn invalid_payload(why: impl Into<String>) -> StanzaError {
    with_condition(bad_request(why), "invalid-payload")
}

/// The same with a condition of this specification.
pub(super) fn with_condition(error: StanzaError, name: &'static str) -> StanzaError {
    error.with_application(Element::new(name, NS_ERRORS))
}

/// The entries of a refused request as they still are (XEP-0060 §8.8.2.4, §8.9.2.4).
fn entries(node: &NodeId, unchanged: &Unchanged) -> Element {
    let (list, entries): (&str, Vec<Element>) = match unchanged {
        Unchanged::Affiliations(entries) => {
            let entry = |(jid, affiliation): &(crate::jid::BareJid, crate::pubsub::Affiliation)| {
                Element::new("affiliation", NS_OWNER)
                    .with_attr("jid", jid.as_str())
                    .with_attr("affiliation", affiliation.as_str())
            };
            ("affiliations", entries.iter().map(entry).collect())
        }
        Unchanged::Subscriptions(entries) => {
            let entry = |(jid, state): &(crate::jid::Jid, crate::pubsub::SubscriptionState)| {
                Element::new("subscription", NS_OWNER)
                    .with_attr("jid", jid.to_string())
                    .with_attr("subscription", state.as_str())
            };
            ("subscriptions", entries.iter().map(entry).collect())
        }
    };
    let list = Element::new(list, NS_OWNER).with_attr("node", node.as_str()).with_children(entries);
    Element::new("pubsub", NS_OWNER).with_child(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jid::BareJid;
    use crate::pubsub::{Affiliation, ItemId, SubscriptionState};
    use std::sync::Arc;

    /// condition, type, condition of XEP-0060 (with the feature, where it is `unsupported`).
    fn words(error: &StanzaError) -> (&'static str, &'static str, String) {
        let application = error.application.iter().map(|condition| {
            assert_eq!(condition.ns(), NS_ERRORS);
            match condition.attr("feature") {
                Some(feature) => format!("{} {feature}", condition.name()),
                None => condition.name().to_owned(),
            }
        });
        (error.condition.name(), error.kind.as_str(), application.collect::<Vec<String>>().join(" "))
    }

    // rows: 116, 118, 119, 120, 125, 213, 216, 217, 251, 495, 126, 127, 129, 130, 131, 156, 158, 159, 162, 214, 218, 220, 221, 248, 250, 252,
    // 253, 256, 257, 258, 267, 279, 280, 282, 283, 288, 289, 290, 302, 316, 319, 324, 345, 347, 354,
    // 355, 356, 387, 388, 394, 395, 397, 409, 410, 416, 417, 419, 425, 490, 491, 492, 493, 528
    #[test]
    fn every_refusal_has_the_error_of_its_section() {
        let text = |text: &str| -> Arc<str> { Arc::from(text) };
        let jid = BareJid::parse("a@b.example").unwrap();
        let unchanged = || Unchanged::Affiliations(vec![(jid.clone(), Affiliation::Owner)]);
        let item = ItemId::parse("i").unwrap();
        let cases: Vec<(Refusal, &str, &str, &str)> = vec![
            (Refusal::NodeAbsent, "item-not-found", "cancel", ""),
            (Refusal::NodeGone { redirect: None }, "item-not-found", "cancel", ""),
            (Refusal::NodeGone { redirect: Some(text("xmpp:x")) }, "gone", "modify", ""),
            (Refusal::NodeExists, "conflict", "cancel", ""),
            (Refusal::NodeRequired, "bad-request", "modify", "nodeid-required"),
            (Refusal::Forbidden, "forbidden", "auth", ""),
            (Refusal::Outcast, "forbidden", "auth", ""),
            (Refusal::NotOnWhitelist, "not-allowed", "cancel", "closed-node"),
            (Refusal::MayNotCreate, "forbidden", "auth", ""),
            (Refusal::PresenceRequired, "not-authorized", "auth", "presence-subscription-required"),
            (Refusal::NotInRosterGroup, "not-authorized", "auth", "not-in-roster-group"),
            (Refusal::SubscriptionRequired, "not-authorized", "auth", "not-subscribed"),
            (Refusal::SubscriptionPending, "not-authorized", "auth", "pending-subscription"),
            (Refusal::NotPending, "item-not-found", "cancel", ""),
            (Refusal::NodeFull, "conflict", "cancel", "node-full"),
            (Refusal::RegistrationRequired, "registration-required", "auth", ""),
            (Refusal::ItemAbsent, "item-not-found", "cancel", ""),
            (Refusal::ItemRequired, "bad-request", "modify", "item-required"),
            (Refusal::ItemForbidden, "bad-request", "modify", "item-forbidden"),
            (Refusal::PayloadRequired, "bad-request", "modify", "payload-required"),
            (Refusal::InvalidPayload { why: "two" }, "bad-request", "modify", "invalid-payload"),
            (Refusal::PayloadTooBig { bytes: 2, bytes_max: 1 }, "not-acceptable", "modify", "payload-too-big"),
            (Refusal::TooManyItems { items: 2, items_max: 1 }, "not-allowed", "cancel", "max-items-exceeded"),
            (Refusal::DuplicateItem { item }, "bad-request", "modify", ""),
            (Refusal::PreconditionFailed, "conflict", "cancel", "precondition-not-met"),
            (Refusal::OptionsMismatch { field: text("title") }, "conflict", "cancel", "precondition-not-met"),
            (Refusal::InvalidConfig { field: text("x"), why: text("y") }, "not-acceptable", "modify", ""),
            (
                Refusal::InvalidConfig { field: text("access_model"), why: text("y") },
                "not-acceptable",
                "modify",
                "unsupported-access-model",
            ),
            (Refusal::InvalidJid, "bad-request", "modify", "invalid-jid"),
            (Refusal::SubscriptionsClosed, "feature-not-implemented", "cancel", "unsupported subscribe"),
            (Refusal::NotSubscribed, "unexpected-request", "cancel", "not-subscribed"),
            (Refusal::InvalidSubId, "not-acceptable", "modify", "invalid-subid"),
            (Refusal::SubIdRequired, "bad-request", "modify", "subid-required"),
            (Refusal::InvalidOptions { field: text("x"), why: text("y") }, "bad-request", "modify", "invalid-options"),
            (Refusal::TooManySubscriptions, "policy-violation", "wait", "too-many-subscriptions"),
            (Refusal::LastOwner { unchanged: unchanged() }, "not-acceptable", "modify", ""),
            (Refusal::InvalidChange { why: "no", unchanged: unchanged() }, "not-acceptable", "modify", ""),
            (Refusal::DuplicateChange { jid: jid.clone().into() }, "bad-request", "modify", ""),
            (Refusal::NotPersistent, "feature-not-implemented", "cancel", "unsupported persistent-items"),
            (
                Refusal::NotOfCollections { feature: "publish" },
                "feature-not-implemented",
                "cancel",
                "unsupported publish",
            ),
            (Refusal::CollectionsUnsupported, "feature-not-implemented", "cancel", "unsupported collections"),
            (Refusal::InvalidGraph { why: "so" }, "not-allowed", "cancel", "invalid-options"),
            (Refusal::TooManyChildren { children_max: 1 }, "not-allowed", "cancel", "max-nodes-exceeded"),
            (Refusal::NotAssociated, "bad-request", "modify", ""),
            (Refusal::KeptByService, "not-allowed", "cancel", ""),
            (Refusal::InvalidAttachments { why: "x" }, "bad-request", "modify", ""),
            (Refusal::PageAbsent, "item-not-found", "cancel", ""),
        ];
        for (refusal, condition, kind, application) in cases {
            let error = stanza_error(&refusal);
            assert_eq!(words(&error), (condition, kind, application.to_owned()), "{refusal:?}");
        }
    }

    #[test]
    fn what_the_storage_did_is_never_the_sender_s_fault() {
        let text = || "secret path".to_owned();
        for (failure, condition, kind) in [
            (Failure::Full, "resource-constraint", "wait"),
            (Failure::Stale, "resource-constraint", "wait"),
            (Failure::Refused(text()), "internal-server-error", "wait"),
            (Failure::Unknown(text()), "internal-server-error", "wait"),
            (Failure::Read(text()), "internal-server-error", "wait"),
            (Failure::Closed, "internal-server-error", "wait"),
            (Failure::NoSuchEdge, "item-not-found", "cancel"),
        ] {
            let error = failed(&failure);
            assert_eq!(words(&error), (condition, kind, String::new()), "{failure:?}");
            assert!(!error.text.unwrap_or_default().contains("secret"));
        }
        assert_eq!(words(&overloaded()), ("resource-constraint", "wait", String::new()));
    }

    // rows: 156, 173
    #[test]
    fn who_is_not_subscribed_is_told_so_in_two_types() {
        let (node, jid) = (NodeId::parse("n").unwrap(), crate::jid::Jid::parse("a@b").unwrap());
        let options = Verb::Options { node: node.clone(), jid: jid.clone(), subid: None };
        let unsubscribe = Verb::Unsubscribe { node, jid, subid: None };
        for (verb, kind) in [(options, ErrorType::Modify), (unsubscribe, ErrorType::Cancel)] {
            assert_eq!(Context::of(&verb).refused(&Refusal::NotSubscribed).error.kind, kind);
        }
    }

    // rows: 130
    #[test]
    fn only_who_subscribes_is_told_where_a_node_has_moved() {
        let node = NodeId::parse("n").unwrap();
        let gone = Refusal::NodeGone { redirect: Some(Arc::from("xmpp:p.example?;node=m")) };
        let jid = BareJid::parse("a@b").unwrap().into();
        let subscribe = Verb::Subscribe { node: node.clone(), jid, options: None, public: crate::pubsub::Public::No };
        let uri = Condition::Gone(Some("xmpp:p.example?;node=m".to_owned()));
        assert_eq!(Context::of(&subscribe).refused(&gone).error.condition, uri);
        let purge = Verb::Purge { node };
        assert_eq!(Context::of(&purge).refused(&gone).error.condition, Condition::ItemNotFound);
    }

    // rows: 397, 398, 419, 422
    #[test]
    fn a_refused_change_returns_the_entries_as_they_are() {
        let node = NodeId::parse("n").unwrap();
        let jid = BareJid::parse("a@b").unwrap();
        let context = Context::of(&Verb::SetAffiliations { node: node.clone(), changes: Vec::new() });
        let unchanged = Unchanged::Affiliations(vec![(jid.clone(), Affiliation::Owner)]);
        let beside = context.refused(&Refusal::LastOwner { unchanged }).beside.unwrap();
        let expected = "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><affiliations node='n'>\
                        <affiliation jid='a@b' affiliation='owner'/></affiliations></pubsub>";
        assert_eq!(beside.to_string(), expected);

        let context = Context::of(&Verb::SetSubscriptions { node, changes: Vec::new() });
        let unchanged = Unchanged::Subscriptions(vec![(jid.into(), SubscriptionState::Subscribed)]);
        let beside = context.refused(&Refusal::InvalidChange { why: "no", unchanged }).beside.unwrap();
        let expected = "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><subscriptions node='n'>\
                        <subscription jid='a@b' subscription='subscribed'/></subscriptions></pubsub>";
        assert_eq!(beside.to_string(), expected);
    }
}
