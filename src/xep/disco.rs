//! XEP-0030: Service Discovery, of the server, its pub/sub services, their nodes, and accounts.

use crate::engine::Answer;
use crate::messaging::Messaging;
use crate::pubsub::{Node, NodeId, Payloads, Refusal, Request, Selection, ServicePolicy, Verb, View};
use crate::store::Item;
use crate::xep::filter::{self, Types};
use crate::xep::pubsub::form;
use crate::xep::{
    Asked, Body, Claim, Entity, Extension, Feature, Options, RequestKind, Target, Work, archive, caps, commands,
    features, headers, personal, register, rsm,
};
use crate::xml::Element;
use crate::xmpp::{Condition, StanzaError};

pub(super) const EXTENSION: Extension = Extension {
    number: 30,
    name: "Service Discovery",
    version: "2.5.0",
    features: &[
        Feature::always(NS_INFO, &[Entity::Server, Entity::Service, Entity::Node, Entity::Account]),
        Feature::always(NS_ITEMS, &[Entity::Server, Entity::Service, Entity::Node, Entity::Account]),
    ],
    claims: &[
        Claim { name: "query", ns: NS_INFO, kinds: &[RequestKind::Get], at: AT, handler: info },
        Claim { name: "query", ns: NS_ITEMS, kinds: &[RequestKind::Get], at: AT, handler: items },
    ],
};

/// XEP-0030 §3.
pub(super) fn info(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    if let Some(work) = commands::discovered(asked) {
        return Ok(work);
    }
    let entity = asked.target.entity();
    let account_or_other = match &asked.target {
        Target::Server(_) => return server(asked),
        Target::Service(_) | Target::Account(_) if let Some(work) = headers::discovered(asked) => return Ok(work),
        Target::Service(_) | Target::Account(_) | Target::Contact(_) if asked.element.attr("node").is_some() => {
            return node_info(asked);
        }
        Target::Service(_) => identity("pubsub", "service", &asked.options.service_name),
        // XEP-0060 §6.1.3.6: whether somebody is anonymous is found so.
        Target::Account(_) if asked.is_guest() => identity("account", "anonymous", ""),
        Target::Account(_) | Target::Contact(_) => identity("account", "registered", ""),
    };
    let query = Element::new("query", NS_INFO).with_child(account_or_other);
    // XEP-0163 §6.1.
    let personal = matches!(entity, Entity::Account | Entity::Contact).then(|| identity("pubsub", "pep", ""));
    let query = query.with_children(personal);
    let features = feature_elements(entity, &asked.policy, asked.messaging, asked.options);
    Ok(Work::Done(Body::Element(query.with_children(features))))
}

/// Of a server, and of the nodes that its capabilities name.
fn server(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    let info = server_info(&asked.policy, asked.messaging, asked.options);
    match asked.element.attr("node") {
        None => Ok(Work::Done(Body::Element(info))),
        Some(node) if caps::names(node, &info) => Ok(Work::Done(Body::Element(info.with_attr("node", node)))),
        Some(_) => node_info(asked),
    }
}

/// All that is said of a server, with the form of XEP-0157 beside it (XEP-0128).
pub(super) fn server_info(policy: &ServicePolicy, messaging: &Messaging, options: &Options) -> Element {
    Element::new("query", NS_INFO)
        .with_child(identity("server", "im", &options.server_name))
        .with_child(identity("pubsub", "pep", ""))
        .with_children(feature_elements(Entity::Server, policy, messaging, options))
        .with_children(options.contacts.form().map(|form| form.to_element()))
}

/// XEP-0060 §5.3, §5.4.
fn node_info(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    let node = node(asked)?;
    let features = feature_elements(Entity::Node, &asked.policy, asked.messaging, asked.options);
    let request = asked.request(Verb::Metadata { node: node.clone() });
    Ok(Work::ask(request, move |answered| {
        let Answer::Metadata { node: found, leading } = answered.answer else { return None };
        let query = Element::new("query", NS_INFO)
            .with_attr("node", node.as_str())
            .with_child(identity("pubsub", found.config.node_type.as_str(), &found.config.title))
            .with_children(features);
        Some(Body::Element(query.with_child(form::metadata(&found, &leading).to_element())))
    }))
}

/// XEP-0030 §4.
fn items(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    if let Some(work) = commands::discovered(asked) {
        return Ok(work);
    }
    match &asked.target {
        _ if asked.element.attr("node").is_some() => node_items(asked),
        // Which resources are online is for those who may see their presence (XEP-0030 §8), and they
        // are told by presence: an account's items are its nodes.
        Target::Service(_) | Target::Account(_) => nodes(asked),
        Target::Contact(_) => Ok(personal::readable_nodes(asked, Types::of(&asked.element)?)),
        Target::Server(host) => {
            let services = asked.hosts.iter().filter(|other| other.domain == host.domain).map(|host| {
                Element::new("item", NS_ITEMS)
                    .with_attr("jid", host.service.as_str())
                    .with_attr("name", asked.options.service_name.as_str())
            });
            nodes_after(asked, services.collect())
        }
    }
}

/// XEP-0060 §5.2.
fn nodes(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    nodes_after(asked, Vec::new())
}

/// The same, behind what is no node.
fn nodes_after(asked: &Asked<'_>, first: Vec<Element>) -> Result<Work, StanzaError> {
    if let Some(types) = Types::of(&asked.element)? {
        return filter::nodes(asked, types);
    }
    let wanted = rsm::wanted(&asked.element, asked.options.list_entries_max)?;
    let service = asked.target.service().clone();
    Ok(Work::ask(asked.request(Verb::Nodes { page: wanted.page }), move |answered| {
        let Answer::Nodes(list) = answered.answer else { return None };
        let entry = |node: &Node| personal::entry(&service, node);
        let query = Element::new("query", NS_ITEMS).with_children(first).with_children(list.entries.iter().map(entry));
        Some(Body::Element(query.with_children(rsm::notation(&list, wanted.paged))))
    }))
}

/// XEP-0060 §5.5: a published item is named, and has no `node`. What a collection holds are nodes
/// (XEP-0248 §5.2).
fn node_items(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    let node = node(asked)?;
    let wanted = rsm::wanted(&asked.element, asked.options.page_items_max)?;
    let service = asked.target.service().clone();
    let empty = Body::Element(Element::new("query", NS_ITEMS).with_attr("node", node.as_str()));
    let view = View { payloads: Payloads::Left, ..View::default() };
    let verb = Verb::Items { node: node.clone(), selection: Selection::All, page: wanted.page, view };
    let request = asked.request(verb);
    let work = Work::ask(request, move |answered| {
        let query = Element::new("query", NS_ITEMS).with_attr("node", node.as_str());
        let list = match answered.answer {
            Answer::Items { list, .. } => list,
            Answer::Children(children) => {
                let entries = children.iter().map(|child| personal::entry(&service, child));
                return Some(Body::Element(query.with_children(entries)));
            }
            _ => return None,
        };
        let entry = |item: &Item| {
            Element::new("item", NS_ITEMS).with_attr("jid", service.as_str()).with_attr("name", item.fact.id.as_str())
        };
        let query = query.with_children(list.entries.iter().map(entry));
        Some(Body::Element(query.with_children(rsm::notation(&list, wanted.paged))))
    });
    // A node that keeps nothing has no items, which is no error (XEP-0030 §4.1).
    Ok(work.unless(Refusal::NotPersistent, empty))
}

impl Asked<'_> {
    /// The request to the service that was asked, or whose settings hold.
    pub(super) fn request(&self, verb: Verb) -> Request {
        Request { caller: self.caller.clone(), service: self.target.service().clone(), verb }
    }
}

fn node(asked: &Asked<'_>) -> Result<NodeId, StanzaError> {
    asked.element.attr("node").and_then(NodeId::parse).ok_or_else(no_such_node)
}

fn identity(category: &str, kind: &str, name: &str) -> Element {
    let name = Some(name).filter(|name| !name.is_empty());
    Element::new("identity", NS_INFO)
        .with_attr("category", category)
        .with_attr("type", kind)
        .with_attr_opt("name", name)
}

/// What an entity can, under the operator's settings.
fn feature_elements(entity: Entity, policy: &ServicePolicy, messaging: &Messaging, options: &Options) -> Vec<Element> {
    let offered = |var: &&str| match *var {
        register::NS_REGISTER => options.accounts_are_changed(),
        _ => messaging.archives() || archive::offers_without_messages(entity, var),
    };
    let features = features(entity, policy).into_iter().filter(offered);
    features.map(|var| Element::new("feature", NS_INFO).with_attr("var", var)).collect()
}

fn no_such_node() -> StanzaError {
    StanzaError::new(Condition::ItemNotFound)
}

const AT: &[Entity] = &[Entity::Server, Entity::Service, Entity::Account, Entity::Contact];
pub(super) const NS_INFO: &str = "http://jabber.org/protocol/disco#info";
pub(super) const NS_ITEMS: &str = "http://jabber.org/protocol/disco#items";
