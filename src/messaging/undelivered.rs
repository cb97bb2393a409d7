//! What becomes of a stanza that sessions were given and none acknowledged (XEP-0198 §4): the way of
//! stanzas for a session that is not there (RFC 6121 §8.5).

use bytes::Bytes;

use super::errand::{Errand, Parcel};
use super::requests::refuse;
use super::{Messaging, Sending};
use crate::jid::Jid;
use crate::time::Timestamp;
use crate::xml::{Element, Limits, parse_document};
use crate::xmpp::{Condition, Delay, Message, Stanza, StanzaError};

impl Messaging {
    /// A session gives up what it was to bring to its client. Where nobody else has it, it is sent to
    /// others, or kept, or its sender is told.
    pub(super) fn give_up(&self, parcel: Parcel) {
        let Some(Errand { stanza, at, .. }) = parcel.give_up() else { return };
        let Some(element) = read(&stanza) else { return };
        match Stanza::parse(element) {
            Ok(Stanza::Message(message)) => self.message_undelivered(message, at),
            Ok(Stanza::Iq(iq)) => {
                if let Some(from) = iq.from.clone()
                    && let Some(error) = refuse(iq, StanzaError::new(Condition::ServiceUnavailable))
                {
                    self.tell(&from, &error);
                }
            }
            // Nobody waits for an answer to presence, and what it said will have changed.
            Ok(Stanza::Presence(_)) | Err(_) => {}
        }
    }

    /// A stanza of somebody for a session, which must arrive or need not.
    pub(super) fn parcel(&self, stanza: Bytes, must_arrive: bool) -> Parcel {
        if must_arrive { Parcel::errand(stanza, self.shared.engine.clock().now()) } else { Parcel::from(stanza) }
    }

    fn message_undelivered(&self, mut message: Message, sent: Timestamp) {
        let (Some(from), Some(to)) = (message.from.clone(), message.to.clone()) else { return };
        if !message.content.children().any(|child| Delay::parse(child).is_some()) {
            let delay = Delay { from: Some(Jid::Bare(to.bare().clone())), stamp: sent, reason: None };
            message.content.push(delay.to_element());
        }
        let messaging = self.clone();
        let told = move |error: Option<Bytes>| error.iter().for_each(|error| messaging.tell(&from, error));
        match self.message_again(message, to) {
            Sending::Done(error) => told(error),
            Sending::Later(sending) => self.see_through(async move { told(sending.await) }),
        }
    }

    /// Hands something to whom it is for, here or elsewhere.
    fn tell(&self, to: &Jid, stanza: &Bytes) {
        if self.send(to, stanza) == 0
            && let Some(tell) = self.shared.afar.get()
        {
            tell(to, stanza);
        }
    }

    /// Does something to its end though nobody waits for it; the server does not stop before.
    pub fn see_through(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.shared.farewells.spawn(work));
    }
}

/// A stanza as it stood in a stream.
fn read(stanza: &[u8]) -> Option<Element> {
    let document = [b"<stream xmlns='jabber:client'>", stanza, b"</stream>"].concat();
    let limits = Limits { stanza_bytes: document.len(), depth: 128, elements: 1 << 20, ..Limits::authenticated() };
    parse_document(&document, &limits).ok()?.children().next().cloned()
}
