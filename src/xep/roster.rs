//! XEP-0237, and with it the roster of RFC 6121 §2: asked for, changed, pushed.

use std::sync::Arc;

use crate::im::{Refusal, Wanted};
use crate::jid::{BareJid, Jid};
use crate::messaging::{RosterAnswer, Wrong, roster_item};
use crate::xep::{Asked, Body, Claim, Entity, Extension, RequestKind, Work, pubsub};
use crate::xml::Element;
use crate::xmpp::{Condition, StanzaError};

pub(super) const EXTENSION: Extension = Extension {
    number: 237,
    name: "Roster Versioning",
    version: "1.3",
    features: &[],
    claims: &[
        Claim { name: "query", ns: NS_ROSTER, kinds: &[RequestKind::Get], at: WHOSE, handler: get },
        Claim { name: "query", ns: NS_ROSTER, kinds: &[RequestKind::Set], at: WHOSE, handler: set },
    ],
};

/// RFC 6121 §2.1.3.
fn get(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    asked.own_account()?;
    if asked.element.children().next().is_some() {
        return Err(StanzaError::new(Condition::BadRequest).with_text("who asks for the roster names no items"));
    }
    let session = asked.session()?;
    let known = asked.element.attr("ver").map(str::to_owned);
    let messaging = asked.messaging.clone();
    Ok(Work::Wait(Box::pin(async move {
        match messaging.roster(&session, known.as_deref()).await {
            Ok(RosterAnswer::AsKnown) => Ok(Body::Empty),
            Ok(RosterAnswer::Whole { version, items }) => {
                let query = Element::new("query", NS_ROSTER).with_attr("ver", version);
                Ok(Body::Element(query.with_children(items.iter().map(roster_item))))
            }
            Err(failure) => Err(pubsub::errors::failed(&failure)),
        }
    })))
}

/// RFC 6121 §2.3 to §2.5.
fn set(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    asked.own_account()?;
    let bad = |why: &str| StanzaError::new(Condition::BadRequest).with_text(why);
    let mut items = asked.element.children();
    let (Some(item), None) = (items.next(), items.next()) else {
        return Err(bad("a change of the roster names exactly one item"));
    };
    if !item.is("item", NS_ROSTER) {
        return Err(bad("a change of the roster names an item"));
    }
    let jid = match item.attr("jid").map(Jid::parse) {
        Some(Ok(Jid::Bare(jid))) => jid,
        Some(Ok(Jid::Full(_))) => return Err(bad("a contact has no resource")),
        Some(Err(_)) => return Err(StanzaError::new(Condition::JidMalformed)),
        None => return Err(bad("an item has a jid")),
    };
    let (owner, messaging) = (asked.caller.jid.bare().clone(), asked.messaging.clone());
    if item.attr("subscription") == Some("remove") {
        return Ok(Work::Wait(Box::pin(async move {
            messaging.remove_contact(&owner, &jid).await.map(|()| Body::Empty).map_err(|wrong| error(&wrong))
        })));
    }
    let wanted = wanted(item, jid);
    Ok(Work::Wait(Box::pin(async move {
        messaging.write_contact(&owner, wanted).await.map(|()| Body::Empty).map_err(|wrong| error(&wrong))
    })))
}

/// Every other value of `subscription`, and `ask`, are for the server to say (RFC 6121 §2.1.2).
fn wanted(item: &Element, jid: BareJid) -> Wanted {
    let groups = item.children().filter(|child| child.is("group", NS_ROSTER)).map(|group| Arc::from(group.text()));
    Wanted { jid, name: item.attr("name").map(Arc::from), groups: groups.collect() }
}

/// RFC 6121 §2.3.3, §2.5.3.
pub(super) fn error(wrong: &Wrong) -> StanzaError {
    let refusal = match wrong {
        Wrong::Failed(failure) => return pubsub::errors::failed(failure),
        Wrong::Refused(refusal) => refusal,
    };
    let (condition, text) = match refusal {
        Refusal::ItemAbsent => (Condition::ItemNotFound, "no such contact is in the roster".to_owned()),
        Refusal::TooManyItems { items_max } => {
            (Condition::PolicyViolation, format!("a roster has at most {items_max} entries"))
        }
        Refusal::NameTooLong { bytes_max } => {
            (Condition::NotAcceptable, format!("a name has at most {bytes_max} bytes"))
        }
        Refusal::GroupEmpty => (Condition::NotAcceptable, "a group has a name".to_owned()),
        Refusal::GroupTooLong { bytes_max } => {
            (Condition::NotAcceptable, format!("the name of a group has at most {bytes_max} bytes"))
        }
        Refusal::GroupTwice => (Condition::BadRequest, "a group is named twice".to_owned()),
        Refusal::TooManyGroups { groups_max } => {
            (Condition::NotAcceptable, format!("a contact is in at most {groups_max} groups"))
        }
        Refusal::OwnAddress => (Condition::NotAllowed, "nobody is a contact of his own".to_owned()),
        Refusal::TooManyBlocked { blocked_max } => {
            (Condition::PolicyViolation, format!("at most {blocked_max} addresses may be blocked"))
        }
    };
    StanzaError::new(condition).with_text(text)
}

/// Others are told that it is not for them (RFC 6121 §2.3.3).
const WHOSE: &[Entity] = &[Entity::Account, Entity::Contact];
const NS_ROSTER: &str = "jabber:iq:roster";
