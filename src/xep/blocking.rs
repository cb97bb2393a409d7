//! XEP-0191: Blocking Command.

use crate::jid::Jid;
use crate::xep::{Asked, Body, Claim, Entity, Extension, Feature, RequestKind, Work, pubsub, roster};
use crate::xml::Element;
use crate::xmpp::{Condition, StanzaError};

pub(super) const EXTENSION: Extension = Extension {
    number: 191,
    name: "Blocking Command",
    version: "1.3",
    features: &[Feature::always(NS_BLOCKING, &[Entity::Server])],
    claims: &[
        Claim { name: "blocklist", ns: NS_BLOCKING, kinds: &[RequestKind::Get], at: &[Entity::Account], handler: list },
        Claim { name: "block", ns: NS_BLOCKING, kinds: &[RequestKind::Set], at: &[Entity::Account], handler: block },
        Claim {
            name: "unblock",
            ns: NS_BLOCKING,
            kinds: &[RequestKind::Set],
            at: &[Entity::Account],
            handler: unblock,
        },
    ],
};

/// XEP-0191 §3.2.
fn list(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    asked.own_account()?;
    let (session, messaging) = (asked.session()?, asked.messaging.clone());
    Ok(Work::Wait(Box::pin(async move {
        let blocked = messaging.block_list(&session).await.map_err(|failure| pubsub::errors::failed(&failure))?;
        let items = blocked.iter().map(|jid| Element::new("item", NS_BLOCKING).with_attr("jid", jid.to_string()));
        Ok(Body::Element(Element::new("blocklist", NS_BLOCKING).with_children(items)))
    })))
}

/// XEP-0191 §3.3.
fn block(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    asked.own_account()?;
    let jids = items(&asked.element)?;
    if jids.is_empty() {
        return Err(StanzaError::new(Condition::BadRequest).with_text("who shall be blocked"));
    }
    let (owner, messaging) = (asked.caller.jid.bare().clone(), asked.messaging.clone());
    if jids.iter().any(|jid| *jid.bare() == owner) {
        return Err(StanzaError::new(Condition::NotAllowed).with_text("nobody can block himself"));
    }
    Ok(Work::Wait(Box::pin(async move {
        messaging.block(&owner, jids).await.map(|()| Body::Empty).map_err(|wrong| roster::error(&wrong))
    })))
}

/// XEP-0191 §3.4, §3.5.
fn unblock(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    asked.own_account()?;
    let jids = items(&asked.element)?;
    let (owner, messaging) = (asked.caller.jid.bare().clone(), asked.messaging.clone());
    Ok(Work::Wait(Box::pin(async move {
        messaging.unblock(&owner, jids).await.map(|()| Body::Empty).map_err(|wrong| roster::error(&wrong))
    })))
}

fn items(element: &Element) -> Result<Vec<Jid>, StanzaError> {
    let mut jids: Vec<Jid> = Vec::new();
    for item in element.children() {
        if !item.is("item", NS_BLOCKING) {
            return Err(StanzaError::new(Condition::BadRequest));
        }
        let jid = item.attr("jid").ok_or_else(|| StanzaError::new(Condition::BadRequest))?;
        let jid = Jid::parse(jid).map_err(|_| StanzaError::new(Condition::JidMalformed))?;
        if !jids.contains(&jid) {
            jids.push(jid);
        }
    }
    Ok(jids)
}

const NS_BLOCKING: &str = "urn:xmpp:blocking";
