//! Stanzas between sessions and those for whom others speak: components, and whoever is behind the server
//! that we are a component of. Who is blocked reaches nobody, and is reached by nobody (XEP-0191 §3.3);
//! messages have their copies, and stand in the archive of whoever sent them.

use std::pin::Pin;

use bytes::Bytes;

use super::archive::{Copied, strip_forged};
use super::words::{self, wire_bytes};
use super::{Messaging, Place, Sending};
use crate::im;
use crate::jid::Jid;
use crate::store::{Failure, Filing};
use crate::xml::Element;
use crate::xmpp::{Condition, Iq, IqKind, Message, MessageType, PresenceType, Stanza, StanzaError};

/// Gives a stanza to whoever speaks for its receiver, or says why that does not take it.
pub type HandOn = Box<dyn FnOnce(&Bytes) -> Result<(), Condition> + Send>;

/// Gives presence to whoever speaks for its receiver, if somebody does.
pub type TellAfar = Box<dyn Fn(&Jid, &Bytes) + Send + Sync>;

impl Messaging {
    /// Lets those elsewhere to whom a session has directed its presence know when it has gone (RFC 6121
    /// §4.6.3). To be called once, when the rooms are wired.
    pub fn tell_afar(&self, tell: TellAfar) {
        let wired_before = self.shared.afar.set(tell).is_err();
        debug_assert!(!wired_before, "there is one way to those elsewhere");
    }

    /// Takes a stanza from a session to somebody elsewhere.
    pub fn outward(&self, session: Place, from: Jid, to: Jid, mut stanza: Element, hand_on: HandOn) -> Sending {
        if stanza.name() == "message" {
            strip_forged(&mut stanza, [from.bare(), to.bare()], from.domain());
        }
        let said = Said { session, from, to, parsed: Stanza::parse(stanza.clone()).ok(), stanza };
        let (from, to) = (&said.from, &said.to);
        let kept = said.message().is_some_and(|message| self.may_be_archived(message));
        // What takes its time must not be overtaken by what comes later.
        if !kept
            && !self.shared.turns.busy(from.bare())
            && let Some(blocked) = self.shared.directory.blocked(from.bare())
        {
            let refusal = if im::blocks(&blocked, to) {
                Some(words::blocked_by_sender())
            } else {
                self.hand_on(&said, &Copied::default(), hand_on)
            };
            return Sending::Done(refusal.and_then(|error| refused(said.stanza, error)));
        }
        let (messaging, turn) = (self.clone(), self.shared.turns.ask(from.bare()));
        Sending::Later(Box::pin(async move {
            let _turn = turn.reached().await;
            let refusal = match messaging.send_outward(&said, hand_on).await {
                Ok(refusal) => refusal,
                Err(failure) => {
                    tracing::error!(%failure, to = %said.to, "a stanza can be neither archived nor sent on");
                    Some(StanzaError::new(Condition::InternalServerError))
                }
            };
            refusal.and_then(|error| refused(said.stanza, error))
        }))
    }

    /// In the turn of the sender.
    async fn send_outward(&self, said: &Said, hand_on: HandOn) -> Result<Option<StanzaError>, Failure> {
        let (from, to) = (&said.from, &said.to);
        if im::blocks(&self.blocked(from.bare()).await?, to) {
            return Ok(Some(words::blocked_by_sender()));
        }
        let mut copied = match said.message().filter(|message| self.may_be_archived(message)) {
            Some(message) => self.copy_for_archives(message, from, to).await?,
            None => Copied::default(),
        };
        let entries = std::mem::take(&mut copied.entries);
        if !entries.is_empty() {
            self.file(Filing { entries, waiting: None }).await?;
        }
        Ok(self.hand_on(said, &copied, hand_on))
    }

    /// Why it was not taken, if it was not.
    fn hand_on(&self, said: &Said, copied: &Copied, hand_on: HandOn) -> Option<StanzaError> {
        let Said { session, from, to, parsed, stanza } = said;
        let directory = &self.shared.directory;
        let shown = match parsed {
            Some(Stanza::Presence(presence)) => Some(presence.kind),
            _ => None,
        };
        if shown == Some(PresenceType::Unavailable) {
            directory.direct_no_more(session, to);
        }
        let most = self.shared.options.sessions.directed_max;
        if shown == Some(PresenceType::Available) && !directory.direct(session, to, most) {
            return Some(StanzaError::new(Condition::ResourceConstraint));
        }
        match hand_on(&wire_bytes(stanza)) {
            Ok(()) => {
                said.message().into_iter().for_each(|message| self.copy_to_sender(message, copied, from, to));
                None
            }
            Err(condition) => Some(StanzaError::new(condition)),
        }
    }

    /// Hands a request or presence from elsewhere to those of an account's sessions that it is for. Where
    /// none takes it, `refusal` is the answer.
    pub fn inward(&self, from: Jid, to: Jid, stanza: Bytes, refusal: Option<Bytes>) -> Sending {
        if !self.shared.directory.is_here(to.bare()) {
            return Sending::Done(refusal);
        }
        let account = to.bare().clone();
        // What cannot be read is as if nobody were there: whoever is blocked must not come through.
        let give = move |messaging: &Messaging, blocked: Option<&[Jid]>| {
            let free = blocked.is_some_and(|blocked| !im::blocks(blocked, &from));
            let taken = free && messaging.give(&to, &messaging.parcel(stanza, refusal.is_some())) > 0;
            refusal.filter(|_| !taken)
        };
        if !self.shared.turns.busy(&account)
            && let Some(blocked) = self.shared.directory.blocked(&account)
        {
            return Sending::Done(give(self, Some(&blocked)));
        }
        let (messaging, turn) = (self.clone(), self.shared.turns.ask(&account));
        let giving: Pin<Box<dyn Future<Output = Option<Bytes>> + Send>> = Box::pin(async move {
            let _turn = turn.reached().await;
            match messaging.blocked(&account).await {
                Ok(blocked) => give(&messaging, Some(&blocked)),
                Err(failure) => {
                    tracing::error!(%failure, %account, "a block list cannot be read");
                    give(&messaging, None)
                }
            }
        });
        Sending::Later(giving)
    }
}

/// What a session says to somebody elsewhere.
struct Said {
    session: Place,
    from: Jid,
    to: Jid,
    stanza: Element,
    /// Absent where it is no valid stanza, which is for its receiver to say.
    parsed: Option<Stanza>,
}

impl Said {
    fn message(&self) -> Option<&Message> {
        match &self.parsed {
            Some(Stanza::Message(message)) => Some(message),
            _ => None,
        }
    }
}

/// What a sender is told whose stanza was not taken; answers and the like are not answered.
fn refused(stanza: Element, error: StanzaError) -> Option<Bytes> {
    match Stanza::parse(stanza).ok()? {
        Stanza::Iq(Iq { id, from, to, kind: IqKind::Get(asked) | IqKind::Set(asked) }) => {
            let iq = Iq { id, from: to, to: from, kind: IqKind::Error(error, Some(asked)) };
            Some(wire_bytes(&iq.into_element()))
        }
        Stanza::Message(message) if message.kind != MessageType::Error => Some(words::message_error(message, &error)),
        Stanza::Presence(presence) if !matches!(presence.kind, PresenceType::Error | PresenceType::Probe) => {
            Some(words::presence_error(presence, &error))
        }
        Stanza::Iq(_) | Stanza::Message(_) | Stanza::Presence(_) => None,
    }
}
