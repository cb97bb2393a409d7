//! Readings that have been allowed.

use super::Answer;
use crate::pubsub::Read;
use crate::store::{Failure, Store};

pub(super) async fn fetch(store: &dyn Store, read: Read) -> Result<Answer, Failure> {
    Ok(match read {
        Read::Items { node, selection, page, order, payloads } => {
            let list = store.read_items_by(node.key, selection, page, order, payloads).await?;
            Answer::Items { node, list }
        }
        Read::Configuration { node } => {
            let (collections, children) = store.read_relations(node.key).await?;
            Answer::Configuration { node, collections, children }
        }
        Read::Children { node, hidden } => {
            let children_max = usize::try_from(node.config.children_max).unwrap_or(usize::MAX);
            let children = store.read_descendants(node.key, 1, children_max).await?;
            let shown = children.into_iter().map(|(child, _)| child).filter(|child| hidden || !child.config.hidden);
            Answer::Children(shown.collect())
        }
        Read::Metadata { node, led } => {
            let leading = store.read_leading(led, LEADING_MAX).await?;
            Answer::Metadata { node, leading }
        }
        Read::SubscriptionsOf { service, jid, node, page } => {
            Answer::SubscriptionsOf(store.read_subscriptions_of(service, jid, node, page).await?)
        }
        Read::AffiliationsOf { service, jid, node, page } => {
            Answer::AffiliationsOf(store.read_affiliations_of(service, jid, node, page).await?)
        }
        Read::NodeSubscriptions { node, page } => {
            Answer::NodeSubscriptions(store.read_node_subscriptions(node, page).await?)
        }
        Read::NodeAffiliations { node, page } => {
            Answer::NodeAffiliations(store.read_node_affiliations(node, page).await?)
        }
        Read::Nodes { service, viewer, page } => Answer::Nodes(store.read_nodes(service, viewer, page).await?),
        Read::Pending { service, owner, node } => {
            Answer::Pending(store.read_pending(Some(service), owner, node, PENDING_READ_MAX).await?)
        }
    })
}

/// Owners and publishers that metadata name.
const LEADING_MAX: usize = 64;
/// Those who wait, read at once: an owner looks at no more at a time, and what is answered makes room.
const PENDING_READ_MAX: usize = 256;
