//! XEP-0163: Personal Eventing Protocol. An account is a pub/sub service; what is said to it is said in
//! the words of `pubsub`, and who is notified of what is found by `delivery`.

use std::pin::Pin;

use crate::engine::Answer;
use crate::jid::BareJid;
use crate::messaging::Messaging;
use crate::pubsub::{Caller, Node, Request, Verb};
use crate::xep::disco::{NS_INFO, NS_ITEMS};
use crate::xep::filter::Types;
use crate::xep::{Asked, Body, Entity, Extension, Feature, Work, pubsub};
use crate::xml::Element;
use crate::xmpp::{Condition, Iq, IqKind, StanzaError};

pub(super) const EXTENSION: Extension = Extension {
    number: 163,
    name: "Personal Eventing Protocol",
    version: "1.2.2",
    features: &[
        Feature::always("http://jabber.org/protocol/pubsub#auto-subscribe", &[Entity::Account]),
        Feature::always("http://jabber.org/protocol/pubsub#filtered-notifications", &[Entity::Account]),
        Feature::always("http://jabber.org/protocol/pubsub#presence-subscribe", &[Entity::Account]),
        Feature::always("http://jabber.org/protocol/pubsub#pubsub-on-a-jid", &[Entity::Account]),
    ],
    claims: &[],
};

/// Whether a request may reach an account of somebody else.
pub(super) type Admission = Pin<Box<dyn Future<Output = Result<(), StanzaError>> + Send>>;

/// Who is blocked reaches nobody (XEP-0191 §3.3); and what an account is learns only who may see its
/// presence, for there would be no other answer if it did not exist (XEP-0030 §8, RFC 6121 §8.5.1).
pub(super) fn admission(messaging: &Messaging, caller: &Caller, to: &BareJid, iq: &Iq) -> Admission {
    let asks_what = match &iq.kind {
        IqKind::Get(asked) => {
            asked.attr("node").is_none() && (asked.is("query", NS_INFO) || asked.is("query", NS_ITEMS))
        }
        _ => false,
    };
    let (messaging, from, to) = (messaging.clone(), caller.jid.clone(), to.clone());
    Box::pin(async move {
        let access = messaging.access(&from, &to).await.map_err(|failure| pubsub::errors::failed(&failure))?;
        if let Some(error) = access.refusal {
            return Err(error);
        }
        if asks_what && !access.shares { Err(StanzaError::new(Condition::ServiceUnavailable)) } else { Ok(()) }
    })
}

/// The nodes of somebody else's account that the caller may read (XEP-0163 §6.2). They are few, and come
/// on one page.
pub(super) fn readable_nodes(asked: &Asked<'_>, types: Option<Types>) -> Work {
    let (engine, caller, service) = (asked.engine.clone(), asked.caller.clone(), asked.target.service().clone());
    let list =
        asked.request(Verb::Nodes { page: crate::pubsub::Page { max: NODES_MAX, edge: crate::pubsub::Edge::First } });
    Work::Wait(Box::pin(async move {
        let answered = engine.ask(list).await.map_err(|wrong| pubsub::errors::wrong(&wrong))?;
        let Answer::Nodes(list) = answered.answer else {
            return Err(StanzaError::new(Condition::InternalServerError));
        };
        let mut query = Element::new("query", NS_ITEMS);
        for node in list.entries.into_iter().filter(|node| types.as_ref().is_none_or(|types| types.have(node))) {
            let verb = Verb::Watch { node: node.address.node.clone() };
            let may = Request { caller: caller.clone(), service: service.clone(), verb };
            if engine.ask(may).await.is_ok() {
                query.push(entry(&service, &node));
            }
        }
        Ok(Body::Element(query))
    }))
}

/// One node among those of a service (XEP-0060 §5.2).
pub(super) fn entry(service: &BareJid, node: &Node) -> Element {
    let name = Some(&*node.config.title).filter(|title| !title.is_empty());
    Element::new("item", NS_ITEMS)
        .with_attr("jid", service.as_str())
        .with_attr("node", node.address.node.as_str())
        .with_attr_opt("name", name)
}

/// Nodes of one account that are looked at for somebody else.
const NODES_MAX: u64 = 256;
