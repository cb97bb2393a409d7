//! Which service, session or nobody a stanza is for (RFC 6120 §10, RFC 6121 §8).
//!
//! Not here: what a service makes of it (`xep`), and the bytes (`session`). Streams between servers
//! do not exist, so that an address of another domain is unreachable unless a component speaks for it.

mod herald;
mod links;

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::delivery::{Available, Bounce, Due, Notification, Personal, Shown};
use crate::jid::{BareJid, FullJid, Jid};
use crate::messaging::{Follows, Messaging, Sending, Told, presence_error, subscription_word, wire_bytes};
use crate::pubsub::{Caller, Role, Show};
use crate::xep::pubsub::notify;
use crate::xep::{Xep, archive, changes_account, since};
use crate::xml::Element;
use crate::xmpp::{
    Condition, ErrorType, Iq, IqKind, Malformed, Message, MessageType, Presence as PresenceStanza, PresenceType,
    Stanza, StanzaError, StanzaName,
};

pub use crate::messaging::{BindFailed, Over, Parcel, Presence, Routed};
pub use herald::Herald;
pub use links::Place;

/// The router, to be cloned and handed about.
#[derive(Clone)]
pub struct Router {
    messaging: Messaging,
    links: links::Links,
    xep: Xep,
    arrivals: mpsc::Sender<FullJid>,
    /// Until the herald takes it.
    arrived: Arc<Mutex<Option<mpsc::Receiver<FullJid>>>>,
}

/// What a session may begin with, by the names of XEP-0386 §3.1.
pub const BIND_FEATURES: [&str; 1] = [NS_CARBONS];

/// What a stanza that a session sent comes to.
pub enum Reaction {
    Nothing,
    /// Something to be written back at once.
    Write(Bytes),
    /// A notification came back, from this address.
    Bounced(Notification, Jid, Bounce),
    /// Somebody for whom a link speaks is available to a service, and shows this, or is not any more.
    There(Jid, Option<Show>),
    /// An answer that takes time. The first poll gives the request its place.
    Later(Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

/// An answer, and what follows it.
#[derive(Default)]
pub struct Outcome {
    pub reply: Option<Bytes>,
    /// Messages that the answer gives rise to, each with whom it is for.
    pub then: Vec<(Jid, Parcel)>,
    /// The session became available, or unavailable.
    pub available: Option<Option<Available>>,
    /// For how many seconds it says to have been away, before it became available (XEP-0312).
    pub away: Option<u64>,
    /// What it follows of accounts without a subscription.
    pub follows: Option<Box<Personal>>,
    /// The last item that is due to a subscription once this was said.
    pub due: Option<Box<Due>>,
}

impl Router {
    pub fn new(messaging: Messaging, xep: Xep) -> Self {
        let (arrivals, arrived) = mpsc::channel(herald::ARRIVALS_MAX);
        let arrived = Arc::new(Mutex::new(Some(arrived)));
        let links = links::Links::default();
        messaging.tell_afar(links.teller());
        Router { messaging, links, xep, arrivals, arrived }
    }

    /// Enters a session under its address, for which so many stanzas of others may wait.
    pub fn bind(&self, full: FullJid, inbox_max: usize, sessions_max: usize) -> Result<Presence, BindFailed> {
        self.messaging.bind(full, inbox_max, sessions_max)
    }

    /// Does something to its end though nobody waits for it; the server does not stop before.
    pub fn see_through(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.messaging.see_through(work);
    }

    /// Begins a session with what was asked for when it was bound (XEP-0386 §3.2): what is among
    /// [`BIND_FEATURES`]. The rest is passed over. `client` names an installation, whose other sessions end.
    /// Answers what the session is told beside its address.
    pub async fn begin_with(&self, session: &FullJid, client: Option<&str>, features: &[Element]) -> Vec<Element> {
        if let Some(client) = client {
            self.messaging.supersede(session, client);
        }
        self.messaging.begin_with_archive(session.bare()).await;
        if features.iter().any(|feature| feature.is("enable", NS_CARBONS)) {
            self.messaging.set_carbons(session, true);
        }
        archive::at_binding(&self.messaging, session.bare()).await.into_iter().collect()
    }

    /// Takes a stanza from a session. Its `from` has been set to the session's address.
    pub fn stanza(&self, caller: &Caller, presence: &Presence, element: Element) -> Reaction {
        let element = match self.outward_of_session(presence, element) {
            Ok(reaction) => return reaction,
            Err(element) => element,
        };
        match Stanza::parse(element) {
            Ok(Stanza::Iq(iq)) if self.messaging.is_capabilities(&iq) && is_own(caller, iq.to.as_ref()) => {
                let (messaging, place) = (self.messaging.clone(), presence.place());
                self.told(presence, Show::Online, async move { messaging.capabilities(&place, iq).await })
            }
            Ok(Stanza::Iq(iq)) => self.iq(caller, iq),
            Ok(Stanza::Message(message)) => match self.xep.hear(caller, &message) {
                Some(hearing) => {
                    Reaction::Later(Box::pin(async move { Outcome { reply: hearing.await, ..Outcome::default() } }))
                }
                None => self.message(message),
            },
            Ok(Stanza::Presence(stanza))
                if caller.role == Role::Stranger && subscription_word(stanza.kind).is_some() =>
            {
                // Nobody would remember it when the session of a stranger is over.
                Reaction::Write(presence_error(stanza, &StanzaError::new(Condition::NotAllowed)))
            }
            Ok(Stanza::Presence(stanza)) => self.presence(presence, stanza),
            Err(malformed) => refuse(&malformed).map_or(Reaction::Nothing, Reaction::Write),
        }
    }

    /// The answer to a request that would change the account itself, from a session that may not.
    pub fn refuse_account_change(&self, element: &Element) -> Option<Bytes> {
        if element.name() != "iq" || !element.children().any(changes_account) {
            return None;
        }
        match Stanza::parse(element.clone()) {
            Ok(Stanza::Iq(iq)) if matches!(iq.kind, IqKind::Set(_)) => Some(iq_error(iq, Condition::NotAllowed)),
            _ => None,
        }
    }

    /// What a watcher is shown of an event: the head that addresses it, and the body that all share.
    pub fn notification(&self, shown: Shown<'_>) -> Option<[Bytes; 2]> {
        let rest = notify::rest(&shown)?;
        let head = shown.head.get_or_insert_with(|| notify::head(&shown.entry.address.service, shown.to, shown.name));
        Some([head.clone(), rest])
    }

    /// Whose nodes a session follows without a subscription, when that may have changed.
    pub fn follow(&self, session: &Presence) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        let (messaging, place) = (self.messaging.clone(), session.place());
        self.telling(session, Show::Online, async move { messaging.follow(&place).await })
    }

    /// What was kept while a session had not read what it was given.
    pub fn collect(&self, session: &Presence) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        let (messaging, place) = (self.messaging.clone(), session.place());
        self.telling(session, Show::Online, async move { messaging.collect(&place).await })
    }

    /// Hands a message to whom it is for, if they are here.
    pub fn send(&self, to: &Jid, stanza: Bytes) {
        if self.is_local(to) {
            self.messaging.send(to, &stanza);
        } else {
            self.send_outward(to, &stanza);
        }
    }

    /// A ping of the server (XEP-0199 §4.1).
    pub fn ping(&self, to: &FullJid) -> Bytes {
        let iq = Iq {
            id: "server-ping".to_owned(),
            from: BareJid::new(None, to.bare().domain()).ok().map(Jid::Bare),
            to: Some(Jid::Full(to.clone())),
            kind: IqKind::Get(Element::new("ping", "urn:xmpp:ping")),
        };
        wire_bytes(&iq.into_element())
    }

    fn iq(&self, caller: &Caller, iq: Iq) -> Reaction {
        let to = iq.to.clone().unwrap_or_else(|| Jid::Bare(caller.jid.bare().clone()));
        match &to {
            Jid::Full(full) if to.bare().local().is_some() && self.is_local(&to) => match &caller.jid {
                Jid::Full(from) => sending(self.messaging.request(from.clone(), full.clone(), iq)),
                Jid::Bare(_) => Reaction::Nothing,
            },
            _ if matches!(iq.kind, IqKind::Result(_) | IqKind::Error(..)) => Reaction::Nothing,
            _ if !self.is_local(&to) => Reaction::Write(iq_error(iq, Condition::RemoteServerNotFound)),
            _ => {
                let (answering, asker) = (self.xep.answer(caller.clone(), iq), caller.jid.clone());
                Reaction::Later(Box::pin(async move {
                    match answering.await {
                        Some(answer) if !answer.first.is_empty() => {
                            let messages = answer.first.into_iter().chain([answer.iq]);
                            let then = parcels(messages.map(|stanza| (asker.clone(), stanza)).chain(answer.then));
                            Outcome { then, due: answer.due, ..Outcome::default() }
                        }
                        Some(answer) => {
                            let (reply, then, due) = (Some(answer.iq), parcels(answer.then), answer.due);
                            Outcome { reply, then, due, ..Outcome::default() }
                        }
                        None => Outcome::default(),
                    }
                }))
            }
        }
    }

    fn message(&self, message: Message) -> Reaction {
        let Some(to) = message.to.clone() else {
            // RFC 6121 §8.1: a message without `to` is for the sender's own bare JID.
            let own = message.from.as_ref().map(|from| Jid::Bare(from.bare().clone()));
            return match own {
                Some(own) => self.message(Message { to: Some(own), ..message }),
                None => Reaction::Nothing,
            };
        };
        let quiet = message.kind == MessageType::Error;
        if quiet
            && self.xep.hosts().iter().any(|host| Jid::Bare(host.service.clone()) == to)
            && let Some(of) = message.id.as_deref().and_then(notify::named)
        {
            return message
                .from
                .clone()
                .map_or(Reaction::Nothing, |from| Reaction::Bounced(of, from, bounce(&message)));
        }
        if !self.is_local(&to) {
            return if quiet { Reaction::Nothing } else { message_error(message, Condition::RemoteServerNotFound) };
        }
        if to.bare().local().is_none() {
            // No entity of the server but its accounts reads messages.
            let silent = quiet || message.kind == MessageType::Headline;
            return if silent { Reaction::Nothing } else { message_error(message, Condition::ServiceUnavailable) };
        }
        sending(self.messaging.message(message, to))
    }

    fn presence(&self, session: &Presence, stanza: PresenceStanza) -> Reaction {
        let (messaging, place, show) = (self.messaging.clone(), session.place(), show(&stanza));
        let Some(to) = stanza.to.clone() else {
            return match stanza.kind {
                PresenceType::Available | PresenceType::Unavailable => {
                    let away = since::away_seconds(&stanza);
                    match self.told(session, show, async move { messaging.announce(&place, stanza).await }) {
                        Reaction::Later(told) => {
                            Reaction::Later(Box::pin(async move { Outcome { away, ..told.await } }))
                        }
                        other => other,
                    }
                }
                // RFC 6121 §3, §4.3: these are always for somebody.
                _ => Reaction::Nothing,
            };
        };
        if !self.is_local(&to) {
            let error = StanzaError::new(Condition::RemoteServerNotFound);
            let answerable = stanza.kind != PresenceType::Error && stanza.kind != PresenceType::Probe;
            return if answerable { Reaction::Write(presence_error(stanza, &error)) } else { Reaction::Nothing };
        }
        if to.bare().local().is_none() {
            // No entity of the server but its accounts has presence, or wants any.
            return Reaction::Nothing;
        }
        match (stanza.kind, subscription_word(stanza.kind)) {
            (_, Some(word)) => {
                let to = to.bare().clone();
                self.told(session, show, async move { messaging.subscription(&place, to, word, stanza).await })
            }
            (PresenceType::Available | PresenceType::Unavailable, _) => {
                self.told(session, show, async move { messaging.direct(&place, to, stanza).await })
            }
            (PresenceType::Probe, _) => {
                self.told(session, show, async move { messaging.probe(&place, to, stanza.id).await })
            }
            _ => Reaction::Nothing,
        }
    }

    /// What a session is told of what it did, all of it its own.
    fn told(&self, session: &Presence, show: Show, telling: impl Future<Output = Told> + Send + 'static) -> Reaction {
        Reaction::Later(self.telling(session, show, telling))
    }

    fn telling(
        &self,
        session: &Presence,
        show: Show,
        telling: impl Future<Output = Told> + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        let (own, arrivals) = (session.jid().clone(), self.arrivals.clone());
        Box::pin(async move {
            let told = telling.await;
            if told.arrived {
                // One that finds no room is told when it comes again.
                let _ = arrivals.try_send(own.clone());
            }
            let own = Jid::Full(own);
            let stanzas = told.stanzas.into_iter().map(Parcel::from).chain(told.kept);
            let then = stanzas.map(|stanza| (own.clone(), stanza)).collect();
            let follows = told.follows.map(|Follows { accounts, nodes }| Box::new(Personal { accounts, nodes }));
            let available = told.available.map(|priority| priority.map(|priority| Available { show, priority }));
            Outcome { then, available, follows, ..Outcome::default() }
        })
    }

    fn is_service(&self, to: &BareJid) -> bool {
        self.xep.hosts().iter().any(|host| host.service == *to)
    }

    fn is_local(&self, to: &Jid) -> bool {
        let domain = to.domain();
        self.xep.hosts().iter().any(|host| host.domain.domain() == domain || host.service.domain() == domain)
    }
}

/// What an available resource shows (RFC 6121 §4.7.2.1); what nobody knows is mere availability.
fn show(presence: &PresenceStanza) -> Show {
    let word = presence.content.child("show", "jabber:client").map(Element::text);
    word.and_then(|word| Show::parse(word.trim())).unwrap_or(Show::Online)
}

/// XEP-0060 §12.4.
fn bounce(message: &Message) -> Bounce {
    let error = message.content.child("error", "jabber:client").map(StanzaError::parse);
    match error {
        Some(error) if matches!(error.condition, Condition::Gone(_)) => Bounce::Gone,
        Some(error)
            if matches!(error.condition, Condition::BadRequest | Condition::Redirect(_) | Condition::NotAcceptable) =>
        {
            Bounce::Passing
        }
        Some(error) if error.kind == ErrorType::Cancel => Bounce::Gone,
        _ => Bounce::Passing,
    }
}

/// What the server says itself, with whom it is for.
fn parcels(stanzas: impl IntoIterator<Item = (Jid, Bytes)>) -> Vec<(Jid, Parcel)> {
    stanzas.into_iter().map(|(to, bytes)| (to, bytes.into())).collect()
}

/// Whether an answer is for the account of the session that sends it, which the server stands for.
fn is_own(caller: &Caller, to: Option<&Jid>) -> bool {
    to.is_none_or(|to| to.resource().is_none() && to.bare() == caller.jid.bare())
}

fn sending(sending: Sending) -> Reaction {
    match sending {
        Sending::Done(None) => Reaction::Nothing,
        Sending::Done(Some(error)) => Reaction::Write(error),
        Sending::Later(sending) => {
            Reaction::Later(Box::pin(async move { Outcome { reply: sending.await, ..Outcome::default() } }))
        }
    }
}

fn iq_error(iq: Iq, condition: Condition) -> Bytes {
    let asked = match iq.kind {
        IqKind::Get(asked) | IqKind::Set(asked) => Some(asked),
        IqKind::Result(_) | IqKind::Error(..) => None,
    };
    let kind = IqKind::Error(StanzaError::new(condition), asked);
    wire_bytes(&Iq { id: iq.id, from: iq.to, to: iq.from, kind }.into_element())
}

fn message_error(message: Message, condition: Condition) -> Reaction {
    let mut content = message.content;
    content.push(StanzaError::new(condition).to_element("jabber:client"));
    let error = Message { id: message.id, from: message.to, to: message.from, kind: MessageType::Error, content };
    Reaction::Write(wire_bytes(&error.into_element()))
}

/// The answer to what was meant to be a stanza and is none, if it gets one.
fn refuse(malformed: &Malformed) -> Option<Bytes> {
    let name = match malformed.name? {
        StanzaName::Iq => "iq",
        StanzaName::Message => "message",
        StanzaName::Presence => "presence",
    };
    if !malformed.answerable {
        return None;
    }
    let error = StanzaError::new(malformed.condition.clone()).with_text(malformed.why);
    let element = Element::new(name, "jabber:client")
        .with_attr("type", "error")
        .with_attr_opt("id", malformed.id.clone())
        .with_attr_opt("from", malformed.to.as_ref().map(Jid::to_string))
        .with_attr_opt("to", malformed.from.as_ref().map(Jid::to_string))
        .with_child(error.to_element("jabber:client"));
    Some(wire_bytes(&element))
}

const NS_CARBONS: &str = "urn:xmpp:carbons:2";
