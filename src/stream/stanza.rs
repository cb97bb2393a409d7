//! What may pass once a stream is established: stanzas, from their sender.

use super::CLIENT_NS;
use super::error::{StreamCondition, StreamError};
use crate::jid::{BareJid, FullJid, Jid};
use crate::xml::Element;

/// Whether an element is a stanza of a client's stream (RFC 6120 §8), whatever prefix it wore.
pub(super) fn is_stanza(element: &Element) -> bool {
    element.ns() == CLIENT_NS && matches!(element.name(), "message" | "presence" | "iq")
}

/// Checks the `from` of a stanza, then sets it: RFC 6120 §8.1.2.1 has the server add or override it.
pub(super) fn with_sender(mut stanza: Element, sender: &FullJid) -> Result<Element, StreamError> {
    let own = match stanza.attr("from").map(Jid::parse) {
        None => true,
        Some(Ok(Jid::Bare(bare))) => bare == *sender.bare(),
        Some(Ok(Jid::Full(full))) => full == *sender,
        Some(Err(_)) => false,
    };
    if !own {
        // RFC 6120 §4.9.3.9: not an address that was negotiated.
        return Err(StreamCondition::InvalidFrom.because("a stanza claims to come from somebody else"));
    }
    stanza.set_attr("from", sender.to_string());
    Ok(stanza)
}

/// Whether a stanza is for the server that this stream was opened to, speaking for itself or for the
/// account (RFC 6120 §10.3).
pub(super) fn is_for_server(stanza: &Element, host: Option<&BareJid>, account: &BareJid) -> bool {
    match stanza.attr("to").map(Jid::parse) {
        None => true,
        Some(Ok(Jid::Bare(bare))) => Some(&bare) == host || bare == *account,
        Some(_) => false,
    }
}
