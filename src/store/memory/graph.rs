//! Which nodes stand in which collections.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Kept, State};
use crate::jid::BareJid;
use crate::pubsub::{ABOVE_MAX, Graph, Held, Node, NodeAddress, NodeId, NodeKey, Related};

/// By parent.
pub(super) type Children = BTreeMap<NodeKey, BTreeSet<NodeKey>>;

impl State {
    pub(super) fn graph(&self, service: &BareJid, node: Option<NodeId>, named: &[NodeId], caller: &BareJid) -> Graph {
        let related = |key: &NodeKey| self.nodes.get(key).map(|kept| self.related(kept, caller));
        let at = |node: &NodeId| NodeAddress { service: service.clone(), node: node.clone() };
        let own = node.and_then(|node| self.keys.get(&at(&node)));
        Graph {
            parents: own.map(|own| self.parents(*own)).unwrap_or_default().iter().filter_map(related).collect(),
            children: own.map(|own| self.children_of(*own)).unwrap_or_default(),
            above: own.map(|own| self.above(*own)).unwrap_or_default(),
            named: named.iter().filter_map(|name| self.keys.get(&at(name))).filter_map(related).collect(),
        }
    }

    pub(super) fn relations(&self, node: NodeKey) -> (Vec<NodeId>, Vec<NodeId>) {
        let name = |key: &NodeKey| self.nodes.get(key).map(|kept| kept.node.address.node.clone());
        let parents = self.parents(node).iter().filter_map(name).collect();
        (parents, self.children_of(node).into_iter().map(|child| child.node).collect())
    }

    pub(super) fn descendants(&self, root: NodeKey, depth: u32, max: usize) -> Vec<(Node, u32)> {
        let mut seen = BTreeSet::from([root]);
        let mut found = Vec::new();
        let mut level = vec![root];
        for distance in 1..=depth {
            let below: Vec<NodeKey> = level
                .iter()
                .flat_map(|parent| self.children_of(*parent))
                .map(|held| held.key)
                .filter(|key| seen.insert(*key))
                .collect();
            if below.is_empty() {
                break;
            }
            found.extend(below.iter().filter_map(|key| Some(((*self.nodes.get(key)?.node).clone(), distance))));
            level = below;
        }
        found.truncate(max);
        found
    }

    fn parents(&self, node: NodeKey) -> Vec<NodeKey> {
        let holds = |(_, children): &(&NodeKey, &BTreeSet<NodeKey>)| children.contains(&node);
        let mut parents: Vec<NodeKey> = self.children.iter().filter(holds).map(|(parent, _)| *parent).collect();
        parents.sort_by_key(|key| self.nodes.get(key).map(|kept| kept.node.address.node.clone()));
        parents
    }

    fn children_of(&self, node: NodeKey) -> Vec<Held> {
        let held = |key: &NodeKey| {
            let node = &self.nodes.get(key)?.node;
            Some(Held { node: node.address.node.clone(), key: *key, hidden: node.config.hidden })
        };
        let mut children: Vec<Held> = self.children.get(&node).into_iter().flatten().filter_map(held).collect();
        children.sort();
        children
    }

    fn above(&self, node: NodeKey) -> Vec<NodeKey> {
        let mut found: Vec<NodeKey> = Vec::new();
        let mut level = vec![node];
        while let Some(next) = level.pop() {
            for parent in self.parents(next) {
                if found.len() <= ABOVE_MAX && !found.contains(&parent) {
                    found.push(parent);
                    level.push(parent);
                }
            }
        }
        found
    }

    fn related(&self, kept: &Kept, caller: &BareJid) -> Related {
        let key = kept.node.key;
        Related {
            node: Arc::clone(&kept.node),
            affiliation: kept.affiliations.get(caller).copied().unwrap_or_default(),
            subscribed: kept.subscriptions.values().any(|found| found.jid.bare() == caller),
            above: self.above(key),
            children: self.children.get(&key).map_or(0, |children| children.len() as u64),
            parents: self.parents(key).len() as u64,
        }
    }

    /// Nothing holds a node that has gone, and it holds nothing.
    pub(super) fn unlink(&mut self, node: NodeKey) {
        self.children.remove(&node);
        for children in self.children.values_mut() {
            children.remove(&node);
        }
    }
}
