//! Who speaks for other domains: components (XEP-0114), and the server behind which we are one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Outcome, Presence, Reaction, Routed, Router, iq_error, message_error, refuse, sending};
use crate::jid::{BareJid, Jid};
use crate::messaging::{TellAfar, subscription_word, wire_bytes};
use crate::pubsub::{Caller, Show};
use crate::xml::Element;
use crate::xmpp::{Condition, Iq, IqKind, Presence as PresenceStanza, PresenceType, Stanza};

#[derive(Clone, Default)]
pub(super) struct Links {
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    /// Components, by the domain that they speak for.
    components: HashMap<String, mpsc::Sender<Routed>>,
    /// The server behind which we are a component, and the domain that we speak for there.
    upstream: Option<(String, mpsc::Sender<Routed>)>,
}

/// A component's place; dropping it ends the place.
pub struct Place {
    links: Links,
    domain: String,
    inbox: mpsc::Sender<Routed>,
}

impl Links {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands on what is said for sessions that have gone.
    pub(super) fn teller(&self) -> TellAfar {
        let links = self.clone();
        Box::new(move |to, stanza| {
            // Sessions are not of the domain that we speak for as a component.
            links.send("", to, stanza);
        })
    }

    /// Whether somebody speaks for `to` who takes what comes from there.
    fn reaches(&self, from: &str, to: &Jid) -> bool {
        let open = self.lock();
        let behind_us = || open.upstream.as_ref().is_some_and(|(domain, _)| domain == from);
        open.components.contains_key(to.domain()) || behind_us()
    }

    /// Hands a stanza of `from` to whoever speaks for `to`: nothing where nobody does, otherwise whether
    /// it was taken.
    fn send(&self, from: &str, to: &Jid, stanza: &Bytes) -> Option<bool> {
        let open = self.lock();
        let inbox = match open.components.get(to.domain()) {
            Some(inbox) => inbox,
            // A server takes nothing from a component that does not come from its domain.
            None => open.upstream.as_ref().filter(|(domain, _)| domain == from).map(|(_, inbox)| inbox)?,
        };
        Some(inbox.try_send(Routed::Stanza(stanza.clone().into())).is_ok())
    }
}

impl Router {
    /// Enters a component that may speak for this domain, unless one does already.
    pub fn join(&self, domain: &BareJid, inbox: mpsc::Sender<Routed>) -> Option<Place> {
        let domain = domain.domain().to_owned();
        let mut open = self.links.lock();
        if open.components.contains_key(&domain) {
            return None;
        }
        open.components.insert(domain.clone(), inbox.clone());
        drop(open);
        Some(Place { links: self.links.clone(), domain, inbox })
    }

    /// Enters the server that hands us what is for this domain, and takes what we say from there to all
    /// who are not here.
    pub fn join_upstream(&self, domain: &BareJid, inbox: mpsc::Sender<Routed>) -> Place {
        let domain = domain.domain().to_owned();
        self.links.lock().upstream = Some((domain.clone(), inbox.clone()));
        Place { links: self.links.clone(), domain, inbox }
    }

    /// Takes a stanza from whoever speaks for the sender's domain.
    pub fn stanza_from_afar(&self, caller: &Caller, element: Element) -> Reaction {
        if self.is_local(&caller.jid) {
            // Nobody else speaks for our own.
            tracing::warn!(from = %caller.jid, "a stanza from afar claims to come from here");
            return Reaction::Nothing;
        }
        let element = match self.outward(element) {
            Ok(reaction) => return reaction,
            Err(element) => element,
        };
        match Stanza::parse(element) {
            Ok(Stanza::Iq(iq)) => self.iq_from_afar(caller, iq),
            Ok(Stanza::Message(message)) => self.message(message),
            Ok(Stanza::Presence(presence)) => self.presence_from_afar(caller, presence),
            Err(malformed) => refuse(&malformed).map_or(Reaction::Nothing, Reaction::Write),
        }
    }

    /// Sends a stanza of a session to whoever speaks for the domain that it is for; it comes back where
    /// nobody does.
    pub(super) fn outward_of_session(&self, session: &Presence, element: Element) -> Result<Reaction, Element> {
        let jid = |name: &str| element.attr(name).and_then(|text| Jid::parse(text).ok());
        let (Some(from), Some(to)) = (jid("from"), jid("to")) else { return Err(element) };
        if self.is_local(&to) || !self.links.reaches(from.domain(), &to) {
            return Err(element);
        }
        if element.name() == "presence"
            && let Ok(Stanza::Presence(presence)) = Stanza::parse(element.clone())
            && let Some(word) = subscription_word(presence.kind)
        {
            // RFC 6121 §3: the account's own side of it stands in its roster.
            let (messaging, place, to) = (self.messaging.clone(), session.place(), to.bare().clone());
            return Ok(self
                .told(session, Show::Online, async move { messaging.subscription(&place, to, word, presence).await }));
        }
        let (links, sender, receiver) = (self.links.clone(), from.clone(), to.clone());
        let hand_on = Box::new(move |stanza: &Bytes| match links.send(sender.domain(), &receiver, stanza) {
            Some(true) => Ok(()),
            Some(false) => Err(Condition::ResourceConstraint),
            // Whoever spoke for it has gone meanwhile.
            None => Err(Condition::RemoteServerNotFound),
        });
        Ok(sending(self.messaging.outward(session.place(), from, to, element, hand_on)))
    }

    /// Sends a stanza from afar to whoever speaks for the domain that it is for; it comes back where
    /// nobody does.
    fn outward(&self, element: Element) -> Result<Reaction, Element> {
        let jid = |name: &str| element.attr(name).and_then(|text| Jid::parse(text).ok());
        let (Some(from), Some(to)) = (jid("from"), jid("to")) else { return Err(element) };
        if self.is_local(&to) {
            return Err(element);
        }
        match self.links.send(from.domain(), &to, &wire_bytes(&element)) {
            None => Err(element),
            Some(true) => Ok(Reaction::Nothing),
            Some(false) => Ok(match Stanza::parse(element) {
                Ok(Stanza::Iq(iq)) if matches!(iq.kind, IqKind::Get(_) | IqKind::Set(_)) => {
                    Reaction::Write(iq_error(iq, Condition::ResourceConstraint))
                }
                Ok(Stanza::Message(message)) if message.kind != crate::xmpp::MessageType::Error => {
                    message_error(message, Condition::ResourceConstraint)
                }
                _ => Reaction::Nothing,
            }),
        }
    }

    /// Hands on a stanza of ours; `from` stands in its start tag as we write it.
    pub(super) fn send_outward(&self, to: &Jid, stanza: &Bytes) {
        let upstream = self.links.lock().upstream.as_ref().map(|(domain, _)| domain.clone());
        let head = stanza.split(|byte| *byte == b'>').next().unwrap_or_default();
        let from = upstream.filter(|domain| {
            let own = format!(" from='{domain}'");
            head.windows(own.len()).any(|part| part == own.as_bytes())
        });
        if self.links.send(from.as_deref().unwrap_or_default(), to, stanza) != Some(true) {
            tracing::debug!(%to, "nobody takes a stanza for another domain");
        }
    }

    fn iq_from_afar(&self, caller: &Caller, iq: Iq) -> Reaction {
        match &iq.to {
            Some(to @ Jid::Full(full)) if full.bare().local().is_some() && self.is_local(to) => {
                let full = full.clone();
                sending(self.messaging.request_from_afar(caller.jid.clone(), full, iq))
            }
            _ => self.iq(caller, iq),
        }
    }

    fn presence_from_afar(&self, caller: &Caller, stanza: PresenceStanza) -> Reaction {
        match (&stanza.to, stanza.kind) {
            (Some(Jid::Bare(to)), PresenceType::Available | PresenceType::Unavailable) if self.is_service(to) => {
                let there = stanza.kind == PresenceType::Available;
                Reaction::There(caller.jid.clone(), there.then(|| super::show(&stanza)))
            }
            (Some(to), PresenceType::Available | PresenceType::Unavailable) => {
                let to = to.clone();
                let stanza = wire_bytes(&stanza.into_element());
                sending(self.messaging.inward(caller.jid.clone(), to, stanza, None))
            }
            (Some(to), PresenceType::Probe) if to.bare().local().is_some() => {
                let (messaging, from, to) = (self.messaging.clone(), caller.jid.clone(), to.clone());
                Reaction::Later(Box::pin(async move {
                    messaging.probe_from_afar(from, to, stanza.id).await;
                    Outcome::default()
                }))
            }
            (Some(to), kind) if to.bare().local().is_some() => {
                let Some(word) = subscription_word(kind) else { return Reaction::Nothing };
                let (messaging, from, to) = (self.messaging.clone(), caller.jid.bare().clone(), to.bare().clone());
                Reaction::Later(Box::pin(async move {
                    messaging.subscription_from_afar(from, to, word, stanza).await;
                    Outcome::default()
                }))
            }
            _ => Reaction::Nothing,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.links.lock();
        if open.components.get(&self.domain).is_some_and(|inbox| inbox.same_channel(&self.inbox)) {
            open.components.remove(&self.domain);
        }
        if open.upstream.as_ref().is_some_and(|(_, inbox)| inbox.same_channel(&self.inbox)) {
            open.upstream = None;
        }
    }
}
