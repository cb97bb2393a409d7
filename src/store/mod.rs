//! What is kept, and the promises of keeping it.
//!
//! [`Store`] is a port: `sqlite` keeps on disk, `memory` keeps for tests, and both pass the one
//! contract in `contract.rs`. Not here: rules (`pubsub` decides), caches and batching (`engine`),
//! who may see what. A store is handed decisions and answers questions; it never decides.
//!
//! Promises of every implementation:
//! 1. [`Store::commit`] is atomic and durable when it answers `Ok`: it survives `kill -9`, and power
//!    loss with durability `full`.
//! 2. `Err(Failure::Stale)`, `Full` and `Refused` mean that nothing of the batch was done; `Unknown`
//!    means that nobody knows, and is never used for "not done".
//! 3. A read that begins after a commit was answered sees that commit.
//! 4. A [`NodeKey`] is never handed out twice, whatever is deleted or rolled back.
//! 5. No operation's cost grows with the number of nodes, items or subscriptions that it does not name.

mod account;
mod archive;
mod batch;
#[cfg(test)]
mod contract;
mod counted;
mod memo;
pub mod memory;
mod page;
pub mod sqlite;
mod webhook;

use std::fmt;
use std::ops::Range;
use std::pin::Pin;

use crate::im::{Departure, Roster, RosterChange, RosterPlace, StoredStanza};
use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Affiliation, Change, Contact, Event, Graph, ItemFact, ItemId, Node, NodeAddress, NodeId, NodeKey, NodeState, Order,
    Page, Payload, Payloads, Selection, Seq, Subscription,
};
use crate::time::Timestamp;

pub use account::FastToken;
pub use account::{Account, AccountTotals, ScramKeys, Token, Verifier};
pub use archive::{
    ArchiveEntry, ArchivePage, ArchivePlace, ArchiveQuery, ArchiveRange, Archived, Archives, Filing, Keeping, Waiting,
};
pub use memo::{Memo, MemoKey};
pub use page::ITEMS_PAGE_BYTES_MAX;
pub use webhook::{ATTEMPTS_KEPT, Attempted, Parked, Settled, Webhook};

/// The answer of a store, later.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

pub trait Store: Archives + Send + Sync + 'static {
    /// What this store is, fixed when it was opened.
    fn identity(&self) -> &Identity;

    /// Hands out node keys that nobody had before and nobody will have again.
    fn reserve_node_keys(&self, count: u32) -> Pending<'_, Range<i64>>;

    /// Answers many small questions in one go, position by position, from one consistent view.
    fn gather(&self, asks: Vec<Ask>) -> Pending<'_, Vec<Found>>;

    /// Writes all of it or nothing, in the order given.
    fn commit(&self, batch: Vec<NodeCommit>) -> Pending<'_, ()>;

    /// Events after `after`, oldest first: at most `events_max`, and no more once `bytes_max` of
    /// payload are passed (but at least one, where there is one). `floor_seq` and `last_seq` are of
    /// the same view. Absent when there is no such node any more.
    fn read_log(&self, node: NodeKey, after: Seq, events_max: usize, bytes_max: usize) -> Pending<'_, Option<LogPage>>;

    /// Current items with their payloads, oldest first within the page. Edges are seqs in decimal, and
    /// name places: they serve when their item has gone. `Selection::These` is answered in the order
    /// asked, each item once, and an edge must be one of those items. A page ends early when its
    /// payloads have passed [`ITEMS_PAGE_BYTES_MAX`]; it is not `complete` then.
    fn read_items(&self, node: NodeKey, selection: Selection, page: Page) -> Pending<'_, List<Item>> {
        self.read_items_by(node, selection, page, Order::Modification, Payloads::Read)
    }

    /// The same in another order, or without what is heavy. With `Payloads::Left` no payload is read, and none is there. With `Order::Creation` the list is
    /// ordered by the seq of each item's first publication, which is the edge then, and
    /// of which `Selection::Newest` are the newest. `Selection::These` is as ever.
    fn read_items_by(
        &self,
        node: NodeKey,
        selection: Selection,
        page: Page,
        order: Order,
        payloads: Payloads,
    ) -> Pending<'_, List<Item>>;

    /// Owners and publishers of a node, ordered by affiliation and JID; at most `max`.
    fn read_leading(&self, node: NodeKey, max: usize) -> Pending<'_, Vec<(BareJid, Affiliation)>>;

    /// Subscriptions of one entity at a service, or at one node of it; ordered by node id, then bare
    /// JID, resource (none first) and subid. Edges are what [`List::first`] and [`List::last`] bore.
    fn read_subscriptions_of(
        &self,
        service: BareJid,
        jid: BareJid,
        node: Option<NodeKey>,
        page: Page,
    ) -> Pending<'_, List<(NodeId, Subscription)>>;

    /// Affiliations of one entity at a service, or at one node of it; ordered by node id, which is the
    /// edge.
    fn read_affiliations_of(
        &self,
        service: BareJid,
        jid: BareJid,
        node: Option<NodeKey>,
        page: Page,
    ) -> Pending<'_, List<(NodeId, Affiliation)>>;

    /// All subscriptions of a node, ordered by bare JID, resource (none first) and subid. Edges are what
    /// [`List::first`] and [`List::last`] bore.
    fn read_node_subscriptions(&self, node: NodeKey, page: Page) -> Pending<'_, List<Subscription>>;

    /// All affiliations of a node, ordered by JID, which is the edge.
    fn read_node_affiliations(&self, node: NodeKey, page: Page) -> Pending<'_, List<(BareJid, Affiliation)>>;

    /// Nodes of a service, ordered by node id (bytewise). Edges are node ids. With a viewer, hidden
    /// nodes are left out and not counted, but for those where he has an affiliation (other than
    /// outcast) or a subscription.
    fn read_nodes(&self, service: BareJid, viewer: Option<BareJid>, page: Page) -> Pending<'_, List<Node>>;

    /// Every subscription of an account, at every service: what a session must watch when it comes
    /// online. Ordered by node key, resource (none first) and subid; at most `max` of them, after the
    /// given (node key, subscription) of the last answer.
    fn read_watched(
        &self,
        jid: BareJid,
        after: Option<(NodeKey, Subscription)>,
        max: usize,
    ) -> Pending<'_, Vec<(Node, Subscription)>>;

    /// Every subscription of the addresses at a domain: what whoever speaks for it must watch. Ordered by
    /// node key, bare JID, resource (none first) and subid; at most `max` of them, after the given
    /// (node key, subscription) of the last answer.
    fn read_watched_at(
        &self,
        domain: String,
        after: Option<(NodeKey, Subscription)>,
        max: usize,
    ) -> Pending<'_, Vec<(Node, Subscription)>>;

    /// The first domain after the given one (bytewise) at which somebody subscribes to something.
    fn next_subscriber_domain(&self, after: String) -> Pending<'_, Option<String>>;

    /// Subscriptions that end by themselves, the earliest first; at most `max`.
    fn lapsing(&self, lapse: Lapse, max: usize) -> Pending<'_, Vec<(NodeAddress, Subscription)>>;

    /// The nodes of these names that these accounts have, each with its newest item.
    fn read_personal(&self, accounts: Vec<BareJid>, nodes: Vec<NodeId>) -> Pending<'_, Vec<(Node, Option<Item>)>>;

    /// Those of these nodes that there are and that have an item, each with its newest, in the order asked.
    fn read_newest(&self, nodes: Vec<NodeAddress>) -> Pending<'_, Vec<(Node, Item)>>;

    /// Who has published to nodes whose items stand as long as their publishers are online: the first after this
    /// one (bytewise).
    fn next_passing(&self, after: String) -> Pending<'_, Option<BareJid>>;

    /// Items of a publisher at such nodes; at most `max`. Nothing where it is not known to have any, and an empty
    /// list where it had.
    fn read_passing(&self, publisher: BareJid, max: usize) -> Pending<'_, Option<Vec<(Node, ItemFact)>>>;

    /// A publisher is no longer known to have items at such nodes, but where it has.
    fn settle_passing(&self, publisher: BareJid) -> Pending<'_, ()>;

    /// Subscriptions that wait for approval, at nodes of a service, or of an owner, or at one node;
    /// ordered by node key, bare JID, resource and subid; at most `max`.
    fn read_pending(
        &self,
        service: Option<BareJid>,
        owner: Option<BareJid>,
        node: Option<NodeKey>,
        max: usize,
    ) -> Pending<'_, Vec<(Node, Subscription)>>;

    /// Nodes with an item that is due to go by now, the earliest first and at most `max`; and when the
    /// next one after now is.
    fn due_items(&self, now: Timestamp, max: usize) -> Pending<'_, (Vec<NodeAddress>, Option<Timestamp>)>;

    /// Nodes that keep items, or those that keep none, whose oldest retained event is older than
    /// `before`, the oldest first; at most `max`.
    fn stale_logs(&self, keeps_items: bool, before: Timestamp, max: usize) -> Pending<'_, Vec<NodeAddress>>;

    /// The least `floor_seq` with which every retained event is at least as new as `since` and the
    /// payloads of the log make at most `bytes_max`; never below the floor that stands. 0 for a node
    /// that is no more.
    fn floor_for(&self, node: NodeKey, since: Timestamp, bytes_max: u64) -> Pending<'_, Seq>;

    /// What stands around a node in the graph of collections, nothing where there is none of the name, and the nodes of these names beside it, as
    /// the caller stands to each; of the same view. All children: a collection holds no more than it may.
    fn read_graph(
        &self,
        service: BareJid,
        node: Option<NodeId>,
        named: Vec<NodeId>,
        caller: BareJid,
    ) -> Pending<'_, Graph>;

    /// The names of the collections in which a node stands, and of the nodes that it holds; each ordered.
    fn read_relations(&self, node: NodeKey) -> Pending<'_, (Vec<NodeId>, Vec<NodeId>)>;

    /// The nodes at most so many steps below a collection, each once with its least distance, the nearest
    /// first; at most `max`.
    fn read_descendants(&self, root: NodeKey, depth: u32, max: usize) -> Pending<'_, Vec<(Node, u32)>>;

    /// Forgets tombstones of nodes deleted before then.
    fn forget_tombstones(&self, before: Timestamp) -> Pending<'_, ()>;

    /// Forgets what was answered under idempotency keys that have expired by then.
    fn forget_memos(&self, now: Timestamp) -> Pending<'_, ()>;

    fn account(&self, jid: BareJid) -> Pending<'_, Option<Account>>;
    /// Creates or replaces.
    fn put_account(&self, account: Account) -> Pending<'_, ()>;
    /// Many at once, in one transaction; for imports.
    fn put_accounts(&self, accounts: Vec<Account>) -> Pending<'_, ()>;
    /// Removes the account with its tokens, those of FAST too, its roster, its archive, and what waits for it; its nodes,
    /// affiliations and subscriptions, and what rosters of others let it see. A node of which it was the
    /// only owner is the service's own then. Whether there was one.
    fn remove_account(&self, jid: BareJid) -> Pending<'_, bool>;
    /// Ordered by JID, after the given one; at most `max`.
    fn accounts(&self, after: Option<BareJid>, max: usize) -> Pending<'_, Vec<Account>>;
    /// The others that look like this address (see [`BareJid::look`]), ordered by JID; at most `max`.
    fn accounts_like(&self, jid: BareJid, max: usize) -> Pending<'_, Vec<BareJid>>;
    /// How many there are, for nothing.
    fn account_totals(&self) -> Pending<'_, AccountTotals>;

    fn token(&self, id: String) -> Pending<'_, Option<Token>>;
    fn put_token(&self, token: Token) -> Pending<'_, ()>;
    /// Whether there was one.
    fn remove_token(&self, id: String) -> Pending<'_, bool>;
    /// Of one account or of all, ordered by id.
    fn tokens(&self, account: Option<BareJid>) -> Pending<'_, Vec<Token>>;
    /// Best effort; loses nothing that matters when it fails.
    fn touch_token(&self, id: String, used: Timestamp) -> Pending<'_, ()>;

    /// Everything that an account has of others, from one view.
    fn roster(&self, owner: BareJid) -> Pending<'_, Roster>;
    /// Entries of (owner, contact), position by position, from one view.
    fn roster_places(&self, of: Vec<(BareJid, BareJid)>) -> Pending<'_, Vec<RosterPlace>>;
    /// Writes all of it or nothing, in the order given; the version of the owner's roster after each.
    fn put_roster(&self, changes: Vec<RosterChange>) -> Pending<'_, Vec<u64>>;

    /// Whom each of these has blocked (XEP-0191), ordered by JID.
    fn blocked(&self, owners: Vec<BareJid>) -> Pending<'_, Vec<Vec<Jid>>>;
    /// Replaces the list.
    fn set_blocked(&self, owner: BareJid, jids: Vec<Jid>) -> Pending<'_, ()>;

    /// Messages that wait for an account, after the one of this number, oldest first; at most `max`.
    fn kept_messages(&self, owner: BareJid, after: i64, max: usize) -> Pending<'_, Vec<(i64, StoredStanza)>>;
    /// Forgets those up to and including this number.
    fn forget_messages(&self, owner: BareJid, through: i64) -> Pending<'_, ()>;

    /// When an account was available last (XEP-0012).
    fn departure(&self, owner: BareJid) -> Pending<'_, Option<Departure>>;
    /// Replaces it; nothing where there is no such account.
    fn put_departure(&self, owner: BareJid, departure: Departure) -> Pending<'_, ()>;

    fn webhook(&self, id: String) -> Pending<'_, Option<Webhook>>;
    /// Creates or replaces; what is parked stays.
    fn put_webhook(&self, webhook: Webhook) -> Pending<'_, ()>;
    /// With what is parked and its log; whether there was one.
    fn remove_webhook(&self, id: String) -> Pending<'_, bool>;
    /// Ordered by id, after the given one; at most `max`.
    fn webhooks(&self, after: Option<String>, max: usize) -> Pending<'_, Vec<Webhook>>;
    fn node_webhooks(&self, node: NodeKey) -> Pending<'_, Vec<Webhook>>;
    /// All of it or nothing; of each, whether the endpoint is still there.
    fn settle_webhooks(&self, settled: Vec<Settled>) -> Pending<'_, Vec<bool>>;
    /// Deliveries that have failed, in order of seq after the given one: those that are tried again, or
    /// the dead.
    fn parked(&self, webhook: String, dead: bool, after: Seq, max: usize) -> Pending<'_, Vec<Parked>>;
    /// The latest attempts of an endpoint, oldest first.
    fn attempts(&self, webhook: String) -> Pending<'_, Vec<Attempted>>;
    /// How many are tried again, and how many are dead.
    fn parked_counts(&self, webhook: String) -> Pending<'_, (u64, u64)>;

    /// The tokens of FAST that a client of an account has: the one that was not used yet, then the one
    /// that was.
    fn fast_tokens(&self, account: BareJid, client: String) -> Pending<'_, Vec<FastToken>>;
    /// Replaces those of a client: at most one that was used and one that was not. Of the account's
    /// clients only the `clients_max` keep theirs whose last token was issued last.
    fn put_fast_tokens(
        &self,
        account: BareJid,
        client: String,
        tokens: Vec<FastToken>,
        clients_max: usize,
    ) -> Pending<'_, ()>;
    /// Those of all clients of an account.
    fn remove_fast_tokens(&self, account: BareJid) -> Pending<'_, ()>;

    /// Finishes what was begun and releases the storage. Later calls fail.
    fn close(&self) -> Pending<'_, ()>;
}

/// Numbers and keys that were drawn when the store was made, or restored.
#[derive(Clone)]
pub struct Identity {
    /// Tells this store's history from that of any other; drawn anew when a backup is restored.
    pub incarnation: u32,
    /// The key of the MAC in cursors.
    pub cursor_key: [u8; 32],
    /// The key from which the salts of unknown users are made.
    pub decoy_key: [u8; 32],
}

impl Identity {
    /// The identity of a store that is new.
    fn draw() -> Result<Self, getrandom::Error> {
        let mut identity = Identity { incarnation: getrandom::u32()?, cursor_key: [0; 32], decoy_key: [0; 32] };
        getrandom::fill(&mut identity.cursor_key)?;
        getrandom::fill(&mut identity.decoy_key)?;
        Ok(identity)
    }
}

/// One node's share of a batch.
#[derive(Clone, Debug)]
pub struct NodeCommit {
    /// The node as it will be. `node.version` is what the row will bear.
    pub node: Node,
    /// The version that the row must have now; 0 when `changes` begins with `CreateNode`.
    pub expected_version: u64,
    /// In the order decided. Each `Purge` belongs to a `Purged` event, in the same order, and erases
    /// what is before it. `DeleteNode` is the last, and `events` not empty then: the last one's time is
    /// the tombstone's.
    pub changes: Vec<Change>,
    /// In order of seq, without a gap after the node's former `last_seq`.
    pub events: Vec<Event>,
    /// The former `floor_seq`, when it moves: events from there to below `node.floor_seq` go, but
    /// for those that a current item stands on.
    pub trim_from: Option<Seq>,
    /// What was answered to those who asked for this under a key; replaces an older memo of the key.
    pub memos: Vec<Memo>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Node(NodeAddress),
    Affiliation(NodeKey, BareJid),
    /// Of the bare JID and of all its full JIDs.
    Subscriptions(NodeKey, BareJid),
    Item(NodeKey, ItemId),
    /// What that item holds.
    Payload(NodeKey, ItemId),
    /// The so many oldest items by seq.
    Oldest(NodeKey, u64),
    /// At most so many of the node's owners, ordered by JID.
    Owners(NodeKey, usize),
    /// At most so many of those who wait for approval, ordered by bare JID, resource and subid.
    Waiting(NodeKey, usize),
    /// What was answered under a key, expired or not.
    Memo(MemoKey),
    /// What the roster of the first says of the second. Rosters change apart from turns: an answer
    /// holds for one turn, and for watchers until [`crate::engine::Engine::contact_changed`].
    Contact(BareJid, BareJid),
}

/// Which subscriptions end by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// Leases that run until then, or shorter (XEP-0060 §12.19).
    By(Timestamp),
    /// Those that last as long as the presence of their subscribers (XEP-0060 §12.5).
    WithPresence,
    /// The same of one subscriber.
    WithPresenceOf(BareJid),
}

#[derive(Clone, Debug)]
pub enum Found {
    Node(NodeState),
    Affiliation(Affiliation),
    Subscriptions(Vec<Subscription>),
    Item(Option<ItemFact>),
    Payload(Option<Payload>),
    Oldest(Vec<ItemFact>),
    Owners(Vec<BareJid>),
    Waiting(Vec<Subscription>),
    /// And how many memos the key's caller has in all.
    Memo(Option<Box<Memo>>, u64),
    Contact(Option<Contact>),
}

/// A part of a node's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    pub events: Vec<Event>,
    pub floor_seq: Seq,
    pub last_seq: Seq,
}

/// A current item, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub fact: ItemFact,
    /// Where an item of its id was published that was new.
    pub created: Seq,
    pub payload: Option<Payload>,
}

/// A page of a list (XEP-0059 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T> {
    pub entries: Vec<T>,
    /// How many the whole list has.
    pub count: u64,
    /// Keys of the first and last entry of this page, to be used as edges.
    pub first: Option<String>,
    pub last: Option<String>,
    /// How many entries stand before the first of this page, where that is known for nothing.
    pub index: Option<u64>,
    /// Nothing follows (or, for a page read backwards, nothing stands before).
    pub complete: bool,
}

/// What went wrong with the storage. Not a refusal: nobody's request was at fault, but for
/// `NoSuchEdge`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A node was changed by another writer; gather again and decide again.
    Stale,
    /// No space is left. Reads go on.
    Full,
    /// The storage refused, and nothing was done.
    Refused(String),
    /// The outcome of a write is not known.
    Unknown(String),
    /// A read failed.
    Read(String),
    /// The edge of a page names an entry that is not in the list (XEP-0059 §2.2: `item-not-found`).
    NoSuchEdge,
    /// The store is closed.
    Closed,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Stale => f.write_str("another writer changed the node"),
            Failure::Full => f.write_str("the disk is full: free some space; nothing was stored"),
            Failure::Refused(why) => write!(f, "the store refused, and nothing was stored: {why}"),
            Failure::Unknown(why) => write!(f, "the outcome of a write is not known: {why}"),
            Failure::Read(why) => write!(f, "the store cannot be read: {why}"),
            Failure::NoSuchEdge => f.write_str("the page begins at an entry that is not there"),
            Failure::Closed => f.write_str("the store is closed"),
        }
    }
}

impl std::error::Error for Failure {}
