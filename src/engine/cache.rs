//! Facts that were gathered before, bounded in number. Written by the turn alone.

use std::collections::{HashMap, VecDeque};

use crate::jid::BareJid;
use crate::pubsub::{Affiliation, ItemFact, NodeAddress, NodeState, Seq, Subscription};
use crate::store::{Ask, Found};

pub(super) struct Cache {
    nodes: HashMap<NodeAddress, Hot>,
    facts: usize,
    facts_max: usize,
    /// Counts turns; what was used longest ago goes first.
    now: u64,
}

/// What is known of one name. Of people only those who were asked for.
pub(super) struct Hot {
    pub state: NodeState,
    pub affiliations: HashMap<BareJid, Affiliation>,
    pub subscriptions: HashMap<BareJid, Vec<Subscription>>,
    pub oldest: Option<Window>,
    used: u64,
}

/// The oldest items of a node, in order of seq.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    pub items: VecDeque<ItemFact>,
    /// There are no items beyond.
    pub complete: bool,
}

impl Cache {
    pub fn new(facts_max: usize) -> Self {
        Cache { nodes: HashMap::new(), facts: 0, facts_max, now: 0 }
    }

    pub fn of(&mut self, address: &NodeAddress) -> Option<&Hot> {
        let now = self.now;
        self.nodes.get_mut(address).map(|hot| {
            hot.used = now;
            &*hot
        })
    }

    /// The same, and it is no use of it.
    pub fn peek(&self, address: &NodeAddress) -> Option<&Hot> {
        self.nodes.get(address)
    }

    pub fn forget(&mut self, address: &NodeAddress) {
        if let Some(hot) = self.nodes.remove(address) {
            self.facts -= hot.weight();
        }
    }

    pub fn forget_all(&mut self) {
        self.nodes.clear();
        self.facts = 0;
    }

    /// Takes in an answer of the store.
    pub fn learn(&mut self, address: &NodeAddress, ask: Ask, found: Found) {
        if let Found::Node(state) = found {
            let hot = Hot::new(state);
            self.replace(address.clone(), hot);
            return;
        }
        let Some(hot) = self.nodes.get_mut(address) else { return };
        let before = hot.weight();
        match (ask, found) {
            (Ask::Affiliation(_, jid), Found::Affiliation(affiliation)) => {
                hot.affiliations.insert(jid, affiliation);
            }
            (Ask::Subscriptions(_, jid), Found::Subscriptions(subscriptions)) => {
                hot.subscriptions.insert(jid, subscriptions);
            }
            (Ask::Oldest(_, asked), Found::Oldest(items)) => {
                let complete = (items.len() as u64) < asked;
                hot.oldest = Some(Window { items: items.into(), complete });
            }
            (ask, found) => debug_assert!(false, "{ask:?} was answered with {found:?}"),
        }
        self.facts = self.facts - before + hot.weight();
    }

    /// Replaces all that is known of a name.
    pub fn replace(&mut self, address: NodeAddress, mut hot: Hot) {
        hot.used = self.now;
        self.facts += hot.weight();
        if let Some(old) = self.nodes.insert(address, hot) {
            self.facts -= old.weight();
        }
    }

    /// Changes what is known of a name, if anything is.
    pub fn change(&mut self, address: &NodeAddress, change: impl FnOnce(&mut Hot)) {
        if let Some(hot) = self.nodes.get_mut(address) {
            let before = hot.weight();
            change(hot);
            if hot.affiliations.len() + hot.subscriptions.len() > PEOPLE_MAX {
                hot.affiliations = HashMap::new();
                hot.subscriptions = HashMap::new();
            }
            hot.used = self.now;
            self.facts = self.facts - before + hot.weight();
        }
    }

    /// Ends a turn: forgets the names used longest ago while there are too many facts. Half goes at
    /// once, so that a full cache is not sorted at every turn.
    pub fn end_turn(&mut self) {
        self.now += 1;
        if self.facts <= self.facts_max {
            return;
        }
        let mut by_use: Vec<(u64, usize, NodeAddress)> =
            self.nodes.iter().map(|(address, hot)| (hot.used, hot.weight(), address.clone())).collect();
        by_use.sort_unstable_by_key(|(used, _, _)| *used);
        for (_, _, address) in by_use {
            if self.facts <= self.facts_max / 2 {
                break;
            }
            self.forget(&address);
        }
    }
}

impl Hot {
    pub fn new(state: NodeState) -> Self {
        Hot { state, affiliations: HashMap::new(), subscriptions: HashMap::new(), oldest: None, used: 0 }
    }

    /// In facts, each of which takes some 200 bytes; who was asked for is taken to have one subscription. Known
    /// without looking at each: this is asked at every change of a node.
    fn weight(&self) -> usize {
        2 + self.affiliations.len()
            + 2 * self.subscriptions.len()
            + self.oldest.as_ref().map_or(0, |window| window.items.len())
    }
}

impl Window {
    pub fn remove(&mut self, seq: Seq) {
        if let Ok(index) = self.items.binary_search_by_key(&seq, |fact| fact.seq) {
            self.items.remove(index);
        }
    }

    /// Adds a newer item than all, if the window reaches that far.
    pub fn push(&mut self, fact: ItemFact) {
        if !self.complete {
            return;
        }
        if self.items.len() >= WINDOW_MAX {
            self.complete = false;
            return;
        }
        self.items.push_back(fact);
    }
}

/// Of so many people something is remembered for one node that changes: whoever has subscribed and is offline should
/// cost nothing.
const PEOPLE_MAX: usize = 4096;

/// Items that a window holds beyond what a decision asked for.
pub(super) const WINDOW_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::NodeId;

    #[test]
    fn of_very_many_people_nothing_is_remembered() {
        let mut cache = Cache::new(1_000_000);
        let address =
            NodeAddress { service: BareJid::parse("pubsub.localhost").unwrap(), node: NodeId::parse("n").unwrap() };
        cache.replace(address.clone(), Hot::new(NodeState::Absent));
        let least = cache.facts;
        for number in 0..=PEOPLE_MAX {
            let jid = BareJid::parse(&format!("p{number}@localhost")).unwrap();
            cache.change(&address, |hot| drop(hot.subscriptions.insert(jid, Vec::new())));
            assert_eq!(cache.facts, cache.nodes[&address].weight());
        }
        assert_eq!(cache.facts, least);
        assert!(cache.of(&address).is_some(), "the node itself is remembered");
    }
}
