//! What becomes of stanzas that a session was sent and never acknowledged (XEP-0198 §4): the way of
//! stanzas for a session that is not there (RFC 6121 §8.5).

use bytes::Bytes;

use super::{Router, iq_error};
use crate::jid::Jid;
use crate::messaging::Sending;
use crate::time::Timestamp;
use crate::xml::{Element, Limits, parse_document};
use crate::xmpp::{Condition, Delay, IqKind, Message, MessageType, Stanza};

impl Router {
    /// Takes a stanza back that was for a session, which is not there any more; `sent` is when it was.
    /// It is sent to other resources, or its sender is told.
    pub fn undelivered(&self, stanza: &[u8], sent: Timestamp) {
        let Some(element) = read(stanza) else { return };
        match Stanza::parse(element) {
            Ok(Stanza::Message(message)) => self.message_undelivered(message, sent),
            Ok(Stanza::Iq(iq)) if matches!(iq.kind, IqKind::Get(_) | IqKind::Set(_)) => {
                if let Some(from) = iq.from.clone() {
                    self.send(&from, iq_error(iq, Condition::ServiceUnavailable));
                }
            }
            // Nobody waits for an answer to these; what a presence said will have changed.
            Ok(Stanza::Iq(_) | Stanza::Presence(_)) | Err(_) => {}
        }
    }

    fn message_undelivered(&self, mut message: Message, sent: Timestamp) {
        let event = message.content.child("event", "http://jabber.org/protocol/pubsub#event").is_some();
        // Whoever watches a node catches up by his position.
        if event || matches!(message.kind, MessageType::Error | MessageType::Headline) {
            return;
        }
        let (Some(from), Some(to)) = (message.from.clone(), message.to.clone()) else { return };
        if matches!(to, Jid::Bare(_)) && self.messaging.is_ready(to.bare()) {
            // The other resources were sent it when it came.
            return;
        }
        if !message.content.children().any(|child| Delay::parse(child).is_some()) {
            let delay = Delay { from: Some(Jid::Bare(to.bare().clone())), stamp: sent, reason: None };
            message.content.push(delay.to_element());
        }
        let router = self.clone();
        let told = move |error: Option<Bytes>| error.into_iter().for_each(|error| router.send(&from, error));
        match self.messaging.message_again(message, to) {
            Sending::Done(error) => told(error),
            Sending::Later(sending) => drop(tokio::spawn(async move { told(sending.await) })),
        }
    }
}

/// A stanza as it stood in a stream.
fn read(stanza: &[u8]) -> Option<Element> {
    let document = [b"<stream xmlns='jabber:client'>", stanza, b"</stream>"].concat();
    let limits = Limits { stanza_bytes: document.len(), depth: 128, elements: 1 << 20, ..Limits::authenticated() };
    parse_document(&document, &limits).ok()?.children().next().cloned()
}
