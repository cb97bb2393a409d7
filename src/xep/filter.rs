//! XEP-0462: PubSub Type Filtering. Of the nodes of a service those are discovered whose `pubsub#type` is among some,
//! or is not.
//!
//! Nodes are not stored by their types: pages of all of them are gone through until one page of those that are wanted
//! is full. How many there are in all is told to who asks for nothing else.

use crate::engine::{Answer, Engine};
use crate::pubsub::{Edge, Node, Page, Request, Verb};
use crate::xep::disco::NS_ITEMS;
use crate::xep::rsm::{self, Wanted};
use crate::xep::{Asked, Body, Entity, Extension, Feature, Work, bad_request, personal, pubsub};
use crate::xml::Element;
use crate::xmpp::{Condition, Form, SetResult, StanzaError};

pub(super) const EXTENSION: Extension = Extension {
    number: 462,
    name: "PubSub Type Filtering",
    version: "0.1.1",
    features: &[Feature::always(NS_FILTER, &[Entity::Service, Entity::Account])],
    claims: &[],
};

/// Which types are wanted; the empty one is that of nodes without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Types {
    Included(Vec<String>),
    Excluded(Vec<String>),
}

impl Types {
    /// What the `<filter/>` in this element asks for.
    pub(super) fn of(query: &Element) -> Result<Option<Self>, StanzaError> {
        let Some(filter) = query.child("filter", NS_FILTER) else { return Ok(None) };
        let form = Form::within(filter).ok().flatten();
        let form = form.filter(|form| form.form_type() == Some(NS_FILTER));
        let form = form.ok_or_else(|| bad_request("a filter has a form of its own type"))?;
        let values = |name: &str| form.field(name).map(|field| field.values.clone());
        match (values("included-types"), values("excluded-types")) {
            (Some(_), Some(_)) => Err(bad_request("types are included or excluded, not both")),
            (Some(included), None) => Ok(Some(Types::Included(included))),
            (None, Some(excluded)) => Ok(Some(Types::Excluded(excluded))),
            (None, None) => Ok(None),
        }
    }

    pub(super) fn have(&self, node: &Node) -> bool {
        let among = |types: &[String]| types.iter().any(|wanted| **wanted == *node.config.payload_type);
        match self {
            Types::Included(types) => among(types),
            Types::Excluded(types) => !among(types),
        }
    }
}

/// The nodes of the service that was asked which have the types.
pub(super) fn nodes(asked: &Asked<'_>, types: Types) -> Result<Work, StanzaError> {
    let slice = asked.options.list_entries_max;
    let wanted = rsm::wanted(&asked.element, slice)?;
    if matches!(wanted.page.edge, Edge::At(_)) {
        // XEP-0059 §2.6.
        let error = StanzaError::new(Condition::FeatureNotImplemented);
        return Err(error.with_text("what is filtered has no numbers"));
    }
    let (engine, service) = (asked.engine.clone(), asked.target.service().clone());
    let first = asked.request(Verb::Nodes { page: Page { max: slice, edge: wanted.page.edge.clone() } });
    Ok(Work::Wait(Box::pin(async move {
        let found = walk(&engine, first, &types, slice, &wanted.page).await?;
        let entries = found.nodes.iter().map(|node| personal::entry(&service, node));
        let query = Element::new("query", NS_ITEMS).with_children(entries);
        Ok(Body::Element(query.with_children(found.notation(&wanted))))
    })))
}

struct Found {
    nodes: Vec<Node>,
    /// How many there were, of which nothing was kept where none are wanted.
    seen: u64,
    more: bool,
}

async fn walk(engine: &Engine, first: Request, types: &Types, slice: u64, page: &Page) -> Result<Found, StanzaError> {
    let backward = matches!(page.edge, Edge::Before(_) | Edge::Last);
    let mut found = Found { nodes: Vec::new(), seen: 0, more: false };
    let mut edge = page.edge.clone();
    for _ in 0..SLICES_MAX {
        let verb = Verb::Nodes { page: Page { max: slice, edge } };
        let answered =
            engine.ask(Request { verb, ..first.clone() }).await.map_err(|wrong| pubsub::errors::wrong(&wrong))?;
        let Answer::Nodes(mut list) = answered.answer else {
            return Err(StanzaError::new(Condition::InternalServerError));
        };
        if backward {
            list.entries.reverse();
        }
        for node in list.entries.into_iter().filter(|node| types.have(node)) {
            found.seen += 1;
            if found.nodes.len() as u64 == page.max && page.max > 0 {
                found.more = true;
                break;
            }
            if page.max > 0 {
                found.nodes.push(node);
            }
        }
        let next = if backward { list.first.map(Edge::Before) } else { list.last.map(Edge::After) };
        match next.filter(|_| !found.more && !list.complete) {
            Some(next) => edge = next,
            None => {
                if backward {
                    found.nodes.reverse();
                }
                return Ok(found);
            }
        }
    }
    let error = StanzaError::new(Condition::ResourceConstraint);
    Err(error.with_text("too many nodes would have to be looked at: ask for those after one that you know"))
}

impl Found {
    fn notation(&self, wanted: &Wanted) -> Option<Element> {
        let name = |node: Option<&Node>| node.map(|node| node.address.node.to_string());
        let count = (wanted.page.max == 0 && self.seen > 0).then_some(self.seen);
        let some = !self.nodes.is_empty() || count.is_some();
        let result =
            SetResult { first: name(self.nodes.first()), first_index: None, last: name(self.nodes.last()), count };
        (some && (wanted.paged || self.more)).then(|| result.to_element())
    }
}

const NS_FILTER: &str = "urn:xmpp:pubsub-filter:0";
/// Slices of a service's nodes that one request goes through.
const SLICES_MAX: usize = 128;
