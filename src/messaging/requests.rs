//! Requests between sessions, and their answers (RFC 6121 §8.5.3.1).

use std::pin::Pin;

use bytes::Bytes;

use super::words::{blocked_by_sender, wire_bytes};
use super::{Messaging, Sending};
use crate::im;
use crate::jid::{BareJid, FullJid, Jid};
use crate::store::{Ask, Failure, Found};
use crate::xmpp::{Condition, Iq, IqKind, StanzaError};

/// What somebody is to an account.
pub struct Access {
    /// One of both has blocked the other.
    pub refusal: Option<StanzaError>,
    /// The account shows its presence to him.
    pub shares: bool,
}

impl Messaging {
    /// Takes an iq from one session to another of this server, which may not exist.
    pub fn request(&self, from: FullJid, to: FullJid, iq: Iq) -> Sending {
        if from.bare() == to.bare() {
            return Sending::Done(self.hand_request(&to, iq));
        }
        let (messaging, turn) = (self.clone(), self.shared.turns.ask_both(from.bare(), to.bare()));
        let settling: Pin<Box<dyn Future<Output = Option<Bytes>> + Send>> = Box::pin(async move {
            let _turn = turn.reached().await;
            messaging.settle_request(&Jid::Full(from), &to, iq).await
        });
        Sending::Later(settling)
    }

    /// The same from somebody for whom a component speaks, or another server.
    pub fn request_from_afar(&self, from: Jid, to: FullJid, iq: Iq) -> Sending {
        let (messaging, turn) = (self.clone(), self.shared.turns.ask(to.bare()));
        Sending::Later(Box::pin(async move {
            let _turn = turn.reached().await;
            messaging.settle_request(&from, &to, iq).await
        }))
    }

    async fn settle_request(&self, from: &Jid, to: &FullJid, iq: Iq) -> Option<Bytes> {
        match self.may_ask(from, to, &iq).await {
            Ok(None) => self.hand_request(to, iq),
            Ok(Some(error)) => refuse(iq, error),
            Err(failure) => {
                tracing::error!(%failure, %to, "whether a request may reach a session cannot be read");
                refuse(iq, StanzaError::new(Condition::InternalServerError))
            }
        }
    }

    /// What somebody may know and ask of an account of this server.
    pub async fn access(&self, from: &Jid, to: &BareJid) -> Result<Access, Failure> {
        let asked = Jid::Bare(to.clone());
        let refusal = if im::blocks(&self.blocked_meanwhile(from.bare()).await?, &asked) {
            Some(blocked_by_sender())
        } else if im::blocks(&self.blocked_meanwhile(to).await?, from) {
            Some(StanzaError::new(Condition::ServiceUnavailable))
        } else {
            None
        };
        let found = self.store().gather(vec![Ask::Contact(to.clone(), from.bare().clone())]).await?;
        let shares = matches!(&found[..], [Found::Contact(Some(contact))] if contact.from);
        Ok(Access { refusal, shares })
    }

    async fn may_ask(&self, from: &Jid, to: &FullJid, iq: &Iq) -> Result<Option<StanzaError>, Failure> {
        let (asker, asked) = (from, Jid::Full(to.clone()));
        if im::blocks(&self.blocked(from.bare()).await?, &asked) {
            return Ok(Some(blocked_by_sender()));
        }
        let access = self.access(asker, to.bare()).await?;
        if access.refusal.is_some() {
            return Ok(access.refusal);
        }
        if matches!(&iq.kind, IqKind::Get(asked) if asked.is("query", NS_LAST)) {
            // XEP-0012 §4, §8: for those who are subscribed to its presence, and nobody else.
            return Ok((!access.shares).then(|| StanzaError::new(Condition::Forbidden)));
        }
        if matches!(iq.kind, IqKind::Result(_) | IqKind::Error(..)) || self.shared.directory.has_directed(to, asker) {
            return Ok(None);
        }
        // Whoever may not see that a session is there must not find out by asking it something.
        Ok((!access.shares).then(|| StanzaError::new(Condition::ServiceUnavailable)))
    }

    fn hand_request(&self, to: &FullJid, iq: Iq) -> Option<Bytes> {
        let answerable = matches!(iq.kind, IqKind::Get(_) | IqKind::Set(_));
        if self.shared.directory.to_one(to, &self.parcel(wire_bytes(&iq.clone().into_element()), answerable)) {
            return None;
        }
        let condition = if self.shared.directory.is_online(to) {
            Condition::ResourceConstraint
        } else {
            Condition::ServiceUnavailable
        };
        refuse(iq, StanzaError::new(condition))
    }
}

/// Answers are never answered (RFC 6120 §8.2.3).
pub(super) fn refuse(iq: Iq, error: StanzaError) -> Option<Bytes> {
    let (IqKind::Get(asked) | IqKind::Set(asked)) = iq.kind else { return None };
    let refusal = Iq { id: iq.id, from: iq.to, to: iq.from, kind: IqKind::Error(error, Some(asked)) };
    Some(wire_bytes(&refusal.into_element()))
}

const NS_LAST: &str = "jabber:iq:last";
