//! Which nodes of the world stand in which, and what a store would say of that.

use std::collections::BTreeSet;

use super::{Place, World};
use crate::jid::BareJid;
use crate::pubsub::{Graph, Node, NodeId, NodeKey, Related};

impl World {
    pub(super) fn graph(&self, own: Option<&NodeId>, named: &[NodeId], caller: &BareJid) -> Graph {
        let related = |name: &NodeId| Some(self.related(self.places.get(name)?, caller)).flatten();
        let own = own.and_then(|own| self.places.get(own)?.node.present()).map(|node| node.key);
        let present = self.present();
        let of_key = |key: &NodeKey| present.iter().find(|(_, node)| node.key == *key).map(|(place, _)| *place);
        let place = own.as_ref().and_then(of_key);
        let name = |key: &NodeKey| Some((of_key(key)?.node.present()?.address.node.clone(), *key));
        Graph {
            parents: own
                .map(|own| self.parents(own))
                .unwrap_or_default()
                .iter()
                .filter_map(of_key)
                .filter_map(|place| self.related(place, caller))
                .collect(),
            children: place.into_iter().flat_map(|place| &place.children).filter_map(name).collect(),
            above: own.map(|own| self.above(own)).unwrap_or_default().into_iter().collect(),
            named: named.iter().filter_map(related).collect(),
        }
    }

    /// What is there.
    pub(in crate::pubsub) fn present(&self) -> Vec<(&Place, &Node)> {
        self.places.values().filter_map(|place| Some((place, &**place.node.present()?))).collect()
    }

    pub(super) fn parents(&self, key: NodeKey) -> Vec<NodeKey> {
        let holds = |(place, _): &(&Place, &Node)| place.children.contains(&key);
        self.present().into_iter().filter(holds).map(|(_, node)| node.key).collect()
    }

    /// What stands above a node; it does itself, where it is within itself.
    pub(super) fn above(&self, key: NodeKey) -> BTreeSet<NodeKey> {
        let mut above = BTreeSet::new();
        let mut next = self.parents(key);
        while let Some(parent) = next.pop() {
            if above.insert(parent) {
                next.extend(self.parents(parent));
            }
        }
        above
    }

    fn related(&self, place: &Place, caller: &BareJid) -> Option<Related> {
        let node = place.node.present()?;
        Some(Related {
            node: node.clone(),
            affiliation: place.affiliation(caller),
            subscribed: !place.subscriptions_of(caller).is_empty(),
            above: self.above(node.key).into_iter().collect(),
            children: place.children.len() as u64,
            parents: self.parents(node.key).len() as u64,
        })
    }
}
