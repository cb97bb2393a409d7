//! The negotiation of a client's stream, from its first header to the last tag, as a state machine.
//!
//! [`Stream`] is given what happened ([`Input`]: a header, an element, the answer to a question) and
//! returns what is to be done ([`Output`]: bytes to write, a question to ask, a stanza to route).
//! Its states are named for what they await.
//!
//! Not here: sockets, TLS, the XML parser, a clock, randomness, passwords, who is online. Stream ids
//! and nonces arrive as arguments; accounts are asked for by outputs. Only `session` may call it.
//!
//! Specifications: RFC 6120 §4 to §7, RFC 5802 and RFC 7677 (SCRAM), RFC 9266 and RFC 5929 (channel
//! bindings), XEP-0440 and XEP-0474 (which there are, and that nobody hid one), RFC 4616 (PLAIN), XEP-0178
//! (EXTERNAL), RFC 4505 (ANONYMOUS), XEP-0388 (SASL2), XEP-0386 (Bind 2), XEP-0484 (FAST), XEP-0170 (the
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
mod registration;
mod sasl;
mod sasl2;
mod secured;
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
pub use output::{InlineAsk, Output, Password, TokenProof};
pub use registration::RegisterRefusal;
pub use sasl::{AUTH_FAILURES_MAX, Mechanism, SaslCondition, ScramHash, ScramOffer};
pub use sasl2::{Bind2, Bound, Enable, Fast, FastToken, Inline, Inlined, Resume, Resumed};
pub use secured::{Binding, Secured};
pub use sm::SmRefusal;

const CLIENT_NS: &str = "jabber:client";
const COMPONENT_NS: &str = "jabber:component:accept";
const STREAMS_NS: &str = "http://etherx.jabber.org/streams";
const TLS_NS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
const SASL_NS: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const SASL2_NS: &str = "urn:xmpp:sasl:2";
const CHANNEL_BINDING_NS: &str = "urn:xmpp:sasl-cb:0";
const BIND2_NS: &str = "urn:xmpp:bind:0";
const FAST_NS: &str = "urn:xmpp:fast:0";
const BIND_NS: &str = "urn:ietf:params:xml:ns:xmpp-bind";
const SESSION_NS: &str = "urn:ietf:params:xml:ns:xmpp-session";
const STREAM_ERROR_NS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
const STANZA_ERROR_NS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
const SM_NS: &str = "urn:xmpp:sm:3";
const CSI_NS: &str = "urn:xmpp:csi:0";
const LIMITS_NS: &str = "urn:xmpp:stream-limits:0";
const COMPRESS_NS: &str = "http://jabber.org/protocol/compress";
const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";
