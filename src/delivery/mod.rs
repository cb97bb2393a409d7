//! Who is woken for an event, and how a watcher reads the log: cursors, followers, feeds, catch-up.
//!
//! Every watcher on every transport is a position in a node's log. A wake-up is only a hint.
//! Not here: how an event looks on a wire (`xep`, `http`), and the commit (`engine`).

mod cursor;
mod feed;
mod follow;
mod leases;
mod pages;
mod passing;
mod recent;
#[cfg(test)]
mod tests;
mod told;
pub mod webhook;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::engine::{Committed, Engine, Sink, Tail};
use crate::jid::BareJid;
use crate::pubsub::{Change, Expire, NodeAddress, Subscription, SubscriptionState, notices};

pub use cursor::{CURSOR_CHARS, CursorError, Cursors, NODES_MAX};
pub use feed::{Again, Behind, Bounce, Feed, Personal, Shown, Tag, Whom};
pub use follow::{Ending, Followed, Follower, Ring, Start};
pub use recent::Moment;
pub use told::Told;

/// The settings of delivery.
#[derive(Clone, Debug)]
pub struct Options {
    /// Pages of logs read at once for watchers that fell below a tail.
    pub catchups_max: usize,
    /// Events and bytes of payload in one such page.
    pub page_events_max: usize,
    pub page_bytes_max: usize,
    /// Subscriptions that one session watches; those beyond it get nothing, and a line in the log.
    pub watches_per_session_max: usize,
    /// The same for whoever speaks for a domain.
    pub watches_per_link_max: usize,
    /// Notifications that come back one after the other, with an error that may pass, before their
    /// subscription ends; 0 for any number.
    pub bounces_max: u64,
    /// Items that a session is shown of those that it has missed (XEP-0312); the newest of each node.
    pub missed_items_max: usize,
    /// One JID may have several subscriptions to a node, so that notifications name theirs.
    pub multi_subscribe: bool,
    /// Notices of subscriptions and affiliations that wait to be sent; what comes beyond is not told.
    pub notices_waiting_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            catchups_max: 64,
            page_events_max: 64,
            page_bytes_max: 256 << 10,
            watches_per_session_max: 10_000,
            watches_per_link_max: 1_000_000,
            bounces_max: 16,
            missed_items_max: 1000,
            multi_subscribe: false,
            notices_waiting_max: 16_384,
        }
    }
}

/// Delivery, to be cloned and handed about. It is the engine's [`Sink`].
#[derive(Clone)]
pub struct Delivery {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    cursors: Cursors,
    options: Options,
    /// Sessions by account. Only accounts with a session stand here.
    online: Mutex<HashMap<BareJid, Vec<Arc<feed::Inlet>>>>,
    /// Those who speak for others: components, and the server behind which we are one.
    links: Mutex<Vec<Arc<feed::Inlet>>>,
    /// Sessions by the accounts that they follow without a subscription.
    followers: Mutex<feed::Followers>,
    /// Tails whose watchers have not been woken yet; each at most once.
    grown: Mutex<Vec<Arc<Tail>>>,
    growth: Notify,
    recent: recent::Recent,
    /// Temporary subscriptions whose subscribers have gone. As many as sessions had.
    gone: Mutex<Vec<(NodeAddress, Subscription)>>,
    /// Accounts whose last session has gone. As many as there were sessions.
    departed: Mutex<HashSet<(BareJid, passing::Was)>>,
    /// Those who spoke for others and have gone. As many as there were.
    links_departed: Mutex<Vec<Whom>>,
    /// Rung when a lease may end earlier than was known.
    lease: Notify,
    pages: pages::Pages,
    catchups: Semaphore,
    /// Pages of logs read since the start.
    pages_read: AtomicU64,
    stop: CancellationToken,
    told: mpsc::Sender<Told>,
    /// Until somebody takes it.
    to_tell: Mutex<Option<mpsc::Receiver<Told>>>,
}

impl Delivery {
    /// `stop` ends every follower.
    pub fn new(engine: Engine, options: Options, stop: CancellationToken) -> Self {
        let cursors = Cursors::new(engine.identity());
        let catchups = Semaphore::new(options.catchups_max);
        let (told, to_tell) = mpsc::channel(options.notices_waiting_max);
        Delivery {
            shared: Arc::new(Shared {
                engine,
                cursors,
                options,
                online: Mutex::default(),
                links: Mutex::default(),
                followers: Mutex::default(),
                grown: Mutex::default(),
                growth: Notify::new(),
                recent: recent::Recent::default(),
                gone: Mutex::default(),
                links_departed: Mutex::default(),
                departed: Mutex::default(),
                lease: Notify::new(),
                pages: pages::Pages::default(),
                catchups,
                pages_read: AtomicU64::new(0),
                stop,
                told,
                to_tell: Mutex::new(Some(to_tell)),
            }),
        }
    }

    pub fn cursors(&self) -> &Cursors {
        &self.shared.cursors
    }

    /// Now, for a session that is about to become available: see [`Feed::set_available`].
    pub fn moment(&self) -> Moment {
        self.shared.recent.moment()
    }

    /// What is to be told, for whoever tells it. Taken once.
    pub fn notices(&self) -> Option<mpsc::Receiver<Told>> {
        lock(&self.shared.to_tell).take()
    }

    /// XMPP sessions that events are delivered to.
    pub fn sessions(&self) -> usize {
        lock(&self.shared.online).values().map(Vec::len).sum()
    }

    /// Pages of logs that were read for watchers that fell below a tail, since the start.
    pub fn pages_read(&self) -> u64 {
        self.shared.pages_read.load(Ordering::Relaxed)
    }

    pub fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// Wakes the watchers of what has grown, until `stop`. One task runs this, apart from the turns,
    /// so that a node with many watchers does not hold up the next commit.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let grown = std::mem::take(&mut *lock(&self.shared.grown));
            for tail in &grown {
                tail.wake_all();
            }
            if grown.is_empty() {
                tokio::select! {
                    () = self.shared.growth.notified() => {}
                    () = stop.cancelled() => return,
                }
            } else {
                // Sessions woken above share the machine with this loop.
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Shared {
    fn announce(&self, told: Told) {
        if let Err(error) = self.told.try_send(told) {
            let told = error.into_inner();
            tracing::warn!(node = %told.node.address, "too many notices wait to be sent: one is not told");
        }
    }
}

impl Sink for Delivery {
    fn committed(&self, commit: &Committed<'_>) {
        if commit.before < commit.node.last_seq {
            self.shared.recent.note(commit.node.key, commit.before);
        }
        self.shared.offer(commit);
        for notice in notices(&commit.node.config, commit.by, commit.changes) {
            self.shared.announce(Told { node: commit.node.clone(), by: commit.by.cloned(), notice });
        }
        for change in commit.changes {
            let Change::SetSubscription { subscription } = change else { continue };
            if matches!(subscription.options.expire, Expire::At(_)) {
                self.shared.lease.notify_one();
            }
            let online = lock(&self.shared.online);
            let links = lock(&self.shared.links);
            let inlets = online.get(subscription.jid.bare()).into_iter().flatten().chain(&*links);
            for inlet in inlets.filter(|inlet| inlet.wants(&subscription.jid)) {
                if subscription.state == SubscriptionState::Subscribed {
                    let since = self.shared.recent.moment();
                    inlet.add(commit.tail(), subscription.clone(), commit.node.last_seq, since);
                } else {
                    inlet.remove(commit.node.key, subscription.clone());
                }
            }
        }
    }

    fn grown(&self, tails: Vec<Arc<Tail>>) {
        lock(&self.shared.grown).extend(tails);
        self.shared.growth.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
