//! XEP-0441: Message Archive Management Preferences.

use super::{NS_MAM, WHOSE, own_archive};
use crate::im::{Policy, Preferences};
use crate::jid::Jid;
use crate::xep::{Asked, Body, Claim, Extension, RequestKind, Work, bad_request, pubsub};
use crate::xml::Element;
use crate::xmpp::{Condition, StanzaError};

pub(in crate::xep) const EXTENSION: Extension = Extension {
    number: 441,
    name: "Message Archive Management Preferences",
    version: "0.2.0",
    features: &[],
    claims: &[
        Claim { name: "prefs", ns: NS_MAM, kinds: &[RequestKind::Get], at: WHOSE, handler: show },
        Claim { name: "prefs", ns: NS_MAM, kinds: &[RequestKind::Set], at: WHOSE, handler: change },
    ],
};

/// XEP-0441 §2.1.
fn show(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    let (session, messaging) = (own_archive(asked)?, asked.messaging.clone());
    Ok(Work::Wait(Box::pin(async move {
        let preferences = messaging.archive_preferences(session.bare()).await;
        Ok(Body::Element(element(&preferences.map_err(|failure| pubsub::errors::failed(&failure))?)))
    })))
}

fn change(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    let (session, messaging) = (own_archive(asked)?, asked.messaging.clone());
    let preferences = parse(&asked.element)?;
    let named_max = messaging.archive_named_max();
    if preferences.always.len() + preferences.never.len() > named_max {
        let error = StanzaError::new(Condition::PolicyViolation);
        return Err(error.with_text(format!("at most {named_max} addresses may be named")));
    }
    Ok(Work::Wait(Box::pin(async move {
        let changed = messaging.set_archive_preferences(session.bare(), preferences.clone()).await;
        changed.map_err(|failure| pubsub::errors::failed(&failure))?;
        Ok(Body::Element(element(&preferences)))
    })))
}

fn parse(prefs: &Element) -> Result<Preferences, StanzaError> {
    let others = prefs.attr("default").and_then(Policy::parse);
    let others = others.ok_or_else(|| bad_request("the default is always, never or roster"))?;
    let list = |name: &str| -> Result<Vec<Jid>, StanzaError> {
        let mut jids = Vec::new();
        for child in prefs.child(name, NS_MAM).into_iter().flat_map(Element::children) {
            if !child.is("jid", NS_MAM) {
                return Err(bad_request("lists are of addresses"));
            }
            let jid = Jid::parse(child.text().trim()).map_err(|_| StanzaError::new(Condition::JidMalformed))?;
            if !jids.contains(&jid) {
                jids.push(jid);
            }
        }
        Ok(jids)
    };
    Ok(Preferences { others, always: list("always")?, never: list("never")? })
}

fn element(preferences: &Preferences) -> Element {
    let list = |name: &str, jids: &[Jid]| {
        let jids = jids.iter().map(|jid| Element::new("jid", NS_MAM).with_text(jid.to_string()));
        Element::new(name, NS_MAM).with_children(jids)
    };
    Element::new("prefs", NS_MAM)
        .with_attr("default", preferences.others.as_str())
        .with_child(list("always", &preferences.always))
        .with_child(list("never", &preferences.never))
}
