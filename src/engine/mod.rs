//! Turns: requests become decisions, decisions become one commit, commits become replies.
//!
//! All requests take one queue. A turn takes what has queued up, gathers the facts that are not in
//! the cache, decides each request against the facts *and the turn's private overlay*, commits the
//! whole in one transaction, and only then merges the overlay into the cache, lengthens the tails,
//! tells the [`Sink`] and answers. If the commit fails, the overlay is dropped and everyone is
//! answered honestly. There is no timed window: the batch is what queued up during the last turn.
//!
//! Not here: rules (`pubsub`), SQL (`store`), sockets and who is woken (`delivery`).

mod cache;
mod due;
mod names;
mod overlay;
mod read;
mod retention;
mod tail;
#[cfg(test)]
mod tests;
mod turn;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::jid::BareJid;
use crate::pubsub::{
    Affiliation, Change, Event, Node, NodeAddress, NodeId, NodeKey, Refusal, Reply, Request, Seq, ServicePolicy,
    Subscription, SubscriptionPolicy, Template, WhoCreates,
};
use crate::store::{Failure, Identity, Item, List, Store};
use crate::time::Clock;

pub use retention::Retention;
pub use tail::{Entry, Pull, Tail, Wake, WatcherId};
pub use turn::Turns;

/// The success of a request, with what was read where it was a reading.
#[derive(Clone, Debug)]
pub struct Answered {
    pub answer: Answer,
    /// Where the node's log stands with this answer: what follows this position is news to whoever
    /// has the answer. Absent where no node was concerned.
    pub at: Option<Position>,
}

#[derive(Clone, Debug)]
pub enum Answer {
    /// Never `Reply::Read`, which becomes one of the following.
    Reply(Reply),
    /// To [`Engine::ask_once`] alone: nothing was done now.
    Once(Before),
    Items {
        node: Arc<Node>,
        list: List<Item>,
    },
    Configuration {
        node: Arc<Node>,
        /// The collections in which it stands, and the nodes that it holds.
        collections: Vec<NodeId>,
        children: Vec<NodeId>,
    },
    /// What a collection holds.
    Children(Vec<Node>),
    Metadata {
        node: Arc<Node>,
        /// Owners and publishers, as far as they are listed.
        leading: Vec<(BareJid, Affiliation)>,
    },
    SubscriptionsOf(List<(NodeId, Subscription)>),
    AffiliationsOf(List<(NodeId, Affiliation)>),
    NodeSubscriptions(List<Subscription>),
    NodeAffiliations(List<(BareJid, Affiliation)>),
    /// Who waits for approval, and where.
    Pending(Vec<(Node, Subscription)>),
    Nodes(List<Node>),
}

/// A place in one node's log: everything up to and including `seq` is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub node: NodeKey,
    pub seq: Seq,
}

/// Why there is no success: the caller's fault, the storage's, or too much to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Wrong {
    Refused(Refusal),
    Failed(Failure),
    /// The queue is full; nothing was done; try again later.
    Overloaded,
}

/// What became of a key before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// It was done, and was answered so.
    Done(Reply),
    /// It was used for another request.
    Reused,
    /// The caller has used more keys within their lifetime than are remembered.
    Exhausted,
}

/// What makes a publish happen once, however often it is asked for. Keys are their caller's and their
/// node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    pub key: Arc<str>,
    /// A hash of all that the request says: the same key with another one is refused.
    pub fingerprint: [u8; 32],
}

/// Who is told of commits, before the requesters are answered. Called from the turn: must not wait.
pub trait Sink: Send + Sync + 'static {
    /// One decision has been committed. Called in the order of decisions; all tails have grown.
    fn committed(&self, commit: &Committed<'_>);

    /// These tails have grown; whoever watches them should look.
    fn grown(&self, tails: Vec<Arc<Tail>>);
}

/// One decision, committed.
pub struct Committed<'a> {
    /// The node as it is after this decision.
    pub node: &'a Arc<Node>,
    pub changes: &'a [Change],
    /// Where the node's log stood before.
    pub before: Seq,
    pub events: &'a [Event],
    /// Who asked for it; nobody, where the service did it by itself.
    pub by: Option<&'a BareJid>,
    tails: &'a tail::Tails,
}

impl Committed<'_> {
    /// The node's tail, begun with the head of this decision where nobody watched it before.
    pub fn tail(&self) -> Arc<Tail> {
        self.tails.watch(self.node)
    }
}

/// The settings of the engine and what holds for every service.
#[derive(Clone, Debug)]
pub struct Options {
    /// Requests that may wait for a turn; beyond it callers are told to come back.
    pub queue_max: usize,
    /// Requests decided and committed at once.
    pub turn_requests_max: usize,
    /// Facts kept in memory, counted one by one, over all nodes.
    pub cached_facts_max: usize,
    /// Bytes of recent events that one node keeps in memory for its watchers.
    pub tail_bytes_max: usize,
    /// The same over all nodes.
    pub tails_bytes_max: usize,
    pub retention: Retention,
    pub who_creates: WhoCreates,
    pub auto_create: bool,
    /// Of pub/sub services; accounts have none.
    pub templates: Arc<[Template]>,
    /// The domains of accounts: each is a service of its own (XEP-0163).
    pub servers: Arc<[BareJid]>,
    pub payload_bytes_max: u64,
    pub items_max: u64,
    pub children_max: u64,
    pub parents_max: usize,
    pub batch_items_max: usize,
    pub attached_items_max: u64,
    pub subscriptions: SubscriptionPolicy,
    /// For how long the answer to a request under a key is remembered.
    pub memo_seconds: i64,
    /// Keys of one caller that are remembered at once; with more of them nothing is done.
    pub memos_per_caller_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            queue_max: 8192,
            turn_requests_max: 512,
            cached_facts_max: 400_000,
            tail_bytes_max: 1 << 20,
            tails_bytes_max: 256 << 20,
            retention: Retention::default(),
            who_creates: WhoCreates::Accounts,
            auto_create: false,
            templates: Arc::default(),
            servers: Arc::default(),
            payload_bytes_max: 262_144 - 8192,
            items_max: 10_000,
            children_max: 1000,
            parents_max: 16,
            batch_items_max: 256,
            attached_items_max: 1000,
            subscriptions: SubscriptionPolicy::default(),
            memo_seconds: 24 * 60 * 60,
            memos_per_caller_max: 1_000_000,
        }
    }
}

impl Options {
    /// The rules of a service under these settings.
    pub fn policy(&self, service: BareJid) -> ServicePolicy {
        let personal = service.local().is_some();
        let of_server = self.servers.contains(&service);
        let templates = if personal || of_server { Arc::default() } else { self.templates.clone() };
        ServicePolicy {
            service,
            of_server,
            templates,
            // XEP-0163 §3.
            who_creates: match (personal, of_server) {
                (true, _) => WhoCreates::Itself,
                (false, true) => WhoCreates::Admins,
                (false, false) => self.who_creates,
            },
            auto_create: personal || of_server || self.auto_create,
            payload_bytes_max: self.payload_bytes_max,
            items_max: self.items_max,
            children_max: self.children_max,
            parents_max: self.parents_max,
            batch_items_max: self.batch_items_max,
            attached_items_max: self.attached_items_max,
            subscriptions: self.subscriptions.clone(),
        }
    }
}

/// The engine, to be cloned and handed about.
#[derive(Clone)]
pub struct Engine {
    queue: mpsc::Sender<Job>,
    shared: Arc<Shared>,
}

struct Shared {
    counters: Counters,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    tails: tail::Tails,
    options: Options,
}

/// Counts for whoever watches the server; each only grows.
#[derive(Debug, Default)]
pub struct Counters {
    /// Turns that wrote something.
    pub commits: AtomicU64,
    /// Events that these put into logs.
    pub events: AtomicU64,
    /// Publications among them.
    pub publications: AtomicU64,
    /// Requests that the rules refused.
    pub refusals: AtomicU64,
    /// Requests that found the queue full.
    pub overloads: AtomicU64,
}

/// What waits for a turn.
enum Job {
    Ask { request: Box<Request>, once: Option<Once>, reply: oneshot::Sender<Result<Answered, Wrong>> },
    Tails { nodes: Vec<Arc<Node>>, reply: oneshot::Sender<Result<Vec<Option<Arc<Tail>>>, Failure>> },
    Forget(oneshot::Sender<()>),
}

impl Engine {
    /// The engine over a store, and the turns that somebody has to run.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, options: Options) -> (Engine, Turns) {
        let (queue, jobs) = mpsc::channel(options.queue_max);
        let tails = tail::Tails::new(options.tail_bytes_max, options.tails_bytes_max);
        let shared = Arc::new(Shared { counters: Counters::default(), store, clock, tails, options });
        (Engine { queue, shared: shared.clone() }, Turns::new(jobs, shared))
    }

    /// Asks, and waits for the answer. The request takes its place in the order of all requests when
    /// the future is polled for the first time; dropping it afterwards does not take it back.
    pub async fn ask(&self, request: Request) -> Result<Answered, Wrong> {
        self.queue(request, None).await
    }

    /// Asks for a publish that is to happen once. Its answer is committed with it, so that whoever
    /// asks again within [`Options::memo_seconds`] is answered with [`Answer::Once`]. What was refused
    /// is not remembered.
    pub async fn ask_once(&self, request: Request, once: Once) -> Result<Answered, Wrong> {
        self.queue(request, Some(once)).await
    }

    async fn queue(&self, request: Request, once: Option<Once>) -> Result<Answered, Wrong> {
        let (reply, answer) = oneshot::channel();
        match self.queue.try_send(Job::Ask { request: Box::new(request), once, reply }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.shared.counters.overloads.fetch_add(1, Ordering::Relaxed);
                return Err(Wrong::Overloaded);
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Wrong::Failed(Failure::Closed)),
        }
        answer.await.unwrap_or(Err(Wrong::Failed(Failure::Closed)))
    }

    /// The tails of these nodes, in order; none for a node that is gone.
    pub async fn tails(&self, nodes: Vec<Arc<Node>>) -> Result<Vec<Option<Arc<Tail>>>, Wrong> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Job::Tails { nodes, reply }).await.map_err(|_| Wrong::Failed(Failure::Closed))?;
        answer.await.unwrap_or(Err(Failure::Closed)).map_err(Wrong::Failed)
    }

    /// What has been done since the start.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Requests that wait for a turn.
    pub fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// The roster of this account was changed, and the change is committed: who may read its nodes
    /// must be asked anew. To be called before the change is answered; once it returns, nothing is
    /// shown to anybody upon a right that the former roster gave.
    pub fn contact_changed(&self, owner: &BareJid) {
        self.shared.tails.doubt_rights(owner);
    }

    /// Something of nodes was changed apart from turns, as when an account is removed with its
    /// affiliations: what is known is asked for anew. To be called before the change is answered.
    pub async fn forget_facts(&self) -> Result<(), Wrong> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Job::Forget(reply)).await.map_err(|_| Wrong::Failed(Failure::Closed))?;
        answer.await.map_err(|_| Wrong::Failed(Failure::Closed))
    }

    pub fn identity(&self) -> &Identity {
        self.shared.store.identity()
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// The rules of a service, as its forms must show them.
    pub fn policy(&self, service: &BareJid) -> ServicePolicy {
        self.shared.options.policy(service.clone())
    }
}

/// An address that a request speaks of.
fn address_of(request: &Request) -> Option<NodeAddress> {
    let node = request.verb.node()?.clone();
    Some(NodeAddress { service: request.service.clone(), node })
}
