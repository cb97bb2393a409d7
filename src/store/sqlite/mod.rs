//! The store on disk: one SQLite file beside its write-ahead log.
//!
//! One thread owns the connection that writes; a few others own one each that can only read. Every
//! answer is read from one transaction, so it is one consistent view, and because a write-ahead log
//! lets readers begin after any commit that was answered, they see it.
//!
//! What is done when the disk refuses is told in `writer.rs`; the tables in `migrations/`.
//! Not here: batching (one `commit` is one transaction, and `engine` makes it large), caches of facts.

mod accounts;
mod archive;
mod commit;
mod contacts;
mod departed;
mod fast;
mod graph;
mod lists;
mod memos;
mod open;
mod passing;
mod queue;
mod read;
mod row;
#[cfg(test)]
mod tests;
mod trouble;
mod webhooks;
mod writer;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, params};

use crate::im::{Departure, Roster, RosterChange, RosterPlace, StoredStanza};
use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Affiliation, Graph, ItemFact, Node, NodeAddress, NodeId, NodeKey, Order, Page, Payloads, Selection, Seq,
    Subscription,
};
use crate::store::FastToken;
use crate::store::{
    Account, AccountTotals, Ask, Attempted, Failure, Found, Identity, Item, Lapse, List, LogPage, NodeCommit, Parked,
    Pending, Settled, Store, Token, Webhook,
};
use crate::time::Timestamp;

pub use open::OpenError;

use queue::Queue;
use trouble::Trouble;
use writer::Writer;

/// Where the file is and what it may cost.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The database file, in a directory that exists. Others are put beside it.
    pub path: PathBuf,
    pub durability: Durability,
    /// Threads that read, each with a connection.
    pub readers: usize,
    /// Writes that may wait for the writer; whoever comes later waits before the queue.
    pub writer_queue_max: usize,
    /// Reads that may wait for a reader.
    pub reader_queue_max: usize,
    /// Pages kept in memory, in KiB, for each connection.
    pub cache_kib: u32,
    /// The write-ahead log is moved into the database when it has grown to this, in KiB. A larger one
    /// costs a longer wait then, and fewer writes in all.
    pub wal_kib: u32,
    /// How long to wait for another program that holds the database, such as a backup.
    pub busy_timeout_ms: u64,
}

/// What a commit that was answered survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The loss of power.
    Full,
    /// The end of the process, however it comes. The loss of power may take the last commits, but
    /// never their order.
    Relaxed,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        SqliteOptions {
            path: PathBuf::from("tidings.db"),
            durability: Durability::Full,
            readers: 2,
            writer_queue_max: 256,
            reader_queue_max: 1024,
            cache_kib: 16 * 1024,
            wal_kib: 64 * 1024,
            busy_timeout_ms: 5000,
        }
    }
}

pub struct SqliteStore {
    identity: Identity,
    writer: Queue<Writer>,
    readers: Queue<Connection>,
    closed: AtomicBool,
}

impl SqliteStore {
    /// Opens the file, or makes it. Blocks while it does.
    pub fn open(options: &SqliteOptions) -> Result<Self, OpenError> {
        let opened = open::open(options)?;
        let readers: Result<Vec<Connection>, OpenError> =
            (0..options.readers.max(1)).map(|_| open::connect_reader(options)).collect();
        let wal_pages_max = i64::from(options.wal_kib) * 1024 / i64::from(open::PAGE_BYTES);
        let writer = Writer::new(opened.connection, opened.lock, wal_pages_max.max(1));
        let no_thread =
            |error: std::io::Error| OpenError::Failed { path: options.path.clone(), why: error.to_string() };
        let writer = Queue::start("store-writer", vec![writer], options.writer_queue_max, Writer::tidy, Writer::close);
        let readers = Queue::start("store-reader", readers?, options.reader_queue_max, |_| (), drop);
        Ok(SqliteStore {
            identity: opened.identity,
            writer: writer.map_err(no_thread)?,
            readers: readers.map_err(no_thread)?,
            closed: AtomicBool::new(false),
        })
    }

    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Pending<'_, T> {
        Box::pin(async move {
            self.must_be_open()?;
            let lost = || Failure::Read("the reading thread has ended".to_owned());
            self.readers.ask(lost, |db| read_one_view(db, work).map_err(Trouble::of_read)).await
        })
    }

    /// Work in a transaction of its own.
    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Pending<'_, T> {
        self.on_writer(|writer| writer.transact(|db, _| work(db)))
    }

    fn on_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, Failure> + Send + 'static,
    ) -> Pending<'_, T> {
        Box::pin(async move {
            self.must_be_open()?;
            self.writer.ask(|| Failure::Unknown("the writing thread has ended".to_owned()), work).await
        })
    }

    fn must_be_open(&self) -> Result<(), Failure> {
        if self.closed.load(Ordering::Acquire) { Err(Failure::Closed) } else { Ok(()) }
    }
}

impl Store for SqliteStore {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn reserve_node_keys(&self, count: u32) -> Pending<'_, Range<i64>> {
        self.write(move |db| {
            let end: i64 = db
                .prepare_cached(
                    "UPDATE meta SET next_node_key = next_node_key + ?1 WHERE one = 1 RETURNING next_node_key",
                )?
                .query_row([count], |row| row.get(0))?;
            Ok(end - i64::from(count)..end)
        })
    }

    fn gather(&self, asks: Vec<Ask>) -> Pending<'_, Vec<Found>> {
        self.read(move |db| read::gather(db, &asks))
    }

    fn commit(&self, batch: Vec<NodeCommit>) -> Pending<'_, ()> {
        self.on_writer(move |writer| {
            let written = writer.transact(|db, configs| commit::write(db, configs, &batch))?;
            writer.configs.learn(written);
            Ok(())
        })
    }

    fn read_log(&self, node: NodeKey, after: Seq, events_max: usize, bytes_max: usize) -> Pending<'_, Option<LogPage>> {
        self.read(move |db| read::log(db, node, after, events_max, bytes_max))
    }

    fn read_items_by(
        &self,
        node: NodeKey,
        selection: Selection,
        page: Page,
        order: Order,
        payloads: Payloads,
    ) -> Pending<'_, List<Item>> {
        self.read(move |db| read::items(db, node, selection, page, read::ItemTexts::of(order, payloads)))
    }

    fn read_leading(&self, node: NodeKey, max: usize) -> Pending<'_, Vec<(BareJid, Affiliation)>> {
        self.read(move |db| lists::leading(db, node, max))
    }

    fn read_subscriptions_of(
        &self,
        service: BareJid,
        jid: BareJid,
        node: Option<NodeKey>,
        page: Page,
    ) -> Pending<'_, List<(NodeId, Subscription)>> {
        self.read(move |db| lists::subscriptions_of(db, &service, &jid, node, page))
    }

    fn read_affiliations_of(
        &self,
        service: BareJid,
        jid: BareJid,
        node: Option<NodeKey>,
        page: Page,
    ) -> Pending<'_, List<(NodeId, Affiliation)>> {
        self.read(move |db| lists::affiliations_of(db, &service, &jid, node, page))
    }

    fn read_node_subscriptions(&self, node: NodeKey, page: Page) -> Pending<'_, List<Subscription>> {
        self.read(move |db| lists::node_subscriptions(db, node, page))
    }

    fn read_node_affiliations(&self, node: NodeKey, page: Page) -> Pending<'_, List<(BareJid, Affiliation)>> {
        self.read(move |db| lists::node_affiliations(db, node, page))
    }

    fn read_nodes(&self, service: BareJid, viewer: Option<BareJid>, page: Page) -> Pending<'_, List<Node>> {
        self.read(move |db| match viewer {
            None => lists::nodes(db, &service, page),
            Some(viewer) => lists::nodes_for(db, &service, &viewer, page),
        })
    }

    fn read_pending(
        &self,
        service: Option<BareJid>,
        owner: Option<BareJid>,
        node: Option<NodeKey>,
        max: usize,
    ) -> Pending<'_, Vec<(Node, Subscription)>> {
        self.read(move |db| lists::pending(db, service.as_ref(), owner.as_ref(), node, max))
    }

    fn due_items(&self, now: Timestamp, max: usize) -> Pending<'_, (Vec<NodeAddress>, Option<Timestamp>)> {
        self.read(move |db| read::due_items(db, now, max))
    }

    fn read_watched(
        &self,
        jid: BareJid,
        after: Option<(NodeKey, Subscription)>,
        max: usize,
    ) -> Pending<'_, Vec<(Node, Subscription)>> {
        self.read(move |db| lists::watched(db, &jid, after.as_ref(), max))
    }

    fn read_watched_at(
        &self,
        domain: String,
        after: Option<(NodeKey, Subscription)>,
        max: usize,
    ) -> Pending<'_, Vec<(Node, Subscription)>> {
        self.read(move |db| lists::watched_at(db, &domain, after.as_ref(), max))
    }

    fn next_subscriber_domain(&self, after: String) -> Pending<'_, Option<String>> {
        self.read(move |db| lists::next_subscriber_domain(db, &after))
    }

    fn lapsing(&self, lapse: Lapse, max: usize) -> Pending<'_, Vec<(NodeAddress, Subscription)>> {
        self.read(move |db| lists::lapsing(db, lapse, max))
    }

    fn read_personal(&self, accounts: Vec<BareJid>, nodes: Vec<NodeId>) -> Pending<'_, Vec<(Node, Option<Item>)>> {
        self.read(move |db| {
            let every = accounts.iter().flat_map(|account| nodes.iter().map(move |node| (account, node)));
            lists::with_newest(db, every)
        })
    }

    fn read_newest(&self, nodes: Vec<NodeAddress>) -> Pending<'_, Vec<(Node, Item)>> {
        self.read(move |db| {
            let found = lists::with_newest(db, nodes.iter().map(|address| (&address.service, &address.node)))?;
            Ok(found.into_iter().filter_map(|(node, item)| Some((node, item?))).collect())
        })
    }

    fn next_passing(&self, after: String) -> Pending<'_, Option<BareJid>> {
        self.read(move |db| passing::next(db, &after))
    }

    fn read_passing(&self, publisher: BareJid, max: usize) -> Pending<'_, Option<Vec<(Node, ItemFact)>>> {
        self.read(move |db| passing::of(db, &publisher, max))
    }

    fn settle_passing(&self, publisher: BareJid) -> Pending<'_, ()> {
        self.write(move |db| passing::settle(db, &publisher))
    }

    fn stale_logs(&self, keeps_items: bool, before: Timestamp, max: usize) -> Pending<'_, Vec<NodeAddress>> {
        self.read(move |db| read::stale_logs(db, keeps_items, before, max))
    }

    fn floor_for(&self, node: NodeKey, since: Timestamp, bytes_max: u64) -> Pending<'_, Seq> {
        self.read(move |db| read::floor(db, node, since, bytes_max))
    }

    fn read_graph(
        &self,
        service: BareJid,
        node: Option<NodeId>,
        named: Vec<NodeId>,
        caller: BareJid,
    ) -> Pending<'_, Graph> {
        self.read(move |db| graph::graph(db, &service, node.as_ref(), &named, &caller))
    }

    fn read_relations(&self, node: NodeKey) -> Pending<'_, (Vec<NodeId>, Vec<NodeId>)> {
        self.read(move |db| graph::relations(db, node))
    }

    fn read_descendants(&self, root: NodeKey, depth: u32, max: usize) -> Pending<'_, Vec<(Node, u32)>> {
        self.read(move |db| graph::descendants(db, root, depth, max))
    }

    /// In slices, so that commits get between.
    fn forget_tombstones(&self, before: Timestamp) -> Pending<'_, ()> {
        Box::pin(async move {
            loop {
                let forgotten = self.write(move |db| {
                    let sql = "DELETE FROM tombstones WHERE (service, node) IN \
                               (SELECT service, node FROM tombstones WHERE deleted < ?1 LIMIT ?2)";
                    Ok(db.prepare_cached(sql)?.execute(params![before, TOMBSTONES_SLICE as i64])?)
                });
                if forgotten.await? < TOMBSTONES_SLICE {
                    return Ok(());
                }
            }
        })
    }

    /// In slices, as above.
    fn forget_memos(&self, now: Timestamp) -> Pending<'_, ()> {
        Box::pin(async move {
            while self.write(move |db| memos::forget(db, now, MEMOS_SLICE)).await? == MEMOS_SLICE {}
            Ok(())
        })
    }

    fn account(&self, jid: BareJid) -> Pending<'_, Option<Account>> {
        self.read(move |db| accounts::account(db, &jid))
    }

    fn put_account(&self, account: Account) -> Pending<'_, ()> {
        self.write(move |db| accounts::put(db, &account))
    }

    fn put_accounts(&self, accounts: Vec<Account>) -> Pending<'_, ()> {
        self.write(move |db| accounts.iter().try_for_each(|account| accounts::put(db, account)))
    }

    fn remove_account(&self, jid: BareJid) -> Pending<'_, bool> {
        self.write(move |db| {
            contacts::remove(db, &jid)?;
            departed::forget(db, &jid)?;
            archive::remove(db, &jid)?;
            accounts::remove(db, &jid)
        })
    }

    fn accounts(&self, after: Option<BareJid>, max: usize) -> Pending<'_, Vec<Account>> {
        self.read(move |db| accounts::accounts(db, after.as_ref(), max))
    }

    fn accounts_like(&self, jid: BareJid, max: usize) -> Pending<'_, Vec<BareJid>> {
        self.read(move |db| accounts::like(db, &jid, max))
    }

    fn account_totals(&self) -> Pending<'_, AccountTotals> {
        self.read(accounts::totals)
    }

    fn token(&self, id: String) -> Pending<'_, Option<Token>> {
        self.read(move |db| accounts::token(db, &id))
    }

    fn put_token(&self, token: Token) -> Pending<'_, ()> {
        self.write(move |db| accounts::put_token(db, &token))
    }

    fn remove_token(&self, id: String) -> Pending<'_, bool> {
        self.write(move |db| accounts::remove_token(db, &id))
    }

    fn tokens(&self, account: Option<BareJid>) -> Pending<'_, Vec<Token>> {
        self.read(move |db| accounts::tokens(db, account.as_ref()))
    }

    fn touch_token(&self, id: String, used: Timestamp) -> Pending<'_, ()> {
        self.write(move |db| accounts::touch_token(db, &id, used))
    }

    fn roster(&self, owner: BareJid) -> Pending<'_, Roster> {
        self.read(move |db| contacts::roster(db, &owner))
    }

    fn roster_places(&self, of: Vec<(BareJid, BareJid)>) -> Pending<'_, Vec<RosterPlace>> {
        self.read(move |db| of.iter().map(|(owner, contact)| contacts::place(db, owner, contact)).collect())
    }

    fn put_roster(&self, changes: Vec<RosterChange>) -> Pending<'_, Vec<u64>> {
        self.write(move |db| changes.iter().map(|change| contacts::put(db, change)).collect())
    }

    fn blocked(&self, owners: Vec<BareJid>) -> Pending<'_, Vec<Vec<Jid>>> {
        self.read(move |db| owners.iter().map(|owner| contacts::blocked(db, owner)).collect())
    }

    fn set_blocked(&self, owner: BareJid, jids: Vec<Jid>) -> Pending<'_, ()> {
        self.write(move |db| contacts::set_blocked(db, &owner, &jids))
    }

    fn kept_messages(&self, owner: BareJid, after: i64, max: usize) -> Pending<'_, Vec<(i64, StoredStanza)>> {
        self.read(move |db| contacts::messages(db, &owner, after, max))
    }

    fn forget_messages(&self, owner: BareJid, through: i64) -> Pending<'_, ()> {
        self.write(move |db| contacts::forget_messages(db, &owner, through))
    }

    fn departure(&self, owner: BareJid) -> Pending<'_, Option<Departure>> {
        self.read(move |db| contacts::departure(db, &owner))
    }

    fn put_departure(&self, owner: BareJid, departure: Departure) -> Pending<'_, ()> {
        self.write(move |db| contacts::put_departure(db, &owner, &departure))
    }

    fn webhook(&self, id: String) -> Pending<'_, Option<Webhook>> {
        self.read(move |db| webhooks::find(db, &id))
    }

    fn put_webhook(&self, webhook: Webhook) -> Pending<'_, ()> {
        self.write(move |db| webhooks::put(db, &webhook))
    }

    fn remove_webhook(&self, id: String) -> Pending<'_, bool> {
        self.write(move |db| webhooks::remove(db, &id))
    }

    fn webhooks(&self, after: Option<String>, max: usize) -> Pending<'_, Vec<Webhook>> {
        self.read(move |db| webhooks::after(db, after.as_deref(), max))
    }

    fn node_webhooks(&self, node: NodeKey) -> Pending<'_, Vec<Webhook>> {
        self.read(move |db| webhooks::of_node(db, node))
    }

    fn settle_webhooks(&self, settled: Vec<Settled>) -> Pending<'_, Vec<bool>> {
        self.write(move |db| settled.iter().map(|settled| webhooks::settle(db, settled)).collect())
    }

    fn parked(&self, webhook: String, dead: bool, after: Seq, max: usize) -> Pending<'_, Vec<Parked>> {
        self.read(move |db| webhooks::parked(db, &webhook, dead, after, max))
    }

    fn attempts(&self, webhook: String) -> Pending<'_, Vec<Attempted>> {
        self.read(move |db| webhooks::attempts(db, &webhook))
    }

    fn parked_counts(&self, webhook: String) -> Pending<'_, (u64, u64)> {
        self.read(move |db| webhooks::counts(db, &webhook))
    }

    fn fast_tokens(&self, account: BareJid, client: String) -> Pending<'_, Vec<FastToken>> {
        self.read(move |db| fast::tokens(db, &account, &client))
    }

    fn put_fast_tokens(
        &self,
        account: BareJid,
        client: String,
        tokens: Vec<FastToken>,
        clients_max: usize,
    ) -> Pending<'_, ()> {
        self.write(move |db| fast::put(db, &account, &client, &tokens, clients_max))
    }

    fn remove_fast_tokens(&self, account: BareJid) -> Pending<'_, ()> {
        self.write(move |db| fast::remove(db, &account))
    }

    /// The readers end first: the connection that is closed last moves the write-ahead log into the
    /// database, and only the writer can.
    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            if self.closed.swap(true, Ordering::AcqRel) {
                return Err(Failure::Closed);
            }
            self.readers.end().await;
            self.writer.end().await;
            Ok(())
        })
    }
}

/// Answers from one view, however many statements it takes.
fn read_one_view<T>(db: &Connection, work: impl FnOnce(&Connection) -> Result<T, Trouble>) -> Result<T, Trouble> {
    db.prepare_cached("BEGIN")?.execute([])?;
    let answer = work(db);
    // Ends the view whatever became of the work, or the write-ahead log could never be cut.
    let ended = db.prepare_cached("COMMIT")?.execute([]);
    let answer = answer?;
    ended?;
    Ok(answer)
}

const TOMBSTONES_SLICE: usize = 1000;
const MEMOS_SLICE: usize = 1000;
