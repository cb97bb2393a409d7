//! The negotiation of a client's stream, from its first header to the last tag, as a state machine.
//!
//! [`Stream`] is given what happened ([`Input`]: a header, an element, the answer to a question) and
//! returns what is to be done ([`Output`]: bytes to write, a question to ask, a stanza to route).
//! Its states are named for what they await.
//!
//! Not here: sockets, TLS, the XML parser, a clock, randomness, passwords, who is online. Stream ids
//! and nonces arrive as arguments; accounts are asked for by outputs. Only `session` may call it.
//!
//! Specifications: RFC 6120 §4 to §7, RFC 5802 and RFC 7677 (SCRAM), RFC 4616 (PLAIN), XEP-0170 (the
//! order of features), XEP-0198 (stream management), XEP-0478 (limits).
//!
//! How a session drives it:
//!
//! - It feeds each event of the parser, in order, and carries out the outputs in order. While
//!   [`Stream::awaits_answer`] it feeds no elements; what the peer sends meanwhile stays unparsed.
//! - It owns the deadlines: [`Input::Timeout`] closes the stream, whatever its state.
//! - It carries out [`Output::StartTls`] only when nothing stands behind `<starttls/>` in what it has
//!   read, and otherwise drops the connection: bytes sent in the clear must never be read as if they
//!   had come under TLS.

mod authentication;
mod bind;
pub mod component;
mod error;
mod features;
mod header;
mod input;
mod negotiation;
mod options;
mod output;
mod sasl;
pub mod sm;
mod stanza;

#[cfg(test)]
mod tests;

pub use bind::BindRefusal;
pub use error::{StreamCondition, StreamError};
pub use header::Header;
pub use input::{Answer, Denial, Input};
pub use negotiation::{STREAM_IDS, Stream};
pub use options::{Channel, Limits, Options};
pub use output::{Output, Password};
pub use sasl::{AUTH_FAILURES_MAX, Mechanism, SaslCondition, ScramHash, ScramOffer};
pub use sm::SmRefusal;

const CLIENT_NS: &str = "jabber:client";
const COMPONENT_NS: &str = "jabber:component:accept";
const STREAMS_NS: &str = "http://etherx.jabber.org/streams";
const TLS_NS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
const SASL_NS: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const BIND_NS: &str = "urn:ietf:params:xml:ns:xmpp-bind";
const SESSION_NS: &str = "urn:ietf:params:xml:ns:xmpp-session";
const STREAM_ERROR_NS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
const STANZA_ERROR_NS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
const SM_NS: &str = "urn:xmpp:sm:3";
const CSI_NS: &str = "urn:xmpp:csi:0";
const LIMITS_NS: &str = "urn:xmpp:stream-limits:0";
const COMPRESS_NS: &str = "http://jabber.org/protocol/compress";
const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";
