//! What an XMPP session watches: one position for each subscription that goes to it.
//!
//! The session's task owns the [`Feed`] and pulls when its socket can take more. Others reach it
//! through its [`Inlet`]: "this watch may have grown", "this subscription came", "it went".

mod again;
mod personal;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;

use super::pages::Page;
use super::{Delivery, Shared, lock};
use crate::engine::{Entry, Pull, Tail, Wake, WatcherId, Wrong};
use crate::jid::{FullJid, Jid};
use crate::pubsub::{
    Caller, Node, NodeAddress, NodeId, NodeKey, Refusal, Request, Role, Seq, SubId, Subscription, SubscriptionState,
    Verb,
};
use crate::store::{Failure, Item};

pub use again::{Again, Tag};
pub(super) use personal::Followers;
pub use personal::Personal;

/// A session's watches. Dropping it ends them.
pub struct Feed {
    shared: Arc<Shared>,
    inlet: Arc<Inlet>,
    role: Role,
    watches: HashMap<u64, Box<Watch>>,
    by_subscription: HashMap<(NodeKey, SubId), u64>,
    next_watch: u64,
    /// Watches that may have something to show.
    ready: VecDeque<u64>,
    work: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>,
    /// Subscriptions that went while the stored ones were being read.
    went: Option<HashSet<(NodeKey, SubId)>>,
    behind: Option<Behind>,
    /// What it follows without a subscription.
    personal: Personal,
}

/// An event for a session, while it is being shown.
pub struct Shown<'a> {
    pub entry: &'a Arc<Entry>,
    /// Where the notification is addressed to.
    pub to: &'a Jid,
    /// Names the event for [`Feed::again`] and [`Feed::acknowledged`].
    pub tag: Tag,
    /// The beginning of a notification on this watch, kept by whoever encodes it.
    pub head: &'a mut Option<Bytes>,
}

/// The session was so slow that events it had not been shown are no longer retained.
#[derive(Clone, Debug)]
pub struct Behind {
    pub address: Arc<NodeAddress>,
    watch: u64,
    /// What is retained begins here.
    floor: Seq,
}

/// Whose subscriptions a feed shows.
#[derive(Clone, Debug)]
pub enum Whom {
    /// Those of a session's full JID, and those of its bare JID while it is available.
    Session(FullJid),
    /// Those of all addresses at a domain.
    Domain(String),
    /// Those of all addresses that are not at one of these domains.
    Elsewhere(Arc<[String]>),
}

/// The side of a feed that others see.
pub(super) struct Inlet {
    whom: Whom,
    available: AtomicBool,
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
    Came { tail: Arc<Tail>, subscription: Subscription, position: Seq },
    Went { node: NodeKey, subscription: Subscription },
}

/// One watch, as a tail sees it.
struct Handle {
    inlet: Arc<Inlet>,
    watch: u64,
    pending: AtomicBool,
}

struct Watch {
    tail: Arc<Tail>,
    handle: Arc<Handle>,
    watcher: WatcherId,
    subscription: Subscription,
    position: Seq,
    /// What the peer has acknowledged.
    acknowledged: Seq,
    checked: Option<u64>,
    /// Something is being asked or read for it; it is looked at again when that is done.
    busy: bool,
    /// It stands in `ready`.
    queued: bool,
    /// What was read from the log and not shown yet.
    backlog: Option<Arc<Page>>,
    head: Option<Bytes>,
}

/// Work that a feed waited for.
enum Done {
    /// With the position at which each was read.
    Loaded(Vec<(Arc<Tail>, Subscription, Seq)>),
    /// Of accounts that it follows.
    Personal(Vec<personal::Found>),
    /// Last items of nodes that an account has subscribed to.
    Last(Vec<(Node, Item)>),
    Checked {
        watch: u64,
        access: u64,
        outcome: Checked,
    },
    Read {
        watch: u64,
        after: Seq,
        page: Result<Option<Arc<Page>>, Failure>,
    },
}

enum Checked {
    Allowed,
    Forbidden,
    NodeGone,
    Later,
}

/// What a look at one watch came to.
enum Look {
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

impl Delivery {
    /// The feed of a session that has been bound. Subscriptions of its full JID are watched at once,
    /// those of its bare JID while it is available.
    pub fn attach(&self, full: FullJid, role: Role) -> Feed {
        self.attach_to(Whom::Session(full), role)
    }

    /// The feed of whoever speaks for others: all their subscriptions are watched at once.
    pub fn attach_to(&self, whom: Whom, role: Role) -> Feed {
        let inlet = Arc::new(Inlet {
            whom,
            available: AtomicBool::new(false),
            nodes: Mutex::default(),
            inbox: Mutex::default(),
            notify: Notify::new(),
        });
        match &inlet.whom {
            Whom::Session(full) => {
                lock(&self.shared.online).entry(full.bare().clone()).or_default().push(inlet.clone());
            }
            Whom::Domain(_) | Whom::Elsewhere(_) => lock(&self.shared.links).push(inlet.clone()),
        }
        let mut feed = Feed {
            shared: self.shared.clone(),
            inlet,
            role,
            watches: HashMap::new(),
            by_subscription: HashMap::new(),
            next_watch: 0,
            ready: VecDeque::new(),
            work: FuturesUnordered::new(),
            went: None,
            behind: None,
            personal: Personal::default(),
        };
        feed.load();
        feed
    }
}

impl Feed {
    /// The session became available or unavailable (RFC 6121 §4.2, §4.5).
    pub fn set_available(&mut self, available: bool) {
        if self.inlet.available.swap(available, Ordering::AcqRel) == available {
            return;
        }
        if available {
            self.load();
        } else {
            let gone: Vec<u64> = self
                .watches
                .iter()
                .filter(|(_, watch)| matches!(watch.subscription.jid, Jid::Bare(_)))
                .map(|(id, _)| *id)
                .collect();
            gone.into_iter().for_each(|id| self.end(id));
        }
    }

    /// Waits until [`Feed::pull`] may have something to show. May be dropped and called again.
    pub async fn ready(&mut self) {
        loop {
            self.take_inbox();
            if !self.ready.is_empty() || self.behind.is_some() {
                return;
            }
            if self.work.is_empty() {
                self.inlet.notify.notified().await;
            } else {
                tokio::select! {
                    () = self.inlet.notify.notified() => {}
                    Some(done) = self.work.next() => self.done(done),
                }
            }
        }
    }

    /// Shows what there is, until about `room` bytes are shown: `show` encodes an event and says how
    /// many bytes it took. It is called under the lock that a removal of rights needs.
    pub fn pull(&mut self, mut room: usize, show: &mut dyn FnMut(Shown<'_>) -> usize) -> Result<(), Behind> {
        self.take_inbox();
        let away = !self.inlet.available.load(Ordering::Acquire);
        // XEP-0060 §12.6: an owner may want nobody told who is not available.
        let show = &mut |shown: Shown<'_>| {
            if away && shown.entry.config.presence_based_delivery { 0 } else { show(shown) }
        };
        let mut turns = self.ready.len();
        while room > 0
            && turns > 0
            && let Some(id) = self.ready.pop_front()
        {
            turns -= 1;
            let Some(watch) = self.watches.get_mut(&id) else { continue };
            watch.queued = false;
            if watch.busy {
                continue;
            }
            watch.handle.pending.store(false, Ordering::Release);
            match watch.look(id, &mut room, show) {
                Look::Shown { position, more } => {
                    watch.position = position;
                    if more {
                        watch.queued = true;
                        self.ready.push_back(id);
                    }
                }
                Look::Idle => {}
                Look::Ended => self.end(id),
                Look::Below => self.read(id),
                Look::Ask(access) => self.ask(id, access),
            }
        }
        self.behind.take().map_or(Ok(()), Err)
    }

    /// Goes on with what is retained, for one who would rather miss events than end.
    pub fn skip(&mut self, behind: &Behind) {
        // What could not be read is looked for again when the node has grown.
        if behind.floor > Seq(0)
            && let Some(watch) = self.watches.get_mut(&behind.watch)
        {
            watch.position = watch.position.max(Seq(behind.floor.0.saturating_sub(1)));
            self.queue(behind.watch);
        }
    }

    /// Whether there may be more to show right now.
    pub fn has_more(&self) -> bool {
        !self.ready.is_empty()
    }

    fn take_inbox(&mut self) {
        let (grown, changes) = {
            let mut inbox = lock(&self.inlet.inbox);
            (std::mem::take(&mut inbox.grown), std::mem::take(&mut inbox.changes))
        };
        for change in changes {
            match change {
                Changed::Came { tail, subscription, position } => {
                    if let Some(went) = &mut self.went {
                        went.remove(&(tail.key(), subscription.subid.clone()));
                    }
                    self.watch(tail, subscription, position);
                }
                Changed::Went { node, subscription } => {
                    let key = (node, subscription.subid);
                    if let Some(id) = self.by_subscription.get(&key) {
                        self.end(*id);
                    }
                    if let Some(went) = &mut self.went {
                        went.insert(key);
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
            watch.queued = true;
            self.ready.push_back(id);
        }
    }

    fn watch(&mut self, tail: Arc<Tail>, subscription: Subscription, position: Seq) {
        let key = (tail.key(), subscription.subid.clone());
        if self.by_subscription.contains_key(&key) {
            return;
        }
        if self.watches.len() >= self.inlet.watches_max(&self.shared.options) {
            tracing::warn!(session = %self.inlet.whom, node = %tail.address(), "too many subscriptions to watch");
            return;
        }
        let id = self.next_watch;
        self.next_watch += 1;
        let handle = Arc::new(Handle { inlet: self.inlet.clone(), watch: id, pending: AtomicBool::new(false) });
        let watcher = tail.add_watcher(handle.clone());
        let checked = None;
        let watch = Watch {
            tail,
            handle,
            watcher,
            subscription,
            position,
            acknowledged: position,
            checked,
            busy: false,
            queued: false,
            backlog: None,
            head: None,
        };
        self.watches.insert(id, Box::new(watch));
        self.by_subscription.insert(key, id);
        // What was committed before the tail knew the watcher did not wake it.
        self.queue(id);
    }

    fn end(&mut self, id: u64) {
        if let Some(watch) = self.watches.remove(&id) {
            self.by_subscription.remove(&(watch.tail.key(), watch.subscription.subid.clone()));
        }
    }

    /// Reads the stored subscriptions that go to this session.
    fn load(&mut self) {
        self.went.get_or_insert_default();
        let shared = self.shared.clone();
        let inlet = self.inlet.clone();
        self.work.push(Box::pin(async move { Done::Loaded(shared.load(&inlet).await) }));
    }

    fn read(&mut self, id: u64) {
        if let Some(watch) = self.watches.get(&id) {
            self.read_after(id, watch.position);
        }
    }

    fn read_after(&mut self, id: u64, position: Seq) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.busy = true;
        let (shared, tail) = (self.shared.clone(), watch.tail.clone());
        self.work.push(Box::pin(async move {
            let page = shared.page(&tail, position, usize::MAX).await;
            Done::Read { watch: id, after: position, page }
        }));
    }

    fn ask(&mut self, id: u64, access: u64) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.busy = true;
        let address = watch.tail.address();
        let verb = Verb::Watch { node: address.node.clone() };
        let caller = Caller { jid: self.inlet.reader(&watch.subscription), role: self.role };
        let request = Request { caller, service: address.service.clone(), verb };
        let (engine, key) = (self.shared.engine.clone(), watch.tail.key());
        self.work.push(Box::pin(async move {
            let outcome = match engine.ask(request).await {
                Ok(answered) if answered.at.is_some_and(|at| at.node == key) => Checked::Allowed,
                Ok(_) | Err(Wrong::Refused(Refusal::NodeAbsent | Refusal::NodeGone { .. })) => Checked::NodeGone,
                Err(Wrong::Refused(_)) => Checked::Forbidden,
                Err(Wrong::Failed(_) | Wrong::Overloaded) => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                    Checked::Later
                }
            };
            Done::Checked { watch: id, access, outcome }
        }));
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Loaded(found) => {
                let went = self.went.take().unwrap_or_default();
                let first = self.next_watch;
                for (tail, subscription, position) in found {
                    let wanted = self.inlet.wants(&subscription.jid);
                    if wanted && !went.contains(&(tail.key(), subscription.subid.clone())) {
                        self.watch(tail, subscription, position);
                    }
                }
                self.want_last_items(first);
            }
            Done::Checked { watch: id, access, outcome } => {
                let Some(watch) = self.watches.get_mut(&id) else { return };
                watch.busy = false;
                match outcome {
                    Checked::Allowed => watch.checked = Some(access),
                    Checked::Later => {}
                    Checked::Forbidden => return self.end(id),
                    Checked::NodeGone => match watch.tail.last_words() {
                        // The deletion bears nothing that could be forbidden.
                        Some(last) => {
                            watch.position = watch.position.max(Seq(last.event.seq.0 - 1));
                            watch.checked = Some(watch.tail.access());
                        }
                        None => return self.end(id),
                    },
                }
                self.queue(id);
            }
            Done::Personal(found) => self.personal_found(found),
            Done::Last(found) => self.last_items(found),
            Done::Read { watch: id, after, page } => self.read_done(id, after, page),
        }
    }

    fn read_done(&mut self, id: u64, after: Seq, page: Result<Option<Arc<Page>>, Failure>) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.busy = false;
        match page {
            Ok(Some(page)) if page.floor > after.next() && watch.is_personal() => {
                // Nobody was promised these: it goes on with what comes.
                watch.position = page.last;
                self.queue(id);
            }
            Ok(Some(page)) if page.floor > after.next() => {
                self.behind = Some(Behind { address: watch.tail.address().clone(), watch: id, floor: page.floor });
            }
            Ok(Some(page)) => {
                watch.backlog = (!page.entries.is_empty()).then_some(page);
                self.queue(id);
            }
            Ok(None) => match watch.tail.last_words() {
                Some(last) => {
                    watch.position = watch.position.max(Seq(last.event.seq.0 - 1));
                    self.queue(id);
                }
                None => self.end(id),
            },
            Err(failure) => {
                tracing::error!(%failure, node = %watch.tail.address(), "a log cannot be read for a session");
                self.behind = Some(Behind { address: watch.tail.address().clone(), watch: id, floor: Seq(0) });
            }
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.unfollow();
        let Whom::Session(full) = &self.inlet.whom else {
            return lock(&self.shared.links).retain(|inlet| !Arc::ptr_eq(inlet, &self.inlet));
        };
        let mut online = lock(&self.shared.online);
        let bare = full.bare();
        if let Some(inlets) = online.get_mut(bare) {
            inlets.retain(|inlet| !Arc::ptr_eq(inlet, &self.inlet));
            if inlets.is_empty() {
                online.remove(bare);
            }
        }
    }
}

impl Watch {
    /// Whether nobody subscribed to it.
    fn is_personal(&self) -> bool {
        self.subscription.subid.as_str().is_empty()
    }

    fn look(&mut self, id: u64, room: &mut usize, show: &mut dyn FnMut(Shown<'_>) -> usize) -> Look {
        let Watch { tail, subscription, backlog, head, position, checked, .. } = self;
        let to = &subscription.jid;
        let mut take = |entries: &mut dyn Iterator<Item = &Arc<Entry>>, from: Seq| {
            let mut position = from;
            for entry in entries {
                if *room == 0 {
                    return Look::Shown { position, more: true };
                }
                let bytes = show(Shown { entry, to, tag: Tag { watch: id, seq: entry.event.seq }, head: &mut *head });
                *room = room.saturating_sub(bytes);
                position = entry.event.seq;
            }
            Look::Shown { position, more: false }
        };
        if let Some(page) = backlog.clone() {
            let from = *position;
            let shown = tail.while_allowed(*checked, || {
                take(&mut page.entries.iter().filter(|entry| entry.event.seq > from), from)
            });
            return match shown {
                None => Look::Ask(tail.access()),
                Some(Look::Shown { position, more }) => {
                    if more {
                        return Look::Shown { position, more };
                    }
                    *backlog = None;
                    Look::Shown { position: page.resume.map_or(position, |resume| resume.max(position)), more: true }
                }
                Some(other) => other,
            };
        }
        tail.pull(*position, *checked, |pull| match pull {
            Pull::Entries(mut entries) => take(&mut entries, *position),
            Pull::CaughtUp => Look::Idle,
            Pull::Ended => Look::Ended,
            Pull::Below => Look::Below,
            Pull::Ask { access } => Look::Ask(access),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tail.remove_watcher(self.watcher);
    }
}

impl Inlet {
    /// Whether a subscription of this JID goes to this session.
    pub fn wants(&self, jid: &Jid) -> bool {
        match (&self.whom, jid) {
            (Whom::Session(own), Jid::Full(full)) => full == own,
            (Whom::Session(own), Jid::Bare(bare)) => bare == own.bare() && self.available.load(Ordering::Acquire),
            (Whom::Domain(domain), jid) => jid.domain() == domain,
            (Whom::Elsewhere(domains), jid) => domains.iter().all(|domain| jid.domain() != domain),
        }
    }

    /// In whose name a node is read for a subscription.
    fn reader(&self, subscription: &Subscription) -> Jid {
        match &self.whom {
            Whom::Session(full) => Jid::Full(full.clone()),
            Whom::Domain(_) | Whom::Elsewhere(_) => subscription.jid.clone(),
        }
    }

    fn watches_max(&self, options: &super::Options) -> usize {
        match &self.whom {
            Whom::Session(_) => options.watches_per_session_max,
            Whom::Domain(_) | Whom::Elsewhere(_) => options.watches_per_link_max,
        }
    }

    pub fn add(&self, tail: Arc<Tail>, subscription: Subscription, position: Seq) {
        lock(&self.inbox).changes.push(Changed::Came { tail, subscription, position });
        self.notify.notify_one();
    }

    pub fn remove(&self, node: NodeKey, subscription: Subscription) {
        lock(&self.inbox).changes.push(Changed::Went { node, subscription });
        self.notify.notify_one();
    }
}

impl std::fmt::Display for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Whom::Session(full) => full.fmt(f),
            Whom::Domain(domain) => write!(f, "*@{domain}"),
            Whom::Elsewhere(_) => f.write_str("*@*"),
        }
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

impl Shared {
    /// The stored subscriptions that go to a session, with the tails of their nodes.
    async fn load(&self, inlet: &Inlet) -> Vec<(Arc<Tail>, Subscription, Seq)> {
        let mut loaded = Vec::new();
        let (mut after, mut domain) = (None, String::new());
        loop {
            let page = match self.next_watched(inlet, &domain, after.take()).await {
                Ok(page) => page,
                Err(failure) => {
                    tracing::error!(%failure, session = %inlet.whom, "a session's subscriptions cannot be read");
                    return loaded;
                }
            };
            let full = page.len() == LOADED_AT_ONCE;
            after = page.last().map(|(node, subscription)| (node.key, subscription.clone()));
            let wanted: Vec<_> = page
                .into_iter()
                .filter(|(_, subscription)| {
                    subscription.state == SubscriptionState::Subscribed && inlet.wants(&subscription.jid)
                })
                .collect();
            let nodes = wanted.iter().map(|(node, _)| Arc::new(node.clone())).collect();
            let Ok(tails) = self.engine.tails(nodes).await else { return loaded };
            // What was committed since the row was read is news to the session: the tail or the log has it.
            let begin =
                |(tail, (node, subscription)): (Option<_>, (Node, _))| Some((tail?, subscription, node.last_seq));
            loaded.extend(tails.into_iter().zip(wanted).filter_map(begin));
            if !full {
                match self.next_domain(inlet, &mut domain).await {
                    true => after = None,
                    false => return loaded,
                }
            }
        }
    }

    /// The next of the subscriptions that a feed may show; those of one domain where it shows many.
    async fn next_watched(
        &self,
        inlet: &Inlet,
        domain: &str,
        after: Option<(NodeKey, Subscription)>,
    ) -> Result<Vec<(Node, Subscription)>, Failure> {
        let store = self.engine.store();
        match &inlet.whom {
            Whom::Session(full) => store.read_watched(full.bare().clone(), after, LOADED_AT_ONCE).await,
            Whom::Domain(only) => store.read_watched_at(only.clone(), after, LOADED_AT_ONCE).await,
            Whom::Elsewhere(_) if domain.is_empty() => Ok(Vec::new()),
            Whom::Elsewhere(_) => store.read_watched_at(domain.to_owned(), after, LOADED_AT_ONCE).await,
        }
    }

    /// Moves on to the next domain at which somebody subscribes, for a feed that shows several.
    async fn next_domain(&self, inlet: &Inlet, domain: &mut String) -> bool {
        let Whom::Elsewhere(but) = &inlet.whom else { return false };
        loop {
            match self.engine.store().next_subscriber_domain(std::mem::take(domain)).await {
                Ok(Some(next)) => {
                    *domain = next;
                    if !but.contains(domain) {
                        return true;
                    }
                }
                Ok(None) => return false,
                Err(failure) => {
                    tracing::error!(%failure, session = %inlet.whom, "subscribers' domains cannot be read");
                    return false;
                }
            }
        }
    }
}

/// Subscriptions read at once when a session comes online.
const LOADED_AT_ONCE: usize = 256;
/// Before a right that could not be checked is asked for again.
const RETRY_PAUSE: std::time::Duration = std::time::Duration::from_millis(200);
