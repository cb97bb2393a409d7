//! Lists of subscriptions, affiliations and nodes.
//!
//! A page is one range of an ordered list. Open ends are bound, too, so that each list needs one text
//! for each direction: nothing is below the empty text, and in SQLite every blob is above every text.

use rusqlite::types::{ToSql, ToSqlOutput, Value};
use rusqlite::{Connection, Row, params};

use crate::jid::{BareJid, Jid};
use crate::pubsub::{Affiliation, Node, NodeId, NodeKey, Page, Subscription};
use crate::store::List;
use crate::store::page::{Bound, Cut, SubscriptionEdge};
use crate::store::sqlite::read::{collect, limit};
use crate::store::sqlite::row::{self, NODE_COLUMNS};
use crate::store::sqlite::trouble::Trouble;

pub(super) fn subscriptions_of(
    db: &Connection,
    service: &BareJid,
    jid: &BareJid,
    node: Option<NodeKey>,
    page: Page,
) -> Result<List<(NodeId, Subscription)>, Trouble> {
    let cut = Cut::new(page, SubscriptionEdge::parse)?;
    let (sign, order) = direction(&cut);
    let [at_node, at_resource, at_subid] = match &cut.bound {
        Bound::First => [Place::Start; 3],
        Bound::Last => [Place::End; 3],
        Bound::After(edge) | Bound::Before(edge) => {
            [Place::At(&edge.node), Place::At(&edge.resource), Place::At(&edge.subid)]
        }
    };
    let from = format!(
        "FROM subscriptions s CROSS JOIN nodes n ON n.key = s.node WHERE s.bare = ?1 AND n.service = ?2 AND {}",
        of_node("s", node)
    );
    let count = count(db, &from, params![jid.as_str(), service.as_str(), node])?;
    let (entries, more) = cut_rows(
        db,
        &format!(
            "SELECT n.node, s.bare, s.resource, s.subid, s.state {from} \
             AND (n.node, s.resource, s.subid) {sign} (?4, ?5, ?6) \
             ORDER BY n.node {order}, s.resource {order}, s.subid {order} LIMIT ?7"
        ),
        params![jid.as_str(), service.as_str(), node, at_node, at_resource, at_subid, limit(cut.max as u64 + 1)],
        cut.max,
        |row| Ok((row.get(0)?, row::subscription(row, 1)?)),
    )?;
    Ok(cut.list(entries, more, count, |(node, subscription)| SubscriptionEdge::new(Some(node), subscription).text()))
}

pub(super) fn affiliations_of(
    db: &Connection,
    service: &BareJid,
    jid: &BareJid,
    node: Option<NodeKey>,
    page: Page,
) -> Result<List<(NodeId, Affiliation)>, Trouble> {
    let cut = Cut::new(page, NodeId::parse)?;
    let (sign, order) = direction(&cut);
    let from = format!(
        "FROM affiliations a CROSS JOIN nodes n ON n.key = a.node WHERE a.jid = ?1 AND n.service = ?2 AND {}",
        of_node("a", node)
    );
    let count = count(db, &from, params![jid.as_str(), service.as_str(), node])?;
    let (entries, more) = cut_rows(
        db,
        &format!("SELECT n.node, a.affiliation {from} AND n.node {sign} ?4 ORDER BY n.node {order} LIMIT ?5"),
        params![jid.as_str(), service.as_str(), node, place(&cut, NodeId::as_str), limit(cut.max as u64 + 1)],
        cut.max,
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(cut.list(entries, more, count, |(node, _): &(NodeId, Affiliation)| node.to_string()))
}

pub(super) fn node_subscriptions(db: &Connection, node: NodeKey, page: Page) -> Result<List<Subscription>, Trouble> {
    let cut = Cut::new(page, SubscriptionEdge::parse)?;
    let (sign, order) = direction(&cut);
    let [at_bare, at_resource, at_subid] = match &cut.bound {
        Bound::First => [Place::Start; 3],
        Bound::Last => [Place::End; 3],
        Bound::After(edge) | Bound::Before(edge) => {
            [Place::At(&edge.bare), Place::At(&edge.resource), Place::At(&edge.subid)]
        }
    };
    let count = count(db, "FROM subscriptions WHERE node = ?1", params![node])?;
    let (entries, more) = cut_rows(
        db,
        &format!(
            "SELECT bare, resource, subid, state FROM subscriptions WHERE node = ?1 \
             AND (bare, resource, subid) {sign} (?2, ?3, ?4) \
             ORDER BY bare {order}, resource {order}, subid {order} LIMIT ?5"
        ),
        params![node, at_bare, at_resource, at_subid, limit(cut.max as u64 + 1)],
        cut.max,
        |row| row::subscription(row, 0),
    )?;
    Ok(cut.list(entries, more, count, |subscription| SubscriptionEdge::new(None, subscription).text()))
}

pub(super) fn node_affiliations(
    db: &Connection,
    node: NodeKey,
    page: Page,
) -> Result<List<(BareJid, Affiliation)>, Trouble> {
    let cut = Cut::new(page, |text| BareJid::parse(text).ok())?;
    let (sign, order) = direction(&cut);
    let count = count(db, "FROM affiliations WHERE node = ?1", params![node])?;
    let (entries, more) = cut_rows(
        db,
        &format!(
            "SELECT jid, affiliation FROM affiliations WHERE node = ?1 AND jid {sign} ?2 ORDER BY jid {order} LIMIT ?3"
        ),
        params![node, place(&cut, BareJid::as_str), limit(cut.max as u64 + 1)],
        cut.max,
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(cut.list(entries, more, count, |(jid, _): &(BareJid, Affiliation)| jid.to_string()))
}

pub(super) fn nodes(db: &Connection, service: &BareJid, page: Page) -> Result<List<Node>, Trouble> {
    let cut = Cut::new(page, NodeId::parse)?;
    let (sign, order) = direction(&cut);
    let counted = collect(db, "SELECT nodes FROM services WHERE service = ?1", params![service.as_str()], |row| {
        row.get::<_, row::Count>(0)
    })?;
    let count = counted.first().map_or(0, |count| count.0);
    let (entries, more) = cut_rows(
        db,
        &format!(
            "SELECT {NODE_COLUMNS} FROM nodes n WHERE n.service = ?1 AND n.node {sign} ?2 ORDER BY n.node {order} LIMIT ?3"
        ),
        params![service.as_str(), place(&cut, NodeId::as_str), limit(cut.max as u64 + 1)],
        cut.max,
        row::node,
    )?;
    Ok(cut.list(entries, more, count, |node| node.address.node.to_string()))
}

pub(super) fn watched(
    db: &Connection,
    jid: &BareJid,
    after: Option<&(NodeKey, Subscription)>,
    max: usize,
) -> Result<Vec<(Node, Subscription)>, Trouble> {
    let (key, resource, subid) = match after {
        None => (NodeKey(i64::MIN), "", ""),
        Some((key, subscription)) => (*key, resource_of(&subscription.jid), subscription.subid.as_str()),
    };
    collect(
        db,
        &format!(
            "SELECT {NODE_COLUMNS}, s.bare, s.resource, s.subid, s.state \
             FROM subscriptions s CROSS JOIN nodes n ON n.key = s.node \
             WHERE s.bare = ?1 AND (s.node, s.resource, s.subid) > (?2, ?3, ?4) \
             ORDER BY s.node, s.resource, s.subid LIMIT ?5"
        ),
        params![jid.as_str(), key, resource, subid, limit(max as u64)],
        |row| Ok((row::node(row)?, row::subscription(row, 11)?)),
    )
}

fn resource_of(jid: &Jid) -> &str {
    jid.resource().unwrap_or("")
}

/// One end of a range of texts.
#[derive(Clone, Copy)]
enum Place<'a> {
    Start,
    At(&'a str),
    End,
}

impl ToSql for Place<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Place::Start => ToSqlOutput::from(""),
            Place::At(text) => ToSqlOutput::from(*text),
            Place::End => ToSqlOutput::Owned(Value::Blob(Vec::new())),
        })
    }
}

fn place<'a, K>(cut: &'a Cut<K>, text: impl FnOnce(&'a K) -> &'a str) -> Place<'a> {
    match &cut.bound {
        Bound::First => Place::Start,
        Bound::Last => Place::End,
        Bound::After(key) | Bound::Before(key) => Place::At(text(key)),
    }
}

fn direction<K>(cut: &Cut<K>) -> (&'static str, &'static str) {
    if cut.forward() { (">", "ASC") } else { ("<", "DESC") }
}

/// Written so that the planner sees which it is.
fn of_node(table: &str, node: Option<NodeKey>) -> String {
    if node.is_some() { format!("{table}.node = ?3") } else { "?3 IS NULL".to_owned() }
}

fn count(db: &Connection, from: &str, given: &[&dyn ToSql]) -> Result<u64, Trouble> {
    let count: row::Count =
        db.prepare_cached(&format!("SELECT count(*) {from}"))?.query_row(given, |row| row.get(0))?;
    Ok(count.0)
}

/// The entries of a page, read with one more than it may have, and whether there was one more.
fn cut_rows<T>(
    db: &Connection,
    sql: &str,
    given: &[&dyn ToSql],
    max: usize,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<(Vec<T>, bool), Trouble> {
    let mut entries = collect(db, sql, given, read)?;
    let more = entries.len() > max;
    entries.truncate(max);
    Ok((entries, more))
}
