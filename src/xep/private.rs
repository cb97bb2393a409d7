//! XEP-0049: Private XML Storage, kept in nodes of the account that nobody else may read (XEP-0223).
//! Bookmarks are those of the node that other clients use (XEP-0411).

use crate::engine::{Answer, Wrong};
use crate::jid::BareJid;
use crate::payload;
use crate::pubsub::{
    Caller, Edge, ItemId, NewItem, NodeId, Page, Precondition, RawField, Refusal, Request, Selection, Verb, View,
};
use crate::xep::pubsub::errors;
use crate::xep::{Asked, Body, Claim, Entity, Extension, Feature, RequestKind, Work, bad_request};
use crate::xml::Element;
use crate::xmpp::{Condition, StanzaError};

pub(super) const EXTENSION: Extension = Extension {
    number: 49,
    name: "Private XML Storage",
    version: "1.2",
    features: &[Feature::always(NS_PRIVATE, &[Entity::Server, Entity::Account])],
    claims: &[
        Claim { name: "query", ns: NS_PRIVATE, kinds: &[RequestKind::Get], at: WHOSE, handler: retrieve },
        Claim { name: "query", ns: NS_PRIVATE, kinds: &[RequestKind::Set], at: WHOSE, handler: store },
    ],
};

pub(super) const BOOKMARKS: Extension = Extension {
    number: 411,
    name: "Bookmarks Conversion",
    version: "1.1.0",
    features: &[Feature::always("urn:xmpp:bookmarks-conversion:0", &[Entity::Account])],
    claims: &[],
};

/// XEP-0049 §2.3. Where nothing is kept, what was asked for comes back as it stands.
fn retrieve(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    asked.own_account()?;
    let mut children = asked.element.children();
    let wanted = match (children.next(), children.next()) {
        (Some(wanted), None) => wanted.clone(),
        (None, _) => return Err(bad_request("what shall be retrieved is not named")),
        (Some(_), Some(_)) => return Err(not_acceptable("one thing is retrieved at a time")),
    };
    let verb = Verb::Items {
        node: node_of(&wanted)?,
        selection: Selection::Newest(1),
        page: Page { max: 1, edge: Edge::First },
        view: View::default(),
    };
    let (engine, request) = (asked.engine.clone(), asked.request(verb));
    Ok(Work::Wait(Box::pin(async move {
        let kept = match engine.ask(request).await {
            Ok(answered) => match answered.answer {
                Answer::Items { list, .. } => list.entries.into_iter().next().and_then(|item| item.payload),
                _ => return Err(StanzaError::new(Condition::InternalServerError)),
            },
            Err(Wrong::Refused(Refusal::NodeAbsent | Refusal::NodeGone { .. })) => None,
            Err(wrong) => return Err(errors::wrong(&wrong)),
        };
        let mut out = format!("<query xmlns='{NS_PRIVATE}'>").into_bytes();
        match kept {
            Some(payload) => out.extend_from_slice(&payload.xml),
            None => wanted.write(&mut out, NS_PRIVATE),
        }
        out.extend_from_slice(b"</query>");
        Ok(Body::Written(out))
    })))
}

fn store(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    asked.own_account()?;
    let requests = asked.element.children().map(|kept| publication(&asked.caller, kept));
    let requests = requests.collect::<Result<Vec<Request>, StanzaError>>()?;
    if requests.is_empty() {
        return Err(not_acceptable("there is nothing to keep"));
    }
    if requests.len() > KEPT_AT_ONCE {
        return Err(not_acceptable("so much is not kept at once"));
    }
    let engine = asked.engine.clone();
    Ok(Work::Wait(Box::pin(async move {
        for request in requests {
            match engine.ask(request).await {
                Ok(_) => {}
                // XEP-0411 §5: others may read it.
                Err(Wrong::Refused(Refusal::OptionsMismatch { .. })) => {
                    let error = StanzaError::new(Condition::Conflict);
                    return Err(error.with_text("the node of this name can be read by others"));
                }
                Err(wrong) => return Err(errors::wrong(&wrong)),
            }
        }
        Ok(Body::Empty)
    })))
}

fn publication(caller: &Caller, kept: &Element) -> Result<Request, StanzaError> {
    let payload = payload::from_element(kept).map_err(|error| errors::invalid_payload(error.to_string()))?;
    let field = |name: &str, value: &str| RawField { name: name.to_owned(), values: vec![value.to_owned()] };
    let item = NewItem { id: ItemId::parse("current"), payload: Some(payload), precondition: Precondition::None };
    let options = Some(vec![field("pubsub#persist_items", "true"), field("pubsub#access_model", "whitelist")]);
    let verb = Verb::Publish { node: node_of(kept)?, items: vec![item], options, create: false };
    let service: BareJid = caller.jid.bare().clone();
    Ok(Request { caller: caller.clone(), service, verb })
}

/// Bookmarks have a node of a known name; everything else one that no other use of nodes has.
fn node_of(element: &Element) -> Result<NodeId, StanzaError> {
    let name = match (element.ns(), element.name()) {
        (NS_PRIVATE | "", _) => return Err(not_acceptable("what is kept has a namespace of its own")),
        ("storage:bookmarks", "storage") => "storage:bookmarks".to_owned(),
        (ns, name) => format!("{NS_PRIVATE}#{{{ns}}}{name}"),
    };
    NodeId::parse(&name).ok_or_else(|| not_acceptable("the namespace is too long"))
}

fn not_acceptable(why: &str) -> StanzaError {
    StanzaError::new(Condition::NotAcceptable).with_text(why)
}

/// Others are told that it is not for them.
const WHOSE: &[Entity] = &[Entity::Account, Entity::Contact];
/// Elements of one request.
const KEPT_AT_ONCE: usize = 16;
const NS_PRIVATE: &str = "jabber:iq:private";
