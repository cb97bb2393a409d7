//! XEP-0050 §4.4, Table 5.

use crate::xep::bad_request;
use crate::xep::commands::NS_COMMANDS;
use crate::xep::pubsub::errors::unsupported;
use crate::xml::Element;
use crate::xmpp::{Condition, ErrorType, StanzaError};

pub(super) fn malformed_action() -> StanzaError {
    specific(bad_request("there is no such action"), "malformed-action")
}

pub(super) fn bad_action() -> StanzaError {
    specific(bad_request("the action is not allowed at this stage"), "bad-action")
}

pub(super) fn bad_locale() -> StanzaError {
    specific(bad_request("commands speak English only"), "bad-locale")
}

pub(super) fn bad_payload(why: impl Into<String>) -> StanzaError {
    specific(bad_request(why), "bad-payload")
}

pub(super) fn bad_session_id() -> StanzaError {
    specific(bad_request("the session is not one of this requester and command"), "bad-sessionid")
}

pub(super) fn session_expired() -> StanzaError {
    specific(StanzaError::new(Condition::NotAllowed).with_text("the session is over"), "session-expired")
}

/// The table gives it this type, against RFC 6120 §8.3.3.4.
pub(super) fn forbidden() -> StanzaError {
    StanzaError::new(Condition::Forbidden).with_type(ErrorType::Cancel)
}

pub(super) fn no_such_command(node: &str) -> StanzaError {
    match node {
        // XEP-0060 §8.7.3.2.
        "http://jabber.org/protocol/pubsub#get-pending" => unsupported("get-pending"),
        // XEP-0133 §5: a command of that specification that is not offered.
        node if node.starts_with("http://jabber.org/protocol/admin#") => {
            StanzaError::new(Condition::FeatureNotImplemented)
        }
        _ => StanzaError::new(Condition::ItemNotFound),
    }
}

/// No table of it: the server has no room for another session.
pub(super) fn too_many_sessions() -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_text("too many commands are being filled in")
}

pub(super) fn answers_too_long() -> StanzaError {
    bad_payload("the answers are longer than a session may keep")
}

/// The engine answered another question: a fault of our own.
pub(super) fn internal() -> StanzaError {
    StanzaError::new(Condition::InternalServerError)
}

fn specific(error: StanzaError, condition: &str) -> StanzaError {
    error.with_application(Element::new(condition, NS_COMMANDS))
}
