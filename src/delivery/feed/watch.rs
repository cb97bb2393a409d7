//! One watch of a feed: a position in a node's log, and for whom what follows it is shown.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::again::Tag;
use super::collection::{Scope, Via, changes_graph};
use super::{Handle, Shown};
use crate::delivery::pages::Page;
use crate::engine::{Entry, Pull, Tail, WatcherId};
use crate::jid::Jid;
use crate::pubsub::{EventKind, NodeId, NodeKey, Seq, Show, SubId, Subscription, may_hear};

pub(super) struct Watch {
    pub(super) tail: Arc<Tail>,
    pub(super) handle: Arc<Handle>,
    watcher: WatcherId,
    /// The subscribed address.
    pub(super) to: Jid,
    /// Of that address; several share a watch, but for digests.
    pub(super) subscriptions: Vec<Subscription>,
    /// Whether subscriptions are told apart even where there is but one.
    several: bool,
    pub(super) position: Seq,
    /// What the peer has acknowledged.
    pub(super) acknowledged: Seq,
    pub(super) checked: Option<u64>,
    /// The access version under which it may not read.
    pub(super) kept_out: Option<u64>,
    /// Something is being asked or read for it; it is looked at again when that is done.
    pub(super) busy: bool,
    /// It stands among those that may have something to show.
    pub(super) queued: bool,
    /// What was read from the log and not shown yet.
    pub(super) backlog: Option<Arc<Page>>,
    pub(super) head: Option<Bytes>,
    /// Notifications that came back.
    pub(super) bounces: u64,
    /// By way of which collection, where it was not subscribed to itself.
    pub(super) via: Option<Via>,
    /// Since where something has been seen that changes what is below a collection.
    graph: Option<Seq>,
    digest: Digest,
}

/// Where the next digest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digest {
    /// Each event is shown at once.
    None,
    /// Nothing has come since the last.
    Idle,
    /// It waits for its time.
    Waits,
    /// It is being shown.
    Due,
}

/// What a look at one watch came to.
pub(super) enum Look {
    /// Shown as much as there was, or as there was room for.
    Shown {
        position: Seq,
        more: bool,
    },
    Idle,
    Ended,
    Below,
    Ask(u64),
}

/// What the subscriptions of a watch make of its events, for a session as it is now.
struct Manner {
    with_body: bool,
    /// Nothing where nobody wants to be shown anything now.
    wanted: bool,
    scope: Scope,
    collection: Option<NodeId>,
    subids: Vec<SubId>,
}

impl Watch {
    pub(super) fn new(
        tail: Arc<Tail>,
        handle: Arc<Handle>,
        subscription: Subscription,
        position: Seq,
        several: bool,
    ) -> Self {
        let watcher = tail.add_watcher(handle.clone());
        let digest = if subscription.options.digest { Digest::Idle } else { Digest::None };
        Watch {
            tail,
            handle,
            watcher,
            to: subscription.jid.clone(),
            subscriptions: vec![subscription],
            several,
            position,
            acknowledged: position,
            checked: None,
            kept_out: None,
            busy: false,
            queued: false,
            backlog: None,
            head: None,
            bounces: 0,
            via: None,
            graph: None,
            digest,
        }
    }

    /// Whether nobody subscribed to it.
    pub(super) fn is_personal(&self) -> bool {
        self.subscriptions.iter().all(|subscription| subscription.subid.as_str().is_empty())
    }

    /// Whether what has come waits for a digest; and when that is due, if it was not known before.
    pub(super) fn waits_for_digest(&mut self) -> Option<Option<Instant>> {
        match self.digest {
            _ if self.kept_out.is_some() => None,
            Digest::None | Digest::Due => None,
            Digest::Waits => Some(None),
            Digest::Idle if self.position >= self.tail.head() => {
                // Nothing has come: the next growth has to ring again.
                self.handle.pending.store(false, Ordering::Release);
                (self.position >= self.tail.head()).then_some(None)
            }
            Digest::Idle => {
                self.digest = Digest::Waits;
                let frequency = self.subscriptions.first().map_or(0, |one| one.options.digest_frequency_ms);
                Some(Some(Instant::now() + Duration::from_millis(frequency)))
            }
        }
    }

    pub(super) fn digest_due(&mut self) {
        if self.digest == Digest::Waits {
            self.digest = Digest::Due;
        }
    }

    /// Waits for the end of this access version; whether it has not ended already.
    pub(super) fn stay_out(&self, access: u64) -> bool {
        self.handle.pending.store(false, Ordering::Release);
        self.tail.keep_out(self.watcher, access)
    }

    /// What was committed since rights changed after this access version is to be shown.
    pub(super) fn come_in(&mut self, before: u64) {
        self.tail.let_in(self.watcher);
        self.position = self.position.max(self.tail.head_after(before));
        self.acknowledged = self.position;
    }

    /// Whether its subscriptions end with the presence of their subscriber because the node wants it so.
    pub(super) fn is_temporary(&self) -> bool {
        !self.is_personal() && self.via.is_none() && self.tail.config().tempsub
    }

    /// The subscriptions under which something else is to be watched, of which node, and since where.
    pub(super) fn take_graph_change(&mut self) -> Vec<((NodeKey, SubId), NodeKey, Seq)> {
        let Some(before) = self.graph.take() else { return Vec::new() };
        let (node, root) = (self.tail.key(), self.via.as_ref().map_or(self.tail.key(), |via| via.root));
        self.subscriptions.iter().map(|one| ((root, one.subid.clone()), node, before)).collect()
    }

    /// All that there was has been shown.
    pub(super) fn rest(&mut self) {
        if self.digest == Digest::Due {
            self.digest = Digest::Idle;
        }
    }

    fn manner(&self, show: Option<Show>) -> Manner {
        let wants = |subscription: &&Subscription| {
            let values = subscription.options.show_values;
            match show {
                Some(show) => values.has(show),
                // Who subscribed by full JID is told without being available, unless that matters to it.
                None => values.has_all(),
            }
        };
        let named = !self.is_personal() && (self.several || self.subscriptions.len() > 1);
        let wanting = || self.subscriptions.iter().filter(wants);
        Manner {
            with_body: wanting().any(|subscription| subscription.options.include_body),
            wanted: wanting().next().is_some(),
            scope: Scope::of(self.subscriptions.first(), self.via.as_ref()),
            collection: self.via.as_ref().map(|via| via.address.node.clone()),
            subids: wanting().filter(|_| named).map(|subscription| subscription.subid.clone()).collect(),
        }
    }

    pub(super) fn look(
        &mut self,
        id: u64,
        presence: Option<Show>,
        room: &mut usize,
        show: &mut dyn FnMut(Shown<'_>) -> usize,
    ) -> Look {
        let manner = self.manner(presence);
        let Watch { tail, handle, to, backlog, head, position, checked, digest, graph, .. } = self;
        let from = *position;
        let mut showing =
            Showing { id, to, head, manner: &manner, room, show, handle, graph, together: *digest == Digest::Due };
        if let Some(page) = backlog.clone() {
            let shown = tail.while_allowed(*checked, || {
                showing.all(&mut page.entries.iter().filter(|entry| entry.event.seq > from), from)
            });
            return match shown {
                None => Look::Ask(tail.access()),
                Some(Look::Shown { position, more: true }) => Look::Shown { position, more: true },
                Some(Look::Shown { position, more: false }) => {
                    *backlog = None;
                    Look::Shown { position: page.resume.map_or(position, |resume| resume.max(position)), more: true }
                }
                Some(other) => other,
            };
        }
        tail.pull(from, *checked, |pull| match pull {
            Pull::Entries(mut entries) => match showing.all(&mut entries, from) {
                // A digest ends with a look that finds nothing more.
                Look::Shown { position, .. } if showing.together => Look::Shown { position, more: true },
                look => look,
            },
            Pull::CaughtUp => Look::Idle,
            Pull::Ended => Look::Ended,
            Pull::Below => Look::Below,
            Pull::Ask { access } => Look::Ask(access),
        })
    }

    /// Shows again what a tag names, of these.
    pub(super) fn show_again<'a>(
        &mut self,
        tag: Tag,
        entries: &mut dyn Iterator<Item = &'a Arc<Entry>>,
        show: &mut dyn FnMut(Shown<'_>) -> usize,
    ) {
        // Whoever was to be shown it once is to be shown it again, whatever it shows itself by now.
        let manner = Manner { wanted: true, ..self.manner(Some(Show::Online)) };
        let together = tag.after.next() != tag.seq;
        let mut room = usize::MAX;
        let Watch { handle, to, head, graph, .. } = self;
        let mut showing =
            Showing { id: tag.watch, to, head, manner: &manner, room: &mut room, show, handle, graph, together };
        let mut meant = entries.take_while(|entry| entry.event.seq <= tag.seq);
        showing.all(&mut meant, tag.after);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tail.remove_watcher(self.watcher);
    }
}

/// Events on their way to whoever encodes them.
struct Showing<'a> {
    id: u64,
    to: &'a Jid,
    head: &'a mut Option<Bytes>,
    manner: &'a Manner,
    room: &'a mut usize,
    show: &'a mut dyn FnMut(Shown<'_>) -> usize,
    handle: &'a Handle,
    graph: &'a mut Option<Seq>,
    /// In digests.
    together: bool,
}

impl Showing<'_> {
    fn all(&mut self, entries: &mut dyn Iterator<Item = &Arc<Entry>>, from: Seq) -> Look {
        let mut position = from;
        let mut held: Vec<Arc<Entry>> = Vec::new();
        let mut bytes = 0;
        for entry in entries {
            let stops = *self.room == 0 || self.handle.inlet.removed.load(Ordering::SeqCst);
            if stops {
                position = self.flush(&mut held, position);
                return Look::Shown { position, more: true };
            }
            if changes_graph(entry) {
                self.graph.get_or_insert(Seq(entry.event.seq.0 - 1));
            }
            let heard = may_hear(&entry.event.kind, self.handle.inlet.role);
            if !heard || !self.manner.wanted || !self.manner.scope.has(entry) {
                position = entry.event.seq;
            } else if self.together {
                let apart = held.last().is_some_and(|last| !goes_with(last, entry));
                if apart || held.len() >= DIGEST_EVENTS_MAX || bytes > DIGEST_BYTES_MAX {
                    position = self.flush(&mut held, position);
                    bytes = 0;
                }
                bytes += entry.weight();
                held.push(entry.clone());
            } else {
                let subids = if is_of_item(entry) { &self.manner.subids[..] } else { &[] };
                let tag = Tag { watch: self.id, after: position, seq: entry.event.seq };
                self.one(entry, &[], tag, subids);
                position = entry.event.seq;
            }
        }
        position = self.flush(&mut held, position);
        Look::Shown { position, more: false }
    }

    /// Shows the digest that is held; where it ends.
    fn flush(&mut self, held: &mut Vec<Arc<Entry>>, position: Seq) -> Seq {
        let Some(last) = held.last().cloned() else { return position };
        let tag = Tag { watch: self.id, after: position, seq: last.event.seq };
        let subids = if is_of_item(&last) { &self.manner.subids[..] } else { &[] };
        let digest = std::mem::take(held);
        self.one(&last, if digest.len() > 1 { &digest } else { &[] }, tag, subids);
        last.event.seq
    }

    fn one(&mut self, entry: &Arc<Entry>, digest: &[Arc<Entry>], tag: Tag, subids: &[SubId]) {
        let (to, with_body) = (self.to, self.manner.with_body);
        let collection = self.manner.collection.as_ref();
        let bytes = (self.show)(Shown { entry, digest, to, tag, head: &mut *self.head, with_body, collection, subids });
        *self.room = self.room.saturating_sub(bytes);
    }
}

/// Whether two events stand in one notification: several items, or several that went (XEP-0060 §7.1.2).
fn goes_with(one: &Entry, other: &Entry) -> bool {
    matches!(
        (&one.event.kind, &other.event.kind),
        (EventKind::Published { item: Some(_), .. }, EventKind::Published { item: Some(_), .. })
            | (EventKind::Retracted { .. }, EventKind::Retracted { .. })
    )
}

/// XEP-0060 §12.16: only what is told of items tells its subscriptions.
fn is_of_item(entry: &Entry) -> bool {
    matches!(entry.event.kind, EventKind::Published { .. } | EventKind::Retracted { .. })
}

/// Events in one digest.
const DIGEST_EVENTS_MAX: usize = 64;
/// What a digest weighs when no further event is added to it.
const DIGEST_BYTES_MAX: usize = 256 << 10;
