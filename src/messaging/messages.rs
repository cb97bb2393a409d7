//! Messages between people (RFC 6121 §8.5), copies of them (XEP-0280), and those that wait (XEP-0160).

use std::cell::LazyCell;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::archive::{Copied, strip_forged};
use super::directory::Between;
use super::words::{self, wire_bytes};
use super::{Messaging, Parcel};
use crate::counts::Limit;
use crate::im::{self, StoredStanza};
use crate::jid::{BareJid, FullJid, Jid};
use crate::store::{Failure, Filing, Waiting};
use crate::xml::Element;
use crate::xmpp::{Condition, Delay, Message, MessageType, NS_CLIENT, StanzaError};

/// What becomes of a message, as its sender is told.
pub enum Sending {
    /// It is where it should be; or this is said to the sender.
    Done(Option<Bytes>),
    Later(Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>),
}

/// Whether other sessions are sent copies of a message, or had them when it was sent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copies {
    Made,
    Had,
}

/// What an online receiver makes of a message.
enum Delivered {
    To(Vec<FullJid>),
    /// Nobody takes it, and nobody will.
    Nowhere,
    /// Nobody takes it now.
    Wait,
}

impl Messaging {
    /// Takes a message from a session to an account of this server.
    pub fn message(&self, mut message: Message, to: Jid) -> Sending {
        if let Some(from) = &message.from {
            strip_forged(&mut message.content, [from.bare(), to.bare()], to.domain());
        }
        self.send_message(message, to, Copies::Made)
    }

    /// Takes a message that a session was sent and never acknowledged. Others had their copies then.
    pub fn message_again(&self, message: Message, to: Jid) -> Sending {
        self.send_message(message, to, Copies::Had)
    }

    fn send_message(&self, message: Message, to: Jid, copies: Copies) -> Sending {
        let Some(from) = message.from.clone() else { return Sending::Done(None) };
        // What takes its time must not be overtaken by what comes later.
        let turns = &self.shared.turns;
        let kept = copies == Copies::Made && self.may_be_archived(&message);
        if kept || turns.busy(from.bare()) || turns.busy(to.bare()) {
            return self.message_in_turn(message, from, to, copies);
        }
        match self.shared.directory.between(&from, &to) {
            Between::Free => match self.deliver(&message, &Copied::default(), &from, &to, copies) {
                Delivered::To(_) => Sending::Done(None),
                Delivered::Nowhere => Sending::Done(bounce(message)),
                Delivered::Wait => self.message_in_turn(message, from, to, Copies::Had),
            },
            Between::BySender => Sending::Done(blocked(message)),
            Between::ByReceiver => Sending::Done(bounce(message)),
            Between::Unknown => self.message_in_turn(message, from, to, copies),
        }
    }

    /// In the receiver's turn, so that it is neither lost while he comes online nor overtaken.
    fn message_in_turn(&self, message: Message, from: Jid, to: Jid, copies: Copies) -> Sending {
        let messaging = self.clone();
        let turn = self.shared.turns.ask_both(from.bare(), to.bare());
        Sending::Later(Box::pin(async move {
            let _turn = turn.reached().await;
            match messaging.settle(&message, &from, &to, copies).await {
                Ok(None) => None,
                Ok(Some(error)) if message.kind == MessageType::Error => {
                    tracing::debug!(%to, condition = error.condition.name(), "an error reaches nobody");
                    None
                }
                Ok(Some(error)) => Some(words::message_error(message, &error)),
                Err(failure) => {
                    tracing::error!(%failure, %to, "a message can be neither delivered nor kept");
                    Some(words::message_error(message, &StanzaError::new(Condition::InternalServerError)))
                }
            }
        }))
    }

    async fn settle(
        &self,
        message: &Message,
        from: &Jid,
        to: &Jid,
        copies: Copies,
    ) -> Result<Option<StanzaError>, Failure> {
        let unavailable = || StanzaError::new(Condition::ServiceUnavailable);
        if from.bare() != to.bare() {
            if im::blocks(&self.blocked(from.bare()).await?, to) {
                return Ok(Some(words::blocked_by_sender()));
            }
            if im::blocks(&self.blocked(to.bare()).await?, from) {
                return Ok(Some(unavailable()));
            }
        }
        let prospect = self.prospect(message.kind, to);
        let mut copied = match prospect {
            Prospect::Taken | Prospect::Waits if copies == Copies::Made && self.may_be_archived(message) => {
                self.copy_for_archives(message, from, to).await?
            }
            _ => Copied::default(),
        };
        if prospect != Prospect::Waits {
            let entries = std::mem::take(&mut copied.entries);
            if !entries.is_empty() {
                self.file(Filing { entries, waiting: None }).await?;
            }
            match self.deliver(message, &copied, from, to, copies) {
                Delivered::To(_) => return Ok(None),
                Delivered::Nowhere if message.kind == MessageType::Headline => return Ok(None),
                Delivered::Nowhere => return Ok(Some(unavailable())),
                Delivered::Wait => {}
            }
        }
        let worth = Worth::of(message);
        if worth == Worth::Nothing {
            return Ok(None);
        }
        if worth == Worth::Now || self.store().account(to.bare().clone()).await?.is_none() {
            return Ok(Some(unavailable()));
        }
        if !self.keep(message, &mut copied, to.bare()).await? {
            self.hit(Limit::OfflineMessages);
            return Ok(Some(unavailable()));
        }
        // Those who are here have not read what they were given before.
        self.shared.directory.tell_kept(to.bare());
        if prospect == Prospect::Waits && copies == Copies::Made {
            self.copy_to_sender(message, &copied, from, to);
        }
        Ok(None)
    }

    /// XEP-0160 §2. Whether there was room. Where nothing may wait, the archive does that.
    async fn keep(&self, message: &Message, copied: &mut Copied, owner: &BareJid) -> Result<bool, Failure> {
        let limits = &self.shared.options.offline;
        let entries = std::mem::take(&mut copied.entries);
        if limits.messages_max == 0 && copied.by_receiver.is_some() {
            return self.file(Filing { entries, waiting: None }).await;
        }
        let now = self.shared.engine.clock().now();
        let from = BareJid::new(None, owner.domain()).ok().map(Jid::Bare);
        let delay = Delay { from, stamp: now, reason: Some("Offline Storage".to_owned()) };
        let mut late = with_id(message, copied.by_receiver.as_ref());
        if !late.content.children().any(|child| Delay::parse(child).is_some()) {
            late.content.push(delay.to_element());
        }
        let xml: Arc<[u8]> = Arc::from(&wire_bytes(&late.into_element())[..]);
        if xml.len() > limits.message_bytes_max {
            return Ok(false);
        }
        let stanza = StoredStanza { time: now, xml };
        let waiting = Some(Waiting { owner: owner.clone(), stanza, max: limits.messages_max });
        self.file(Filing { entries, waiting }).await
    }

    /// What will become of a message, as far as can be seen.
    fn prospect(&self, kind: MessageType, to: &Jid) -> Prospect {
        let directory = &self.shared.directory;
        let here = matches!(to, Jid::Full(one) if directory.is_online(one));
        let ready = || directory.has_ready(to.bare());
        match kind {
            _ if here => Prospect::Taken,
            MessageType::Chat => {
                if ready() {
                    Prospect::Taken
                } else {
                    Prospect::Waits
                }
            }
            MessageType::Normal if to.resource().is_none() && !ready() => Prospect::Waits,
            MessageType::Normal | MessageType::Headline if to.resource().is_none() => Prospect::Taken,
            MessageType::Error => Prospect::Taken,
            MessageType::Normal | MessageType::Headline | MessageType::Groupchat => Prospect::Refused,
        }
    }

    /// RFC 6121 §8.5.4, table 1. Copies go with it.
    fn deliver(&self, message: &Message, archived: &Copied, from: &Jid, to: &Jid, copies: Copies) -> Delivered {
        let bytes = wire_bytes(&with_id(message, archived.by_receiver.as_ref()).into_element());
        let copied = copies == Copies::Made && is_copied(message);
        if copies == Copies::Made {
            self.copy_to_sender(message, archived, from, to);
        }
        let parcel = self.parcel(bytes, Worth::of(message) != Worth::Nothing);
        let delivered = self.hand_over(message.kind, &parcel, to);
        let Delivered::To(takers) = &delivered else { return delivered };
        if copied {
            let but: Vec<FullJid> = takers.iter().cloned().chain(full(from)).collect();
            let make = |one: &FullJid| parcel.copy(copy(message, parcel.bytes(), "received", one));
            self.shared.directory.to_copied(to.bare(), &but, make);
        }
        // All who took it may have ended meanwhile.
        let lost = !takers.is_empty() && parcel.give_up().is_some();
        if lost { Delivered::Wait } else { delivered }
    }

    pub(super) fn copy_to_sender(&self, message: &Message, archived: &Copied, from: &Jid, to: &Jid) {
        if is_copied(message) && from.bare() != to.bare() {
            let own: Vec<FullJid> = full(from).into_iter().collect();
            let bytes = LazyCell::new(|| wire_bytes(&with_id(message, archived.by_sender.as_ref()).into_element()));
            self.shared.directory.to_copied(from.bare(), &own, |one| copy(message, &bytes, "sent", one).into());
        }
    }

    fn hand_over(&self, kind: MessageType, parcel: &Parcel, to: &Jid) -> Delivered {
        let directory = &self.shared.directory;
        if let Jid::Full(one) = to
            && directory.to_one(one, parcel)
        {
            return Delivered::To(vec![one.clone()]);
        }
        let is_bare = to.resource().is_none();
        let takers = match kind {
            MessageType::Chat => directory.to_ready(to.bare(), false, parcel),
            MessageType::Normal | MessageType::Headline if is_bare => directory.to_ready(to.bare(), true, parcel),
            MessageType::Error => return Delivered::To(Vec::new()),
            MessageType::Normal | MessageType::Headline | MessageType::Groupchat => return Delivered::Nowhere,
        };
        match kind {
            _ if !takers.is_empty() => Delivered::To(takers),
            MessageType::Headline => Delivered::To(Vec::new()),
            _ => Delivered::Wait,
        }
    }
}

/// What is to be expected of a message before it is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prospect {
    Taken,
    Waits,
    Refused,
}

/// What a message is worth when nobody takes it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    /// It is kept.
    Keeping,
    /// Its sender is told that it did not arrive.
    Now,
    /// Nobody will miss it.
    Nothing,
}

impl Worth {
    fn of(message: &Message) -> Self {
        if matches!(message.kind, MessageType::Error | MessageType::Headline) {
            return Worth::Nothing;
        }
        let content = &message.content;
        let hint = |name: &str| content.child(name, NS_HINTS).is_some();
        let body = content.child("body", NS_CLIENT).is_some();
        // Events of publish-subscribe are caught up with by cursor, and never kept for anybody.
        if content.child("event", NS_EVENT).is_some() || hint("no-store") {
            return if body { Worth::Now } else { Worth::Nothing };
        }
        // XEP-0160 §3: that somebody types is no news later.
        let only_states = content
            .children()
            .all(|child| child.ns() == NS_CHATSTATES || child.ns() == NS_HINTS || child.name() == "thread");
        if only_states && !hint("store") { Worth::Nothing } else { Worth::Keeping }
    }
}

/// XEP-0280 §6.1.
fn is_copied(message: &Message) -> bool {
    let content = &message.content;
    let has = |name: &str, ns: &str| content.child(name, ns).is_some();
    if has("private", NS_CARBONS) || has("no-copy", NS_HINTS) || has("event", NS_EVENT) {
        return false;
    }
    let of_people = || content.children().any(|child| IM_NAMESPACES.contains(&child.ns()));
    match message.kind {
        MessageType::Chat => true,
        // Of an error what it answers is known by what it holds of it.
        MessageType::Normal | MessageType::Error => has("body", NS_CLIENT) || of_people(),
        MessageType::Groupchat | MessageType::Headline => false,
    }
}

/// XEP-0280 §7, §8.
fn copy(message: &Message, original: &Bytes, which: &str, to: &FullJid) -> Bytes {
    let mut out = Vec::with_capacity(original.len() + 256);
    let head = Element::new("message", NS_CLIENT)
        .with_attr("from", to.bare().to_string())
        .with_attr("to", to.to_string())
        .with_attr_opt("type", Some(message.kind.as_str()).filter(|_| message.kind != MessageType::Normal));
    head.write(&mut out, NS_CLIENT);
    // The empty element that was written ends with "/>".
    out.truncate(out.len() - 2);
    out.extend_from_slice(b"><");
    out.extend_from_slice(which.as_bytes());
    out.extend_from_slice(b" xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>");
    // The original was written for a place where `jabber:client` is declared.
    out.extend_from_slice(b"<message xmlns='jabber:client'");
    out.extend_from_slice(&original[b"<message".len()..]);
    out.extend_from_slice(b"</forwarded></");
    out.extend_from_slice(which.as_bytes());
    out.extend_from_slice(b"></message>");
    Bytes::from(out)
}

/// The message as somebody is sent it in whose archive it stands (XEP-0313 §3.5).
fn with_id(message: &Message, id: Option<&Element>) -> Message {
    let mut message = message.clone();
    id.into_iter().for_each(|id| message.content.push(id.clone()));
    message
}

fn full(jid: &Jid) -> Option<FullJid> {
    match jid {
        Jid::Full(full) => Some(full.clone()),
        Jid::Bare(_) => None,
    }
}

fn bounce(message: Message) -> Option<Bytes> {
    let quiet = matches!(message.kind, MessageType::Error | MessageType::Headline);
    (!quiet).then(|| words::message_error(message, &StanzaError::new(Condition::ServiceUnavailable)))
}

fn blocked(message: Message) -> Option<Bytes> {
    (message.kind != MessageType::Error).then(|| words::message_error(message, &words::blocked_by_sender()))
}

const NS_HINTS: &str = "urn:xmpp:hints";
const NS_CARBONS: &str = "urn:xmpp:carbons:2";
const NS_EVENT: &str = "http://jabber.org/protocol/pubsub#event";
const NS_CHATSTATES: &str = "http://jabber.org/protocol/chatstates";
/// Receipts, chat states, displayed markers.
const IM_NAMESPACES: &[&str] = &["urn:xmpp:receipts", NS_CHATSTATES, "urn:xmpp:chat-markers:0"];
