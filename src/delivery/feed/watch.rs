//! One watch of a feed: a position in a node's log, and for whom what follows it is shown.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::again::Tag;
use super::collection::{Scope, Via, changes_graph};
use super::last::Owed;
use super::personal::is_implicit;
use super::{Group, Handle, Shown};
use crate::delivery::Shared;
use crate::delivery::pages::Page;
use crate::engine::{Entry, Pull, Tail, WatcherId};
use crate::jid::Jid;
use crate::pubsub::{EventKind, Expire, NodeKey, Role, Seq, Show, SubId, Subscription, may_hear};
use crate::time::Clock;

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
    /// Tells what is shown here apart from what anybody else is shown.
    pub(super) name: u64,
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
    /// To which subscription alone that is shown.
    pub(super) only: Option<SubId>,
    /// Last items that are due, and were not read yet: as many as its subscriptions were asked for, or let in.
    pub(super) owed: Vec<Owed>,
    /// It was shown the last item since its session became available, or need not be.
    pub(super) greeted: bool,
    /// Where it began: what comes again from before was shown late.
    began: Seq,
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

/// With what eyes a session looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eyes {
    /// What it shows itself, while it is available.
    pub show: Option<Show>,
    pub role: Role,
    /// It is shown the node on another watch.
    pub silent: bool,
}

/// What the subscriptions of a watch make of its events, for a session as it is now.
struct Manner<'a> {
    subscriptions: &'a [Subscription],
    /// Of them this one alone.
    only: Option<&'a SubId>,
    eyes: Eyes,
    /// It does not matter what the session shows.
    again: bool,
    /// The subscriptions are told.
    named: bool,
    via: Option<&'a Via>,
}

/// How one event is shown.
struct Wish {
    with_body: bool,
    subids: Vec<SubId>,
}

impl Manner<'_> {
    /// Nothing where nobody wants to be shown it now.
    fn of(&self, entry: &Entry) -> Option<Wish> {
        if self.eyes.silent || !may_hear(&entry.event.kind, self.eyes.role) {
            return None;
        }
        let mut wish: Option<Wish> = None;
        let named = self.named && is_of_item(entry);
        for one in self.subscriptions.iter().filter(|one| self.wants(one) && Scope::of(one, self.via).has(entry)) {
            let wish = wish.get_or_insert(Wish { with_body: false, subids: Vec::new() });
            // XEP-0060 §12.8: where one of them wants a body, all have it.
            wish.with_body |= one.options.include_body;
            wish.subids.extend(named.then(|| one.subid.clone()));
        }
        wish
    }

    fn wants(&self, subscription: &Subscription) -> bool {
        let values = subscription.options.show_values;
        let now = match self.eyes.show {
            Some(show) => values.has(show),
            // Who subscribed by full JID is told without being available, unless that matters to it.
            None => values.has_all(),
        };
        (now || self.again) && self.only.is_none_or(|only| *only == subscription.subid)
    }
}

impl Watch {
    pub(super) fn new(
        tail: Arc<Tail>,
        handle: Arc<Handle>,
        subscription: Subscription,
        position: Seq,
        shared: &Shared,
    ) -> Self {
        let watcher = tail.add_watcher(handle.clone());
        let digest = if subscription.options.digest { Digest::Idle } else { Digest::None };
        Watch {
            tail,
            handle,
            watcher,
            to: subscription.jid.clone(),
            subscriptions: vec![subscription],
            several: shared.options.multi_subscribe,
            name: shared.name(),
            position,
            acknowledged: position,
            checked: None,
            kept_out: None,
            busy: false,
            queued: false,
            backlog: None,
            only: None,
            owed: Vec::new(),
            greeted: true,
            began: position,
            head: None,
            bounces: 0,
            via: None,
            graph: None,
            digest,
        }
    }

    /// Whether nobody subscribed to it.
    pub(super) fn is_personal(&self) -> bool {
        self.subscriptions.iter().all(is_implicit)
    }

    /// Whether its session may be shown the node without a subscription, too: then it is shown it once, at its full JID
    /// (XEP-0163 §4.3.2).
    pub(super) fn may_be_followed(&self) -> bool {
        self.tail.address().service.local().is_some() && !self.is_personal()
    }

    pub(super) fn group(&self) -> Group {
        let node = self.tail.key();
        Group { node, root: self.via.as_ref().map_or(node, |via| via.root), bare: matches!(self.to, Jid::Bare(_)) }
    }

    /// Whether what has come waits for a digest; and when that is due, if it was not known before.
    pub(super) fn waits_for_digest(&mut self, clock: &dyn Clock) -> Option<Option<Instant>> {
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
                let options = self.subscriptions.first().map(|one| &one.options);
                let frequency = Duration::from_millis(options.map_or(0, |options| options.digest_frequency_ms));
                let wait = match options.map(|options| options.expire) {
                    // What has come before the end of a lease is shown before it.
                    Some(Expire::At(end)) => {
                        let micros = u64::try_from(end.0.saturating_sub(clock.now().0)).unwrap_or(0);
                        frequency.min(Duration::from_micros(micros).saturating_sub(BEFORE_LEASE_ENDS))
                    }
                    _ => frequency,
                };
                Some(Some(Instant::now() + wait))
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

    pub(super) fn look(
        &mut self,
        id: u64,
        eyes: Eyes,
        room: &mut usize,
        show: &mut dyn FnMut(Shown<'_>) -> usize,
    ) -> Look {
        let (backlog, named) = (self.backlog.clone(), self.is_named());
        let Watch { tail, handle, to, name, head, position, checked, digest, graph, subscriptions, via, only, .. } =
            self;
        let only = only.as_ref().filter(|_| backlog.is_some());
        let manner = Manner { subscriptions, only, eyes, again: false, named, via: via.as_ref() };
        let (from, name, together) = (*position, *name, *digest == Digest::Due);
        let mut showing = Showing { id, to, name, head, manner, room, show, handle, graph, together };
        if let Some(page) = backlog {
            let shown = tail.while_allowed(*checked, || {
                showing.all(&mut page.entries.iter().filter(|entry| entry.event.seq > from), from)
            });
            return match shown {
                None => Look::Ask(tail.access()),
                Some(Look::Shown { position, more: true }) => Look::Shown { position, more: true },
                Some(Look::Shown { position, more: false }) => {
                    (self.backlog, self.only) = (None, None);
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

    /// Shows again what a tag names, of these. Whoever was to be shown it once is to be shown it again, whatever it shows
    /// itself by now.
    pub(super) fn show_again<'a>(
        &mut self,
        tag: Tag,
        entries: &mut dyn Iterator<Item = &'a Arc<Entry>>,
        show: &mut dyn FnMut(Shown<'_>) -> usize,
        (role, telling): (Role, u64),
    ) {
        let together = tag.after.next() != tag.seq;
        let mut room = usize::MAX;
        let named = self.is_named();
        let meant = entries.take_while(|entry| entry.event.seq <= tag.seq);
        let late = |entry: &Arc<Entry>| {
            let (address, event) = (entry.address.clone(), entry.event.clone());
            Arc::new(Entry::late(entry.key, address, event, entry.config.clone(), telling))
        };
        let meant: Vec<Arc<Entry>> =
            if tag.seq <= self.began { meant.map(late).collect() } else { meant.cloned().collect() };
        let Watch { handle, to, name, head, graph, subscriptions, via, .. } = self;
        let eyes = Eyes { show: None, role, silent: false };
        let manner = Manner { subscriptions, only: None, eyes, again: true, named, via: via.as_ref() };
        let (id, name, room, head) = (tag.watch, *name, &mut room, head);
        let mut showing = Showing { id, to, name, head, manner, room, show, handle, graph, together };
        showing.all(&mut meant.iter(), tag.after);
    }

    /// Whether its subscriptions are told with what is shown.
    fn is_named(&self) -> bool {
        !self.is_personal() && (self.several || self.subscriptions.len() > 1)
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
    name: u64,
    head: &'a mut Option<Bytes>,
    manner: Manner<'a>,
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
            let Some(wish) = self.manner.of(entry) else {
                position = entry.event.seq;
                continue;
            };
            if self.together {
                let apart = held.last().is_some_and(|last| !goes_with(last, entry));
                if apart || held.len() >= DIGEST_EVENTS_MAX || bytes > DIGEST_BYTES_MAX {
                    position = self.flush(&mut held, position);
                    bytes = 0;
                }
                bytes += entry.weight();
                held.push(entry.clone());
            } else {
                let tag = Tag { watch: self.id, after: position, seq: entry.event.seq };
                self.one(entry, &[], tag, &wish);
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
        let digest = std::mem::take(held);
        if let Some(wish) = self.manner.of(&last) {
            self.one(&last, if digest.len() > 1 { &digest } else { &[] }, tag, &wish);
        }
        last.event.seq
    }

    fn one(&mut self, entry: &Arc<Entry>, digest: &[Arc<Entry>], tag: Tag, wish: &Wish) {
        let (to, name, head) = (self.to, self.name, &mut *self.head);
        let collection = self.manner.via.map(|via| &via.address.node);
        let Wish { with_body, subids } = wish;
        let shown = Shown { entry, digest, to, name, tag, head, with_body: *with_body, collection, subids };
        *self.room = self.room.saturating_sub((self.show)(shown));
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

/// So long before the end of a lease its last digest is due; then each event is shown at once.
const BEFORE_LEASE_ENDS: Duration = Duration::from_secs(1);
/// Events in one digest.
const DIGEST_EVENTS_MAX: usize = 64;
/// What a digest weighs when no further event is added to it.
const DIGEST_BYTES_MAX: usize = 256 << 10;
