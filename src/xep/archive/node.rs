//! XEP-0442: Pubsub Message Archive Management. The archive of a node is its log; whoever may retrieve
//! its items may ask for it. A message's id is the node's cursor behind the event.

use super::words::{self, Found, Part, Wish};
use super::{NS_MAM, Times, metadata_element};
use crate::delivery::Cursors;
use crate::engine::{Answer, Engine, Entry, Position};
use crate::jid::BareJid;
use crate::pubsub::{Event, Node, NodeId, Reply, Request, Seq, Verb};
use crate::store::{ArchivePage, ArchivePlace, ArchiveRange, Failure};
use crate::xep::pubsub::{errors, notify};
use crate::xep::{Asked, Body, Entity, Extension, Feature, Work};
use crate::xml::Element;
use crate::xmpp::{Condition, Place, StanzaError};

pub(in crate::xep) const EXTENSION: Extension = Extension {
    number: 442,
    name: "Pubsub Message Archive Management",
    version: "0.2.0",
    features: &[
        Feature::always(NS_MAM, &[Entity::Service, Entity::Node]),
        Feature::always("urn:xmpp:mam:2#extended", &[Entity::Service, Entity::Node]),
    ],
    claims: &[],
};

/// The fields by which it is searched, of those who may.
pub(super) fn fields(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    let archive = NodeArchive::of(asked)?;
    Ok(Work::Wait(Box::pin(async move {
        let node = archive.readable().await?;
        let query = Element::new("query", NS_MAM).with_attr("node", node.address.node.as_str());
        Ok(Body::Element(query.with_child(words::form().to_element())))
    })))
}

/// XEP-0442 §2.
pub(super) fn query(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    let archive = NodeArchive::of(asked)?;
    let mut wish = Wish::parse(&asked.element, asked.options.page_items_max)?;
    let (flip, query_id, with) = (wish.flip, wish.query_id.take(), wish.with.take());
    let bytes_max = asked.options.page_bytes_max;
    Ok(Work::Wait(Box::pin(async move {
        let node = archive.readable().await?;
        let publisher = with.map(|with| with.bare().clone());
        let mut range = archive.range(&node, wish, bytes_max)?;
        if publisher.is_some() && !node.config.tells_publishers() {
            // Who published what is nothing to be found out by asking.
            range.these = Some(Vec::new());
        }
        let page = archive.read(&node, publisher, range).await?;
        let found = page.entries.iter().map(|event| archive.found(&node, event)).collect();
        let part = Part { complete: page.complete, count: page.count };
        let caller = &archive.request.caller.jid;
        Ok(words::results(caller, &archive.request.service, query_id.as_deref(), flip, found, part))
    })))
}

/// XEP-0313 §5.
pub(super) fn metadata(asked: &Asked<'_>) -> Result<Work, StanzaError> {
    let archive = NodeArchive::of(asked)?;
    Ok(Work::Wait(Box::pin(async move {
        let node = archive.readable().await?;
        let mut ends: Vec<Times> = Vec::new();
        for place in [ArchivePlace::First, ArchivePlace::Last] {
            let page = archive.read(&node, None, ArchiveRange { place, ..ArchiveRange::all(1) }).await?;
            ends.extend(page.entries.first().map(|event| (archive.id(&node, event), event.time)));
        }
        Ok(Body::Element(metadata_element(<[Times; 2]>::try_from(ends).ok())))
    })))
}

struct NodeArchive {
    engine: Engine,
    cursors: Cursors,
    /// Asks whether the caller may read the node.
    request: Request,
}

impl NodeArchive {
    fn of(asked: &Asked<'_>) -> Result<Self, StanzaError> {
        let name = asked.element.attr("node").filter(|node| !node.is_empty()).ok_or_else(errors::node_required)?;
        let node = NodeId::parse(name).ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?;
        let cursors = Cursors::new(asked.engine.identity());
        Ok(NodeArchive { engine: asked.engine.clone(), cursors, request: asked.request(Verb::Watch { node }) })
    }

    /// The node, if the caller may retrieve its items.
    async fn readable(&self) -> Result<std::sync::Arc<Node>, StanzaError> {
        let answered = self.engine.ask(self.request.clone()).await.map_err(|wrong| errors::wrong(&wrong))?;
        match answered.answer {
            Answer::Reply(Reply::Watching { node }) => Ok(node),
            _ => Err(StanzaError::new(Condition::InternalServerError)),
        }
    }

    fn range(&self, node: &Node, wish: Wish, bytes_max: usize) -> Result<ArchiveRange, StanzaError> {
        let seq = |id: String| {
            let seq = self.cursors.decode(&id, node.key).ok().and_then(|seq| i64::try_from(seq.0).ok());
            seq.ok_or_else(|| errors::failed(&Failure::NoSuchEdge))
        };
        Ok(ArchiveRange {
            start: wish.start,
            end: wish.end,
            after: wish.after.map(seq).transpose()?,
            before: wish.before.map(seq).transpose()?,
            these: wish.these.map(|ids| ids.into_iter().map(seq).collect()).transpose()?,
            place: match wish.place {
                Place::First => ArchivePlace::First,
                Place::Last => ArchivePlace::Last,
                Place::After(id) => ArchivePlace::After(seq(id)?),
                Place::Before(id) => ArchivePlace::Before(seq(id)?),
                // XEP-0059 §2.6.
                Place::Index(_) => return Err(StanzaError::new(Condition::FeatureNotImplemented)),
            },
            max: wish.max,
            bytes_max,
        })
    }

    /// What was read is shown to nobody who may not read it any more.
    async fn read(
        &self,
        node: &Node,
        publisher: Option<BareJid>,
        range: ArchiveRange,
    ) -> Result<ArchivePage<Event>, StanzaError> {
        let page = self.engine.store().read_published(node.key, publisher, range).await;
        let page = page.map_err(|failure| errors::failed(&failure))?;
        let now = self.readable().await?;
        if now.key == node.key { Ok(page) } else { Err(StanzaError::new(Condition::ItemNotFound)) }
    }

    fn found(&self, node: &Node, event: &Event) -> Found {
        let entry = Entry::new(node.key, node.address.clone().into(), event.clone(), node.config.clone());
        let mut stanza = notify::head_unaddressed(&node.address.service).to_vec();
        stanza.extend_from_slice(notify::body(&entry));
        Found { id: self.id(node, event), time: event.time, stanza }
    }

    fn id(&self, node: &Node, event: &Event) -> String {
        self.cursors.encode(Position { node: node.key, seq: Seq(event.seq.0) })
    }
}
