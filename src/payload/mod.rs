//! What an item holds, between the forms that the doors speak.
//!
//! Inside, a payload is one canonical XML element (`pubsub::Payload`): JSON stands in the container
//! of XEP-0335, plain text in a container of our own, Atom and other XML as themselves. [`from_json`]
//! and its sisters take what came by HTTP, [`from_element`] what came by XMPP; [`to_http`] and
//! [`to_json`] give it back in its native form. What goes in one door comes out of every other.
//!
//! Not here: how big a payload may be, which type a node wants, who may see it.

mod body;
mod event;
mod html;
mod kept;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use body::readable;
pub use event::{CloudEvent, EventError, event_from_json, event_from_parts, event_json, events_from_json};
pub use kept::WORDS;
pub use read::{JSON_DEPTH_MAX, PayloadError, from_atom, from_element, from_json, from_text, from_xml};
pub use write::{to_http, to_json, to_xml};

/// The namespace of `<json/>` (XEP-0335).
pub const JSON_NS: &str = "urn:xmpp:json:0";

/// The namespace of `<entry/>` and `<feed/>` (RFC 4287).
pub const ATOM_NS: &str = "http://www.w3.org/2005/Atom";

/// The namespace of `<text/>`, in which plain text travels.
pub const TEXT_NS: &str = "tidings:payload:0";
