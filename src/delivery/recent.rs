//! What was committed last, so that a session can begin where it became available although its
//! subscriptions are read a little later.
//!
//! Every commit of events is noted here with the position that its node had before: a few words,
//! whoever subscribes to the node. A session that has read its subscriptions looks up which of their
//! nodes have grown since its moment.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::pubsub::{NodeKey, Seq};

/// A place in the order of all commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

#[derive(Clone, Default)]
pub(super) struct Recent {
    ring: Arc<Mutex<Ring>>,
}

#[derive(Default)]
struct Ring {
    /// The number of the oldest commit that is kept.
    first: u64,
    /// The node that grew, and where its log stood before.
    commits: VecDeque<(NodeKey, Seq)>,
    /// Moments that somebody still asks from, and how many do.
    held: BTreeMap<Moment, usize>,
}

/// Keeps what was committed since a moment until it is dropped.
pub(super) struct Hold {
    recent: Recent,
    moment: Moment,
}

impl Recent {
    /// Now: what is committed from here on is news to whoever has this.
    pub fn moment(&self) -> Moment {
        let ring = self.lock();
        Moment(ring.first + ring.commits.len() as u64)
    }

    pub fn note(&self, node: NodeKey, before: Seq) {
        let mut ring = self.lock();
        ring.commits.push_back((node, before));
        let kept = if ring.held.is_empty() { KEPT_IDLE } else { KEPT_MAX };
        let wanted = ring.held.first_key_value().map_or(u64::MAX, |(moment, _)| moment.0);
        while ring.commits.len() > kept || (ring.commits.len() > KEPT_IDLE && ring.first < wanted) {
            ring.commits.pop_front();
            ring.first += 1;
        }
    }

    /// The moment just before a commit of this node that began at this position; nothing where it is not
    /// remembered any more.
    pub fn moment_of(&self, node: NodeKey, before: Seq) -> Option<Moment> {
        let ring = self.lock();
        let found = ring.commits.iter().rposition(|commit| *commit == (node, before))?;
        Some(Moment(ring.first + found as u64))
    }

    pub fn hold(&self, moment: Moment) -> Hold {
        *self.lock().held.entry(moment).or_default() += 1;
        Hold { recent: self.clone(), moment }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// Where each node that has grown since stood at the moment; nothing where more was committed
    /// since than is kept.
    pub fn grown(&self) -> Option<HashMap<NodeKey, Seq>> {
        let ring = self.recent.lock();
        let skip = usize::try_from(self.moment.0.checked_sub(ring.first)?).ok()?;
        let mut grown = HashMap::new();
        for (node, before) in ring.commits.iter().skip(skip) {
            grown.entry(*node).or_insert(*before);
        }
        Some(grown)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut ring = self.recent.lock();
        if let Some(holders) = ring.held.get_mut(&self.moment) {
            *holders -= 1;
            if *holders == 0 {
                ring.held.remove(&self.moment);
            }
        }
    }
}

/// Commits that are kept while nobody asks: more than can fall between a moment and its hold.
const KEPT_IDLE: usize = 8192;
/// Commits that are kept at most, 1.5 MiB of them. A session that takes longer than these to read its
/// subscriptions is ended.
const KEPT_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_knows_where_nodes_stood_at_its_moment() {
        let recent = Recent::default();
        recent.note(NodeKey(1), Seq(4));
        let hold = recent.hold(recent.moment());
        for (node, before) in [(2, 7), (1, 5), (2, 8)] {
            recent.note(NodeKey(node), Seq(before));
        }
        let grown = hold.grown().unwrap();
        assert_eq!(grown, HashMap::from([(NodeKey(1), Seq(5)), (NodeKey(2), Seq(7))]));
        assert!(recent.hold(recent.moment()).grown().unwrap().is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded_and_a_hold_notices_when_it_was_not_enough() {
        let recent = Recent::default();
        let early = recent.hold(recent.moment());
        for number in 0..KEPT_MAX as u64 {
            recent.note(NodeKey(1), Seq(number));
        }
        assert_eq!(early.grown().unwrap()[&NodeKey(1)], Seq(0));
        recent.note(NodeKey(1), Seq(0));
        assert_eq!(recent.lock().commits.len(), KEPT_MAX);
        assert!(early.grown().is_none());
        drop(early);
        recent.note(NodeKey(1), Seq(0));
        assert_eq!(recent.lock().commits.len(), KEPT_IDLE);
    }
}
