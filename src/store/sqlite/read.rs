//! Questions about nodes, logs and items.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::pubsub::{
    Affiliation, ItemFact, ItemId, NodeAddress, NodeKey, NodeState, Order, Page, Payload, Payloads, Selection, Seq,
    Tombstone,
};
use crate::store::page::{Bound, Cut, ItemPage, cut_these, event_bytes, seq_edge};
use crate::store::sqlite::contacts;
use crate::store::sqlite::memos;
use crate::store::sqlite::row::{self, Count};
use crate::store::sqlite::trouble::Trouble;
use crate::store::{Ask, Found, Item, List, LogPage};
use crate::time::Timestamp;

pub(super) fn gather(db: &Connection, asks: &[Ask]) -> Result<Vec<Found>, Trouble> {
    asks.iter().map(|ask| found(db, ask)).collect()
}

fn found(db: &Connection, ask: &Ask) -> Result<Found, Trouble> {
    Ok(match ask {
        Ask::Node(address) => Found::Node(node_state(db, address)?),
        Ask::Affiliation(node, jid) => {
            let found = db
                .prepare_cached("SELECT affiliation FROM affiliations WHERE node = ?1 AND jid = ?2")?
                .query_row(params![node, jid.as_str()], |row| row.get(0))
                .optional()?;
            Found::Affiliation(found.unwrap_or(Affiliation::None))
        }
        Ask::Subscriptions(node, jid) => Found::Subscriptions(collect(
            db,
            "SELECT bare, resource, subid, state, options FROM subscriptions WHERE node = ?1 AND bare = ?2 \
             ORDER BY resource, subid",
            params![node, jid.as_str()],
            |row| row::subscription(row, 0),
        )?),
        Ask::Item(node, item) => Found::Item(fact(db, *node, item)?),
        Ask::Payload(node, item) => Found::Payload(payload(db, *node, item)?),
        Ask::Oldest(node, count) => Found::Oldest(collect(
            db,
            "SELECT i.item_id, i.seq, l.publisher, l.time FROM items i CROSS JOIN log l \
             ON l.node = i.node AND l.seq = i.seq WHERE i.node = ?1 ORDER BY i.seq LIMIT ?2",
            params![node, limit(*count)],
            |row| row::fact(row, 0),
        )?),
        Ask::Owners(node, max) => Found::Owners(collect(
            db,
            "SELECT jid FROM affiliations WHERE node = ?1 AND affiliation = 'owner' ORDER BY jid LIMIT ?2",
            params![node, limit(*max as u64)],
            |row| row.get(0),
        )?),
        Ask::Waiting(node, max) => Found::Waiting(collect(
            db,
            "SELECT bare, resource, subid, state, options FROM subscriptions INDEXED BY subscriptions_pending \
             WHERE state = 'pending' AND node = ?1 ORDER BY bare, resource, subid LIMIT ?2",
            params![node, limit(*max as u64)],
            |row| row::subscription(row, 0),
        )?),
        Ask::Memo(key) => {
            let (memo, count) = memos::find(db, key)?;
            Found::Memo(memo.map(Box::new), count)
        }
        Ask::Contact(owner, contact) => Found::Contact(contacts::fact(db, owner, contact)?),
    })
}

fn node_state(db: &Connection, address: &NodeAddress) -> Result<NodeState, Trouble> {
    let place = [address.service.as_str(), address.node.as_str()];
    let present = db
        .prepare_cached(
            "SELECT n.key, n.service, n.node, n.config, n.creator, n.created, n.last_seq, n.floor_seq, n.items, \
             n.owners, n.version, n.subscribers FROM nodes n WHERE n.service = ?1 AND n.node = ?2",
        )?
        .query_row(place, row::node)
        .optional()?;
    if let Some(node) = present {
        return Ok(NodeState::Present(node.into()));
    }
    let deleted = db
        .prepare_cached(
            "SELECT key, last_seq, deleted, redirect, hidden FROM tombstones WHERE service = ?1 AND node = ?2",
        )?
        .query_row(place, |row| {
            Ok(Tombstone {
                key: row.get(0)?,
                last_seq: row.get(1)?,
                deleted: row.get(2)?,
                redirect: row.get(3)?,
                hidden: row.get(4)?,
            })
        })
        .optional()?;
    Ok(deleted.map_or(NodeState::Absent, NodeState::Deleted))
}

fn fact(db: &Connection, node: NodeKey, item: &ItemId) -> Result<Option<ItemFact>, Trouble> {
    let fact = db
        .prepare_cached(
            "SELECT i.item_id, i.seq, l.publisher, l.time FROM items i CROSS JOIN log l \
             ON l.node = i.node AND l.seq = i.seq WHERE i.node = ?1 AND i.item_id = ?2",
        )?
        .query_row(params![node, item.as_str()], |row| row::fact(row, 0))
        .optional()?;
    Ok(fact)
}

fn payload(db: &Connection, node: NodeKey, item: &ItemId) -> Result<Option<Payload>, Trouble> {
    let payload = db
        .prepare_cached(
            "SELECT l.media, l.namespace, l.payload FROM items i CROSS JOIN log l \
             ON l.node = i.node AND l.seq = i.seq WHERE i.node = ?1 AND i.item_id = ?2",
        )?
        .query_row(params![node, item.as_str()], |row| row::payload(row, 0))
        .optional()?;
    Ok(payload.flatten())
}

pub(super) fn log(
    db: &Connection,
    node: NodeKey,
    after: Seq,
    events_max: usize,
    bytes_max: usize,
) -> Result<Option<LogPage>, Trouble> {
    let ends = db
        .prepare_cached("SELECT floor_seq, last_seq FROM nodes WHERE key = ?1")?
        .query_row([node], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((floor_seq, last_seq)) = ends else { return Ok(None) };
    let mut page = LogPage { events: Vec::new(), floor_seq, last_seq };
    if after >= last_seq {
        return Ok(Some(page));
    }
    // What lies below the floor is there for the items that stand on it, and is no history.
    let from = after.next().max(floor_seq);
    let mut statement = db.prepare_cached(
        "SELECT seq, time, kind, item_id, publisher, media, namespace, payload, prev, detail FROM log \
         WHERE node = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3",
    )?;
    let mut rows = statement.query(params![node, from, limit(events_max as u64)])?;
    let mut bytes = 0;
    while bytes <= bytes_max
        && let Some(row) = rows.next()?
    {
        let event = row::event(row)?;
        bytes += event_bytes(&event);
        page.events.push(event);
    }
    Ok(Some(page))
}

pub(super) fn items(
    db: &Connection,
    node: NodeKey,
    selection: Selection,
    page: Page,
    list: ItemTexts,
) -> Result<List<Item>, Trouble> {
    let total: Option<Count> =
        db.prepare_cached("SELECT items FROM nodes WHERE key = ?1")?.query_row([node], |row| row.get(0)).optional()?;
    let total = total.map_or(0, |count| count.0);
    match selection {
        Selection::All => items_after(db, node, Seq(0), total, page, &list),
        Selection::Newest(count) if count >= total => items_after(db, node, Seq(0), total, page, &list),
        Selection::Newest(count) => {
            // The newest item that is not one of them.
            let below = db
                .prepare_cached(list.nth_newest)?
                .query_row(params![node, limit(count)], |row| row.get(0))
                .optional()?;
            items_after(db, node, below.unwrap_or(Seq(0)), count, page, &list)
        }
        Selection::These(ids) => these(db, node, &ids, page),
    }
}

/// A page of the items whose key is above `below`.
fn items_after(
    db: &Connection,
    node: NodeKey,
    below: Seq,
    count: u64,
    page: Page,
    list: &ItemTexts,
) -> Result<List<Item>, Trouble> {
    let cut = Cut::new(page, seq_edge)?;
    let (above, under) = match cut.bound {
        Bound::First | Bound::Last | Bound::At(_) | Bound::AtEnd(_) => (below, SEQ_END),
        Bound::After(seq) => (below.max(seq), SEQ_END),
        Bound::Before(seq) => (below, seq.min(SEQ_END)),
    };
    let mut statement = db.prepare_cached(if cut.forward() { list.forward } else { list.backward })?;
    let mut rows = statement.query(params![node, above.min(SEQ_END), under, cut.rows(), cut.skip_rows()])?;
    let mut page = ItemPage::new(cut.max);
    while let Some(row) = rows.next()?
        && page.takes()
    {
        page.push(Item { fact: row::fact(row, 0)?, created: row.get(4)?, payload: row::payload(row, 5)? });
    }
    Ok(cut.list(page.entries, page.more, count, |item: &Item| item.edge(list.order)))
}

fn these(db: &Connection, node: NodeKey, ids: &[ItemId], page: Page) -> Result<List<Item>, Trouble> {
    let mut facts = Vec::new();
    for id in ids {
        facts.extend(fact(db, node, id)?);
    }
    cut_these(page, facts, |fact| {
        let (created, payload) = db
            .prepare_cached(
                "SELECT i.created, l.media, l.namespace, l.payload FROM items i CROSS JOIN log l \
                 ON l.node = i.node AND l.seq = i.seq WHERE i.node = ?1 AND i.item_id = ?2",
            )?
            .query_row(params![node, fact.id.as_str()], |row| Ok((row.get(0)?, row::payload(row, 1)?)))?;
        Ok(Item { fact, created, payload })
    })
}

/// The statements of a list of items.
pub(super) struct ItemTexts {
    order: Order,
    forward: &'static str,
    backward: &'static str,
    /// The key of the newest item behind so many.
    nth_newest: &'static str,
}

/// The texts of one order, with the columns of the payload or without.
macro_rules! item_texts {
    ($order:expr, $key:literal, $payload:literal) => {
        ItemTexts {
            order: $order,
            forward: concat!(
                "SELECT i.item_id, i.seq, l.publisher, l.time, i.created, ",
                $payload,
                " FROM items i CROSS JOIN log l ON l.node = i.node AND l.seq = i.seq WHERE i.node = ?1 AND i.",
                $key,
                " > ?2 AND i.",
                $key,
                " < ?3 ORDER BY i.",
                $key,
                " LIMIT ?4 OFFSET ?5"
            ),
            backward: concat!(
                "SELECT i.item_id, i.seq, l.publisher, l.time, i.created, ",
                $payload,
                " FROM items i CROSS JOIN log l ON l.node = i.node AND l.seq = i.seq WHERE i.node = ?1 AND i.",
                $key,
                " > ?2 AND i.",
                $key,
                " < ?3 ORDER BY i.",
                $key,
                " DESC LIMIT ?4 OFFSET ?5"
            ),
            nth_newest: concat!(
                "SELECT ",
                $key,
                " FROM items WHERE node = ?1 ORDER BY ",
                $key,
                " DESC LIMIT 1 OFFSET ?2"
            ),
        }
    };
}

impl ItemTexts {
    /// What is ordered by creation is sorted when it is asked for: a node holds a bounded number of
    /// items, and an index would cost each publication.
    pub fn of(order: Order, payloads: Payloads) -> Self {
        match (order, payloads) {
            (Order::Modification, Payloads::Read) => {
                item_texts!(Order::Modification, "seq", "l.media, l.namespace, l.payload")
            }
            (Order::Modification, Payloads::Left) => item_texts!(Order::Modification, "seq", "NULL, NULL, NULL"),
            (Order::Creation, Payloads::Read) => {
                item_texts!(Order::Creation, "created", "l.media, l.namespace, l.payload")
            }
            (Order::Creation, Payloads::Left) => item_texts!(Order::Creation, "created", "NULL, NULL, NULL"),
        }
    }
}

/// Reads the log from its newest event backwards until one of them says stop.
pub(super) fn floor(db: &Connection, node: NodeKey, since: Timestamp, bytes_max: u64) -> Result<Seq, Trouble> {
    let ends: Option<(Seq, Seq)> = db
        .prepare_cached("SELECT floor_seq, last_seq FROM nodes WHERE key = ?1")?
        .query_row([node], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((floor, last)) = ends else { return Ok(Seq(0)) };
    let mut statement = db.prepare_cached(
        "SELECT seq, time, coalesce(length(payload), 0) FROM log WHERE node = ?1 AND seq >= ?2 ORDER BY seq DESC",
    )?;
    let mut rows = statement.query(params![node, floor])?;
    let (mut least, mut bytes) = (last.next(), 0u64);
    while let Some(row) = rows.next()? {
        bytes = bytes.saturating_add(row.get::<_, Count>(2)?.0);
        if row.get::<_, Timestamp>(1)? < since || bytes > bytes_max {
            break;
        }
        least = row.get(0)?;
    }
    Ok(least)
}

pub(super) fn stale_logs(
    db: &Connection,
    keeps_items: bool,
    before: Timestamp,
    max: usize,
) -> Result<Vec<NodeAddress>, Trouble> {
    collect(
        db,
        "SELECT service, node FROM nodes WHERE keeps_items = ?1 AND oldest_time < ?2 ORDER BY oldest_time LIMIT ?3",
        params![keeps_items, before, limit(max as u64)],
        |row| Ok(NodeAddress { service: row.get(0)?, node: row.get(1)? }),
    )
}

pub(super) fn due_items(
    db: &Connection,
    now: Timestamp,
    max: usize,
) -> Result<(Vec<NodeAddress>, Option<Timestamp>), Trouble> {
    let due = collect(
        db,
        "SELECT service, node FROM nodes WHERE item_due <= ?1 ORDER BY item_due LIMIT ?2",
        params![now, limit(max as u64)],
        |row| Ok(NodeAddress { service: row.get(0)?, node: row.get(1)? }),
    )?;
    let next = db
        .prepare_cached("SELECT item_due FROM nodes WHERE item_due > ?1 ORDER BY item_due LIMIT 1")?
        .query_row([now], |row| row.get(0))
        .optional()?;
    Ok((due, next))
}

pub(super) fn collect<T>(
    db: &Connection,
    sql: &str,
    given: &[&dyn rusqlite::ToSql],
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Trouble> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(given, read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// SQLite takes a negative limit for none at all, so one that does not fit must not wrap.
pub(super) fn limit(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Above every seq.
const SEQ_END: Seq = Seq(i64::MAX as u64);
