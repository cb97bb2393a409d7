//! What an XMPP session watches: one position for each subscription that goes to it.
//!
//! The session's task owns the [`Feed`] and pulls when its socket can take more. Others reach it
//! through its [`Inlet`]: "this watch may have grown", "this subscription came", "it went".

mod again;
mod collection;
mod last;
mod load;
mod missed;
mod personal;
mod rights;
mod watch;
mod whom;
mod work;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::passing::Was;
use super::recent::{Hold, Moment};
use super::{Delivery, Shared, lock};
use crate::engine::{Entry, Tail, Wake, Wrong};
use crate::jid::{FullJid, Jid};
use crate::pubsub::{
    Caller, Expire, NodeAddress, NodeId, NodeKey, Refusal, Request, Role, Seq, Show, SubId, Subscription, Verb,
};

pub use again::{Again, Tag};
pub(super) use personal::Followers;
pub use personal::Personal;
use watch::{Look, Watch};
pub use whom::Whom;
use work::Done;

/// A session's watches. Dropping it ends them.
pub struct Feed {
    shared: Arc<Shared>,
    inlet: Arc<Inlet>,
    role: Role,
    watches: HashMap<u64, Box<Watch>>,
    by_subscription: HashMap<(NodeKey, SubId), u64>,
    /// The watches that are shown each event at once. Subscriptions of one JID share one (XEP-0060 §6.1.6).
    live: HashMap<Group, u64>,
    /// When digests are due.
    digests: BinaryHeap<Reverse<(Instant, u64)>>,
    /// What the session shows, while it is available.
    show: Option<Show>,
    next_watch: u64,
    /// Watches that may have something to show.
    ready: VecDeque<u64>,
    work: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>,
    /// The readings of stored subscriptions that are under way.
    loading: usize,
    /// From where the subscriptions of the full JID are shown, while they are being read.
    bound: Option<Hold>,
    /// From where those of the bare JID are.
    available: Option<Hold>,
    behind: Option<Behind>,
    /// What it follows without a subscription.
    personal: Personal,
    /// What is watched by way of collections, by the subscriptions to these.
    collections: HashMap<(NodeKey, SubId), collection::Gathered>,
    away: missed::Away,
    seldom: Box<Seldom>,
}

/// What few sessions need: one that waits is to be small.
#[derive(Default)]
struct Seldom {
    /// Subscriptions that end when the session goes.
    temporary: HashMap<(NodeKey, SubId), (NodeAddress, Subscription)>,
    /// What those for whom a link speaks have said of themselves, where they are not simply available.
    said: HashMap<Jid, Option<Show>>,
    /// Subscriptions that went meanwhile.
    went: HashSet<(NodeKey, SubId)>,
    /// Last items that were owed while subscriptions were being read.
    dues: Vec<Due>,
}

/// An event for a session, or several in a digest, while they are being shown.
pub struct Shown<'a> {
    /// The event; of a digest the last.
    pub entry: &'a Arc<Entry>,
    /// The events of a digest, oldest first; empty where it is none.
    pub digest: &'a [Arc<Entry>],
    /// Where the notification is addressed to.
    pub to: &'a Jid,
    /// Tells what is shown here apart from what anybody else is shown.
    pub name: u64,
    /// Names what is shown for [`Feed::again`] and [`Feed::acknowledged`].
    pub tag: Tag,
    /// The beginning of a notification on this watch, kept by whoever encodes it.
    pub head: &'a mut Option<Bytes>,
    /// Whether a readable body is wanted beside the payload (XEP-0060 §12.8).
    pub with_body: bool,
    /// By way of which collection it comes (XEP-0248 §5.3.1).
    pub collection: Option<&'a NodeId>,
    /// The subscriptions on which it goes out, where they are to be told (XEP-0060 §7.1.2.4).
    pub subids: &'a [SubId],
}

/// What a session that is available says of itself (RFC 6121 §4.7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Available {
    pub show: Show,
    pub priority: i8,
}

/// The last item of a node that is due to a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub node: NodeKey,
    pub subscription: Subscription,
    /// Where the log stood when it became due: what is newer comes by itself.
    pub at: Seq,
}

/// What a notification is known by when it comes back: its node, and [`Shown::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    pub node: NodeKey,
    pub name: u64,
}

/// What came back of a notification (XEP-0060 §12.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounce {
    /// Nobody is there who could take it, now or later.
    Gone,
    /// It could not be taken this time.
    Passing,
}

/// The session cannot be shown what it must be shown next; it has to end, and begin anew.
#[derive(Clone, Debug)]
pub enum Behind {
    /// It was so slow that events it had not been shown are no longer retained.
    Retention { address: Arc<NodeAddress> },
    /// The storage failed it, again and again.
    Unreadable,
}

/// The side of a feed that others see.
pub(super) struct Inlet {
    whom: Whom,
    available: AtomicBool,
    /// What goes to the bare JID comes here.
    reached: AtomicBool,
    /// A subscription went, and the session has not looked yet.
    removed: AtomicBool,
    /// Which nodes of accounts it is interested in.
    nodes: Mutex<Arc<BTreeSet<NodeId>>>,
    inbox: Mutex<Inbox>,
    notify: Notify,
}

#[derive(Default)]
struct Inbox {
    /// Each watch at most once: see [`Handle::pending`].
    grown: Vec<u64>,
    /// As many as the account's requests that were committed since the session last looked.
    changes: Vec<Changed>,
}

enum Changed {
    Came { tail: Arc<Tail>, subscription: Subscription, position: Seq, since: Moment },
    Went { node: NodeKey, subscription: Subscription },
    Due(Due),
}

/// What watches are told apart by: the node, by way of which collection (the node itself, where it was subscribed to),
/// and whether for the bare JID.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Group {
    node: NodeKey,
    root: NodeKey,
    bare: bool,
}

/// One watch, as a tail sees it.
struct Handle {
    inlet: Arc<Inlet>,
    watch: u64,
    pending: AtomicBool,
}

/// A subscription that was read.
struct Loaded {
    tail: Arc<Tail>,
    subscription: Subscription,
    /// Where the log of its node stood when it was read.
    position: Seq,
}

impl Delivery {
    /// The feed of a session that has been bound. Subscriptions of its full JID are watched at once,
    /// those of its bare JID while it is available. `bound` is a moment before its peer was told that
    /// it is bound: what is committed from then on is shown.
    pub fn attach(&self, full: FullJid, role: Role, bound: Moment) -> Feed {
        self.attach_to(Whom::Session(full), role, bound)
    }

    /// The feed of whoever speaks for others: all their subscriptions are watched at once.
    /// They are there as long as it is, for all that is known of them, until they say otherwise.
    pub fn attach_to(&self, whom: Whom, role: Role, bound: Moment) -> Feed {
        let show = whom.session().is_none().then_some(Show::Online);
        let inlet = Arc::new(Inlet {
            available: AtomicBool::new(whom.session().is_none()),
            reached: AtomicBool::new(whom.session().is_none()),
            whom,
            removed: AtomicBool::new(false),
            nodes: Mutex::default(),
            inbox: Mutex::default(),
            notify: Notify::new(),
        });
        self.shared.enter(&inlet);
        let mut feed = Feed {
            shared: self.shared.clone(),
            inlet,
            role,
            watches: HashMap::new(),
            by_subscription: HashMap::new(),
            live: HashMap::new(),
            digests: BinaryHeap::new(),
            show,
            next_watch: 0,
            ready: VecDeque::new(),
            work: FuturesUnordered::new(),
            loading: 0,
            bound: Some(self.shared.recent.hold(bound)),
            available: None,
            behind: None,
            personal: Personal::default(),
            collections: HashMap::new(),
            away: missed::Away::default(),
            seldom: Box::default(),
        };
        feed.load();
        feed
    }
}

impl Feed {
    /// The session goes on for who has proved something else.
    pub fn set_role(&mut self, role: Role) {
        self.role = role;
    }

    /// The session became available, and says this of itself, or unavailable (RFC 6121 §4.2, §4.5). `since` is a
    /// moment before anyone was told: what is committed from then on is shown, however long it takes to
    /// find out what the session is subscribed to.
    pub fn set_available(&mut self, available: Option<Available>, since: Moment) {
        self.show = available.map(|available| available.show);
        let here = available.is_some();
        // RFC 6121 §8.5.2.1: of what goes to the bare JID nothing comes to a negative priority.
        let reached = available.is_some_and(|available| available.priority >= 0);
        let was_here = self.inlet.available.swap(here, Ordering::AcqRel);
        let was_reached = self.inlet.reached.swap(reached, Ordering::AcqRel);
        if !here && was_here {
            self.away = missed::Away::default();
            self.end_temporary();
            self.publisher_left(Was::Available);
        }
        if !reached && was_reached {
            self.available = None;
            if here {
                self.note_temporary();
            }
            let bare = |watch: &Watch| matches!(watch.to, Jid::Bare(_));
            let gone: Vec<u64> = self.watches.iter().filter(|(_, watch)| bare(watch)).map(|(id, _)| *id).collect();
            gone.into_iter().for_each(|id| self.end(id));
        }
        if here && !was_here {
            self.watches.values_mut().for_each(|watch| watch.greeted = false);
        }
        if here && !was_here || reached && !was_reached {
            self.available = Some(self.shared.recent.hold(since));
            self.load();
        }
    }

    /// The session went offline: its account has, where no other session is there as this one was. With a
    /// link go all for whom it speaks.
    fn publisher_left(&self, was: Was) {
        match self.inlet.whom.session() {
            Some(full) => self.shared.departed(full.bare().clone(), was),
            None => self.shared.link_departed(&self.inlet.whom),
        }
    }

    /// One of those for whom a link speaks has told a service that it is available, and shows this, or
    /// unavailable (XEP-0060 §12.6: by presence that is sent there).
    pub fn is_told_presence(&mut self, jid: &Jid, show: Option<Show>) {
        if self.inlet.whom.session().is_some() {
            return;
        }
        for of in [jid.clone(), Jid::Bare(jid.bare().clone())] {
            // Beyond the limit nobody is believed to be away.
            let known =
                self.seldom.said.len() < self.shared.options.watches_per_link_max || self.seldom.said.contains_key(&of);
            match show {
                Some(Show::Online) => drop(self.seldom.said.remove(&of)),
                other if known => drop(self.seldom.said.insert(of, other)),
                _ => {}
            }
        }
        if show.is_none() {
            self.note_temporary();
            let (gone, kept) = self.seldom.temporary.drain().partition(|(_, (_, subscription))| {
                subscription.jid == *jid || matches!(&subscription.jid, Jid::Bare(bare) if bare == jid.bare())
            });
            self.seldom.temporary = kept;
            let gone: HashMap<(NodeKey, SubId), (NodeAddress, Subscription)> = gone;
            self.shared.gone(gone.into_values());
            self.shared.departed(jid.bare().clone(), Was::Silent);
        }
    }

    /// Ends the temporary subscriptions of which nobody is left (XEP-0060 §12.5): those of the full JID,
    /// and those of the bare one with its last available session.
    fn end_temporary(&mut self) {
        self.note_temporary();
        let Some(full) = self.inlet.whom.session() else {
            return self.shared.gone(self.seldom.temporary.drain().map(|(_, gone)| gone));
        };
        let others = lock(&self.shared.online).get(full.bare()).is_some_and(|inlets| {
            inlets.iter().any(|inlet| !Arc::ptr_eq(inlet, &self.inlet) && inlet.available.load(Ordering::Acquire))
        });
        let ends = |subscription: &Subscription| matches!(subscription.jid, Jid::Full(_)) || !others;
        let (gone, kept) = self.seldom.temporary.drain().partition(|(_, (_, subscription))| ends(subscription));
        self.seldom.temporary = kept;
        let gone: HashMap<(NodeKey, SubId), (NodeAddress, Subscription)> = gone;
        self.shared.gone(gone.into_values());
    }

    /// Remembers the subscriptions that are temporary because their nodes want it so.
    fn note_temporary(&mut self) {
        for watch in self.watches.values().filter(|watch| watch.is_temporary()) {
            for subscription in &watch.subscriptions {
                let key = (watch.tail.key(), subscription.subid.clone());
                self.seldom.temporary.insert(key, ((**watch.tail.address()).clone(), subscription.clone()));
            }
        }
    }

    /// A notification came back from somebody. Where it is not known any more which it was, it counts for all that this
    /// address is shown of the node.
    pub fn bounced(&mut self, of: Notification, from: &Jid, bounce: Bounce) {
        let max = self.shared.options.bounces_max;
        let mut ended: Vec<(Arc<NodeAddress>, Subscription)> = Vec::new();
        let own = |watch: &Watch| {
            watch.tail.key() == of.node
                && !watch.is_personal()
                && (watch.to == *from || matches!(&watch.to, Jid::Bare(bare) if bare == from.bare()))
        };
        let known = self.watches.values().any(|watch| own(watch) && watch.name == of.name);
        for watch in self.watches.values_mut().filter(|watch| own(watch) && (!known || watch.name == of.name)) {
            watch.bounces += 1;
            if bounce == Bounce::Gone || (max > 0 && watch.bounces >= max) {
                let address = watch.via.as_ref().map_or(watch.tail.address(), |via| &via.address);
                ended.extend(watch.subscriptions.iter().map(|one| (address.clone(), one.clone())));
            }
        }
        for (address, Subscription { jid, subid, .. }) in ended {
            // The service ends it, and the subscriber is told so (XEP-0060 §12.14).
            let caller = Caller { jid: Jid::Bare(address.service.clone()), role: Role::Admin };
            let verb = Verb::Unsubscribe { node: address.node.clone(), jid, subid: Some(subid) };
            let request = Request { caller, service: address.service.clone(), verb };
            let engine = self.shared.engine.clone();
            self.work.push(Box::pin(async move {
                match engine.ask(request).await {
                    Ok(_) | Err(Wrong::Refused(Refusal::NotSubscribed)) => {}
                    Err(wrong) => {
                        tracing::warn!(?wrong, node = %address, "a subscription whose notifications come back stays");
                    }
                }
                Done::Unsubscribed
            }));
        }
    }

    /// Waits until [`Feed::pull`] may have something to show. May be dropped and called again.
    pub async fn ready(&mut self) {
        loop {
            self.take_inbox();
            self.take_due();
            if !self.ready.is_empty() || self.behind.is_some() {
                return;
            }
            let due = self.digests.peek().map(|Reverse((due, _))| *due);
            tokio::select! {
                () = self.inlet.notify.notified() => {}
                Some(done) = self.work.next(), if !self.work.is_empty() => self.done(done),
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    /// Queues the digests whose time has come.
    fn take_due(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, id))) = self.digests.peek().copied()
            && due <= now
        {
            self.digests.pop();
            if let Some(watch) = self.watches.get_mut(&id) {
                watch.digest_due();
                self.queue(id);
            }
        }
    }

    /// Shows what there is, until about `room` bytes are shown: `show` encodes an event and says how
    /// many bytes it took. It is called under the lock that a removal of rights needs.
    pub fn pull(&mut self, mut room: usize, show: &mut dyn FnMut(Shown<'_>) -> usize) -> Result<(), Behind> {
        self.take_inbox();
        let away = !self.inlet.available.load(Ordering::Acquire);
        let mut turns = self.ready.len();
        while room > 0
            && turns > 0
            && let Some(id) = self.ready.pop_front()
        {
            turns -= 1;
            if self.inlet.removed.load(Ordering::SeqCst) {
                self.take_inbox();
            }
            let Some(watch) = self.watches.get_mut(&id) else { continue };
            watch.queued = false;
            if watch.busy {
                continue;
            }
            watch.handle.pending.store(false, Ordering::Release);
            let presence = self.seldom.said.get(&watch.to).copied().unwrap_or(self.show);
            // XEP-0060 §12.6: an owner may want nobody told who is not available.
            let away = away || self.inlet.whom.session().is_none() && presence.is_none();
            let show = &mut |shown: Shown<'_>| {
                if away && shown.entry.config.presence_based_delivery { 0 } else { show(shown) }
            };
            let silent = watch.may_be_followed() && self.by_subscription.contains_key(&personal::followed(watch));
            let look = watch.look(id, watch::Eyes { show: presence, role: self.role, silent }, &mut room, show);
            let changed = watch.take_graph_change();
            match look {
                Look::Shown { position, more } => {
                    watch.position = position;
                    if more {
                        watch.queued = true;
                        self.ready.push_back(id);
                    }
                }
                Look::Idle => watch.rest(),
                Look::Ended => self.end(id),
                Look::Below => self.read(id),
                Look::Ask(access) => self.ask_unless_known(id, access),
            }
            for (key, node, before) in changed {
                self.gather_again(key, node, before);
            }
            self.pay(id);
        }
        self.behind.take().map_or(Ok(()), Err)
    }

    /// Whether there may be more to show right now.
    pub fn has_more(&self) -> bool {
        !self.ready.is_empty()
    }

    fn take_inbox(&mut self) {
        self.inlet.removed.store(false, Ordering::SeqCst);
        let (grown, changes) = {
            let mut inbox = lock(&self.inlet.inbox);
            (std::mem::take(&mut inbox.grown), std::mem::take(&mut inbox.changes))
        };
        for change in changes {
            match change {
                Changed::Came { tail, subscription, position, since } => {
                    let key = (tail.key(), subscription.subid.clone());
                    self.seldom.went.remove(&key);
                    self.watch(tail, subscription, position);
                    self.gather(key, since);
                }
                Changed::Due(due) => self.due(due),
                Changed::Went { node, subscription } => {
                    let key = (node, subscription.subid);
                    self.seldom.temporary.remove(&key);
                    self.unwatch(&key);
                    if self.loading > 0 {
                        self.seldom.went.insert(key);
                    }
                }
            }
        }
        grown.into_iter().for_each(|id| self.queue(id));
    }

    fn queue(&mut self, id: u64) {
        if let Some(watch) = self.watches.get_mut(&id)
            && !watch.queued
            && !watch.busy
        {
            match watch.waits_for_digest(&**self.shared.engine.clock()) {
                None => {
                    watch.queued = true;
                    self.ready.push_back(id);
                }
                Some(Some(due)) => self.digests.push(Reverse((due, id))),
                Some(None) => {}
            }
        }
    }

    /// Watches on a subscription that came, or whose options may have changed.
    fn watch(&mut self, tail: Arc<Tail>, subscription: Subscription, position: Seq) {
        let key = (tail.key(), subscription.subid.clone());
        if subscription.options.expire == Expire::Presence
            || tail.config().tempsub && !personal::is_implicit(&subscription)
        {
            self.seldom.temporary.insert(key.clone(), ((**tail.address()).clone(), subscription.clone()));
        } else {
            self.seldom.temporary.remove(&key);
        }
        // What was not shown yet stays due when the options change.
        let mut position = position;
        if let Some(watch) = self.by_subscription.get(&key).and_then(|id| self.watches.get_mut(id)) {
            if watch.subscriptions.contains(&subscription) {
                return;
            }
            position = position.min(watch.position);
            let positions = self.keep_positions(&key);
            self.unwatch(&key);
            self.go_on_from(&key, positions);
        }
        if !subscription.options.deliver || !self.inlet.wants(&subscription.jid) {
            return;
        }
        let group = Group { node: key.0, root: key.0, bare: matches!(subscription.jid, Jid::Bare(_)) };
        // What is followed without a subscription is let go without one.
        let alone = subscription.options.digest
            || subscription.subid.as_str().is_empty()
            || self.inlet.whom.session().is_none();
        if !alone && let Some(id) = self.live.get(&group).copied() {
            if let Some(watch) = self.watches.get_mut(&id) {
                watch.position = watch.position.min(position);
                watch.subscriptions.push(subscription);
            }
            self.by_subscription.insert(key, id);
            return self.queue(id);
        }
        if self.watches.len() >= self.inlet.whom.watches_max(&self.shared.options) {
            tracing::warn!(session = %self.inlet.whom, node = %tail.address(), "too many subscriptions to watch");
            return;
        }
        let id = self.next_watch;
        self.next_watch += 1;
        let handle = Arc::new(Handle { inlet: self.inlet.clone(), watch: id, pending: AtomicBool::new(false) });
        self.watches.insert(id, Box::new(Watch::new(tail, handle, subscription, position, &self.shared)));
        self.by_subscription.insert(key, id);
        if !alone {
            self.live.insert(group, id);
        }
        // What was committed before the tail knew the watcher did not wake it.
        self.queue(id);
    }

    /// Ends what a subscription has of a watch, and the watch with its last.
    fn unwatch(&mut self, key: &(NodeKey, SubId)) {
        let Some(id) = self.by_subscription.remove(key) else { return };
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.subscriptions.retain(|subscription| subscription.subid != key.1);
        let subscribed = watch.via.is_none();
        if watch.subscriptions.is_empty() {
            self.end(id);
        }
        if subscribed {
            self.scatter(key);
        }
    }

    fn end(&mut self, id: u64) {
        if let Some(watch) = self.watches.remove(&id) {
            let node = watch.tail.key();
            for subscription in &watch.subscriptions {
                self.by_subscription.remove(&(node, subscription.subid.clone()));
            }
            let group = watch.group();
            if self.live.get(&group) == Some(&id) {
                self.live.remove(&group);
            }
            if watch.via.is_none() {
                watch.subscriptions.iter().for_each(|one| self.scatter(&(node, one.subid.clone())));
            }
        }
    }
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Behind::Retention { address } => {
                write!(f, "events of {address} were missed: they are no longer retained")
            }
            Behind::Unreadable => f.write_str("what this session is subscribed to cannot be read"),
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.unfollow();
        let available = self.inlet.available.swap(false, Ordering::AcqRel);
        self.end_temporary();
        self.shared.leave(&self.inlet);
        self.publisher_left(if available { Was::Available } else { Was::Silent });
    }
}

impl Inlet {
    pub fn add(&self, tail: Arc<Tail>, subscription: Subscription, position: Seq, since: Moment) {
        lock(&self.inbox).changes.push(Changed::Came { tail, subscription, position, since });
        self.notify.notify_one();
    }

    pub fn owe(&self, due: Due) {
        lock(&self.inbox).changes.push(Changed::Due(due));
        self.notify.notify_one();
    }

    pub fn remove(&self, node: NodeKey, subscription: Subscription) {
        lock(&self.inbox).changes.push(Changed::Went { node, subscription });
        self.removed.store(true, Ordering::SeqCst);
        self.notify.notify_one();
    }
}

impl Wake for Handle {
    fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            lock(&self.inlet.inbox).grown.push(self.watch);
            self.inlet.notify.notify_one();
        }
    }
}
