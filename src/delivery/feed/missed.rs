//! What a session has missed that says since when it was away (XEP-0312): of each node that it watches what was
//! published since and still stands, each item once, as it is now. It comes in place of the last item.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Done, Feed};
use crate::delivery::pages::Page;
use crate::engine::Entry;
use crate::jid::Jid;
use crate::pubsub::{Event, EventKind, ItemId, Seq};
use crate::store::{ArchivePlace, ArchiveRange};
use crate::time::Timestamp;

/// Since when a session was away, until what it missed has been asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Away {
    pub subscriptions: Option<Timestamp>,
    /// Of the nodes that it follows without a subscription.
    pub personal: Option<Timestamp>,
}

impl Feed {
    /// The session says that it was away for so many seconds. To be called before it becomes available; one that
    /// is available already has missed nothing.
    pub fn was_away(&mut self, seconds: u64) {
        if self.show.is_some() {
            return;
        }
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_add(SKEW_SECONDS);
        let since = self.shared.engine.clock().now().plus_seconds(seconds.saturating_neg());
        self.away = Away { subscriptions: Some(since), personal: Some(since) };
        let full = |watch: &super::Watch| matches!(watch.to, Jid::Full(_)) && !watch.is_personal();
        let bound: Vec<u64> = self.watches.iter().filter(|(_, watch)| full(watch)).map(|(id, _)| *id).collect();
        self.want_missed(bound, since);
    }

    /// These watches are shown what was published since then before anything else.
    pub(super) fn want_missed(&mut self, mut watches: Vec<u64>, since: Timestamp) {
        watches.sort_unstable();
        let mut asked = Vec::new();
        for id in watches {
            let Some(watch) = self.watches.get_mut(&id) else { continue };
            if watch.via.is_none() && !watch.busy && watch.backlog.is_none() && watch.tail.config().persist_items {
                watch.busy = true;
                watch.greeted = true;
                asked.push((id, watch.tail.key()));
            }
        }
        if asked.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        self.work.push(Box::pin(async move {
            let mut found = Vec::new();
            let mut left = shared.options.missed_items_max;
            for (id, node) in asked {
                let range = ArchiveRange {
                    start: Some(since),
                    place: ArchivePlace::Last,
                    bytes_max: shared.options.page_bytes_max,
                    ..ArchiveRange::all(left)
                };
                let read = match left {
                    0 => Ok(Vec::new()),
                    _ => shared.engine.store().read_published(node, None, range).await.map(|page| page.entries),
                };
                let events = read.unwrap_or_else(|failure| {
                    tracing::error!(%failure, "what a session has missed cannot be read");
                    Vec::new()
                });
                left = left.saturating_sub(events.len());
                found.push((id, events));
            }
            Done::Missed(found)
        }));
    }

    pub(super) fn missed(&mut self, found: Vec<(u64, Vec<Event>)>) {
        for (id, events) in found {
            let Some(watch) = self.watches.get_mut(&id) else { continue };
            watch.busy = false;
            let position = watch.position;
            let tail = watch.tail.clone();
            let telling = self.shared.name();
            let entries: Vec<_> = newest_of_each(events)
                .into_iter()
                .filter(|event| event.seq <= position)
                .map(|event| Arc::new(Entry::late(tail.key(), tail.address().clone(), event, tail.config(), telling)))
                .collect();
            if let Some(first) = entries.first() {
                watch.position = Seq(first.event.seq.0 - 1);
                watch.only = None;
                watch.backlog = Some(Arc::new(Page { entries, floor: Seq(0), last: position, resume: Some(position) }));
            }
            self.queue(id);
        }
    }
}

/// Of the publications of one item the last, in their order.
fn newest_of_each(events: Vec<Event>) -> Vec<Event> {
    let mut seen: HashSet<ItemId> = HashSet::new();
    let mut newest: Vec<Event> = events
        .into_iter()
        .rev()
        .filter(|event| match &event.kind {
            EventKind::Published { item: Some(item), .. } => seen.insert(item.clone()),
            _ => true,
        })
        .collect();
    newest.reverse();
    newest
}

/// Clocks differ (XEP-0312 §2, rule 4).
const SKEW_SECONDS: i64 = 60;
