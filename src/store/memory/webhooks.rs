//! Endpoints and their deliveries that have failed.

use std::collections::{BTreeMap, VecDeque};

use crate::pubsub::{NodeKey, Seq};
use crate::store::{ATTEMPTS_KEPT, Attempted, Parked, Settled, Webhook};

#[derive(Default)]
pub(super) struct Endpoints {
    webhooks: BTreeMap<String, Webhook>,
    parked: BTreeMap<(String, Seq), Parked>,
    attempts: BTreeMap<String, VecDeque<Attempted>>,
}

impl Endpoints {
    pub(super) fn find(&self, id: &str) -> Option<Webhook> {
        self.webhooks.get(id).cloned()
    }

    pub(super) fn put(&mut self, webhook: Webhook) {
        self.webhooks.insert(webhook.id.clone(), webhook);
    }

    pub(super) fn remove(&mut self, id: &str) -> bool {
        self.parked.retain(|(webhook, _), _| webhook != id);
        self.attempts.remove(id);
        self.webhooks.remove(id).is_some()
    }

    pub(super) fn after(&self, after: Option<&str>, max: usize) -> Vec<Webhook> {
        let follows = |webhook: &&Webhook| after.is_none_or(|after| webhook.id.as_str() > after);
        self.webhooks.values().filter(follows).take(max).cloned().collect()
    }

    pub(super) fn of_node(&self, node: NodeKey) -> Vec<Webhook> {
        self.webhooks.values().filter(|webhook| webhook.node == node).cloned().collect()
    }

    pub(super) fn settle(&mut self, settled: Settled) -> bool {
        let Some(webhook) = self.webhooks.get_mut(&settled.id) else { return false };
        (webhook.position, webhook.failing_since) = (settled.position, settled.failing_since);
        for seq in settled.delivered {
            self.parked.remove(&(settled.id.clone(), seq));
        }
        for parked in settled.parked {
            // The body stays what it was when it was parked first.
            let kept = self.parked.entry((settled.id.clone(), parked.seq)).or_insert_with(|| parked.clone());
            *kept = Parked { body: kept.body.clone(), ..parked };
        }
        let attempts = self.attempts.entry(settled.id).or_default();
        attempts.extend(settled.attempts);
        while attempts.len() as u64 > ATTEMPTS_KEPT {
            attempts.pop_front();
        }
        true
    }

    pub(super) fn parked(&self, id: &str, dead: bool, after: Seq, max: usize) -> Vec<Parked> {
        let of = |((webhook, seq), parked): &(&(String, Seq), &Parked)| {
            webhook == id && *seq > after && parked.due.is_none() == dead
        };
        self.parked.iter().filter(of).take(max).map(|(_, parked)| parked.clone()).collect()
    }

    pub(super) fn attempts(&self, id: &str) -> Vec<Attempted> {
        self.attempts.get(id).into_iter().flatten().cloned().collect()
    }

    pub(super) fn counts(&self, id: &str) -> (u64, u64) {
        let all = self.parked.iter().filter(|((webhook, _), _)| webhook == id);
        let (dead, retrying): (Vec<_>, Vec<_>) = all.partition(|(_, parked)| parked.due.is_none());
        (retrying.len() as u64, dead.len() as u64)
    }
}
