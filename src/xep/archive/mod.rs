//! XEP-0313: Message Archive Management, of an account's messages and of nodes. What is kept of
//! messages is decided where they are delivered (`messaging`).

mod node;
mod preferences;
mod words;

use crate::jid::{BareJid, FullJid, Jid};
use crate::messaging::{ArchiveWish, Messaging, WishPlace};
use crate::time::Timestamp;
use crate::xep::{Asked, Body, Claim, Entity, Extension, Feature, RequestKind, Work, pubsub};
use crate::xml::Element;
use crate::xmpp::{Condition, Place, StanzaError};

pub(super) use node::EXTENSION as OF_NODES;
pub(super) use preferences::EXTENSION as PREFERENCES;
use words::{Found, Wish};

pub(super) const EXTENSION: Extension = Extension {
    number: 313,
    name: "Message Archive Management",
    version: "1.1.3",
    features: &[
        Feature::always(NS_MAM, &[Entity::Account]),
        Feature::always("urn:xmpp:mam:2#extended", &[Entity::Account]),
        // Nothing of groups is in an archive, and a form that asks about it is understood.
        Feature::always("urn:xmpp:mam:2#groupchat-field", &[Entity::Account]),
    ],
    claims: &[
        Claim { name: "query", ns: NS_MAM, kinds: &[RequestKind::Get], at: WHERE, handler: fields },
        Claim { name: "query", ns: NS_MAM, kinds: &[RequestKind::Set], at: WHERE, handler: query },
        Claim { name: "metadata", ns: NS_MAM, kinds: &[RequestKind::Get], at: WHERE, handler: metadata },
    ],
};

/// XEP-0359: the archives give the ids, and take out those that claim to be theirs.
pub(super) const STANZA_IDS: Extension = Extension {
    number: 359,
    name: "Unique and Stable Stanza IDs",
    version: "0.7.0",
    features: &[Feature::always("urn:xmpp:sid:0", &[Entity::Account])],
    claims: &[],
};

/// Whether a feature is offered to this entity while there are no archives of messages.
pub(super) fn offers_without_messages(entity: Entity, var: &str) -> bool {
    !var.starts_with(NS_MAM) || matches!(entity, Entity::Service | Entity::Node)
}

/// XEP-0313 §4.1.5.
fn fields(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    if of_node(asked) {
        return node::fields(asked);
    }
    own_archive(asked)?;
    Ok(Work::Done(Body::Element(Element::new("query", NS_MAM).with_child(words::form().to_element()))))
}

/// XEP-0313 §4.
fn query(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    if of_node(asked) {
        return node::query(asked);
    }
    let session = own_archive(asked)?;
    let wish = Wish::parse(&asked.element, asked.options.page_items_max)?;
    let (messaging, bytes_max) = (asked.messaging.clone(), asked.options.page_bytes_max);
    Ok(Work::Wait(Box::pin(async move {
        let Wish { query_id, flip, with, start, end, after, before, these, place, max } = wish;
        let place = match place {
            Place::First => WishPlace::First,
            Place::Last => WishPlace::Last,
            Place::After(id) => WishPlace::After(id),
            Place::Before(id) => WishPlace::Before(id),
            // XEP-0059 §2.6.
            Place::Index(_) => return Err(StanzaError::new(Condition::FeatureNotImplemented)),
        };
        let wish = ArchiveWish { with, start, end, after, before, these, place, max, bytes_max };
        let found = messaging.look_into_archive(session.bare(), wish).await;
        let found = found.map_err(|failure| pubsub::errors::failed(&failure))?;
        let messages = found.messages.iter().map(|message| Found {
            id: message.id.clone(),
            time: message.time,
            stanza: message.xml.to_vec(),
        });
        let part = words::Part { complete: found.complete, count: found.count };
        Ok(words::results(
            &Jid::Full(session.clone()),
            session.bare(),
            query_id.as_deref(),
            flip,
            messages.collect(),
            part,
        ))
    })))
}

/// XEP-0313 §5.
fn metadata(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    if of_node(asked) {
        return node::metadata(asked);
    }
    let session = own_archive(asked)?;
    let messaging = asked.messaging.clone();
    Ok(Work::Wait(Box::pin(async move {
        let ends = messaging.archive_ends(session.bare()).await;
        let ends = ends.map_err(|failure| pubsub::errors::failed(&failure))?;
        Ok(Body::Element(metadata_element(ends)))
    })))
}

/// What a session is told of its account's archive when it is bound (XEP-0386 §3.2); nothing where there is none.
pub async fn at_binding(messaging: &Messaging, account: &BareJid) -> Option<Element> {
    if !messaging.archives() {
        return None;
    }
    match messaging.archive_ends(account).await {
        Ok(ends) => Some(metadata_element(ends)),
        Err(failure) => {
            tracing::warn!(%failure, %account, "what an archive holds cannot be told; the client asks if it wants to know");
            None
        }
    }
}

/// The id of a message, and when it came.
type Times = (String, Timestamp);

fn metadata_element(ends: Option<[Times; 2]>) -> Element {
    let end = |name: &str, (id, time): Times| {
        Element::new(name, NS_MAM).with_attr("id", id).with_attr("timestamp", time.to_string())
    };
    let metadata = Element::new("metadata", NS_MAM);
    match ends {
        Some([first, last]) => metadata.with_child(end("start", first)).with_child(end("end", last)),
        None => metadata,
    }
}

/// A service has no archive but those of its nodes.
fn of_node(asked: &Asked<'_>) -> bool {
    asked.element.attr("node").is_some() || asked.target.entity() == Entity::Service
}

/// The session that asks, if the archive is its own (XEP-0313 §8.1).
fn own_archive(asked: &Asked<'_>) -> Result<FullJid, StanzaError> {
    if !asked.messaging.archives() {
        return Err(StanzaError::new(Condition::ServiceUnavailable));
    }
    asked.own_account()?;
    asked.session()
}

const WHERE: &[Entity] = &[Entity::Account, Entity::Contact, Entity::Service];
/// Others are told that it is not for them.
const WHOSE: &[Entity] = &[Entity::Account, Entity::Contact];
const NS_MAM: &str = "urn:xmpp:mam:2";
