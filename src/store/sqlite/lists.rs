//! Lists of subscriptions, affiliations and nodes.
//!
//! A page is one range of an ordered list. Open ends are bound, too, so that each list needs one text
//! for each direction: nothing is below the empty text, and in SQLite every blob is above every text.

use rusqlite::types::{ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::jid::{BareJid, Jid};
use crate::pubsub::{Affiliation, Expire, Node, NodeAddress, NodeId, NodeKey, Page, Subscription, SubscriptionOptions};
use crate::store::page::{Bound, Cut, SubscriptionEdge};
use crate::store::sqlite::read::{collect, limit};
use crate::store::sqlite::row;
use crate::store::sqlite::trouble::Trouble;
use crate::store::{Item, Lapse, List};
use crate::time::Timestamp;

pub(super) fn subscriptions_of(
    db: &Connection,
    service: &BareJid,
    jid: &BareJid,
    node: Option<NodeKey>,
    page: Page,
) -> Result<List<(NodeId, Subscription)>, Trouble> {
    let cut = Cut::new(page, SubscriptionEdge::parse)?;
    let [at_node, at_resource, at_subid] = match &cut.bound {
        Bound::First | Bound::At(_) => [Place::Start; 3],
        Bound::Last | Bound::AtEnd(_) => [Place::End; 3],
        Bound::After(edge) | Bound::Before(edge) => {
            [Place::At(&edge.node), Place::At(&edge.resource), Place::At(&edge.subid)]
        }
    };
    let (jid, service, (least, most)) = (jid.as_str(), service.as_str(), nodes_from_to(node));
    let count = count(db, SUBSCRIPTIONS_OF.count, params![jid, service, least, most])?;
    let (entries, more) = cut_rows(
        db,
        &SUBSCRIPTIONS_OF,
        &cut,
        params![jid, service, least, most, at_node, at_resource, at_subid, cut.rows(), cut.skip_rows()],
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
    let (jid, service, (least, most)) = (jid.as_str(), service.as_str(), nodes_from_to(node));
    let count = count(db, AFFILIATIONS_OF.count, params![jid, service, least, most])?;
    let at = place(&cut, NodeId::as_str);
    let given = params![jid, service, least, most, at, cut.rows(), cut.skip_rows()];
    let (entries, more) = cut_rows(db, &AFFILIATIONS_OF, &cut, given, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(cut.list(entries, more, count, |(node, _): &(NodeId, Affiliation)| node.to_string()))
}

pub(super) fn node_subscriptions(db: &Connection, node: NodeKey, page: Page) -> Result<List<Subscription>, Trouble> {
    let cut = Cut::new(page, SubscriptionEdge::parse)?;
    let [at_bare, at_resource, at_subid] = match &cut.bound {
        Bound::First | Bound::At(_) => [Place::Start; 3],
        Bound::Last | Bound::AtEnd(_) => [Place::End; 3],
        Bound::After(edge) | Bound::Before(edge) => {
            [Place::At(&edge.bare), Place::At(&edge.resource), Place::At(&edge.subid)]
        }
    };
    let count = count(db, NODE_SUBSCRIPTIONS.count, params![node])?;
    let given = params![node, at_bare, at_resource, at_subid, cut.rows(), cut.skip_rows()];
    let (entries, more) = cut_rows(db, &NODE_SUBSCRIPTIONS, &cut, given, |row| row::subscription(row, 0))?;
    Ok(cut.list(entries, more, count, |subscription| SubscriptionEdge::new(None, subscription).text()))
}

pub(super) fn node_affiliations(
    db: &Connection,
    node: NodeKey,
    page: Page,
) -> Result<List<(BareJid, Affiliation)>, Trouble> {
    let cut = Cut::new(page, |text| BareJid::parse(text).ok())?;
    let count = count(db, NODE_AFFILIATIONS.count, params![node])?;
    let given = params![node, place(&cut, BareJid::as_str), cut.rows(), cut.skip_rows()];
    let (entries, more) = cut_rows(db, &NODE_AFFILIATIONS, &cut, given, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(cut.list(entries, more, count, |(jid, _): &(BareJid, Affiliation)| jid.to_string()))
}

pub(super) fn nodes(db: &Connection, service: &BareJid, page: Page) -> Result<List<Node>, Trouble> {
    let cut = Cut::new(page, NodeId::parse)?;
    let count = count(db, NODES.count, params![service.as_str()])?;
    let given = params![service.as_str(), place(&cut, NodeId::as_str), cut.rows(), cut.skip_rows()];
    let (entries, more) = cut_rows(db, &NODES, &cut, given, row::node)?;
    Ok(cut.list(entries, more, count, |node| node.address.node.to_string()))
}

/// The nodes that a viewer may know of: the visible ones and, of the hidden ones, those that he has to
/// do with. Neither part costs anything for hidden nodes of others.
pub(super) fn nodes_for(
    db: &Connection,
    service: &BareJid,
    viewer: &BareJid,
    page: Page,
) -> Result<List<Node>, Trouble> {
    let cut = Cut::new(page, NodeId::parse)?;
    let count = count(db, NODES_FOR.count, params![service.as_str(), viewer.as_str()])?;
    let given = params![service.as_str(), viewer.as_str(), place(&cut, NodeId::as_str), cut.rows(), cut.skip_rows()];
    let (entries, more) = cut_rows(db, &NODES_FOR, &cut, given, row::node)?;
    Ok(cut.list(entries, more, count, |node| node.address.node.to_string()))
}

/// Those who wait are few, and an index holds them alone: whoever's they are, the list is driven by it.
pub(super) fn pending(
    db: &Connection,
    service: Option<&BareJid>,
    owner: Option<&BareJid>,
    node: Option<NodeKey>,
    max: usize,
) -> Result<Vec<(Node, Subscription)>, Trouble> {
    let (least, most) = nodes_from_to(node);
    collect(
        db,
        "SELECT n.key, n.service, n.node, n.config, n.creator, n.created, n.last_seq, n.floor_seq, n.items, n.owners, \
         n.version, n.subscribers, s.bare, s.resource, s.subid, s.state, s.options \
         FROM subscriptions s INDEXED BY subscriptions_pending CROSS JOIN nodes n ON n.key = s.node \
         WHERE s.state = 'pending' AND s.node BETWEEN ?3 AND ?4 AND (?1 IS NULL OR n.service = ?1) \
         AND (?2 IS NULL OR EXISTS (SELECT 1 FROM affiliations a \
         WHERE a.node = s.node AND a.jid = ?2 AND a.affiliation = 'owner')) \
         ORDER BY s.node, s.bare, s.resource, s.subid LIMIT ?5",
        params![service.map(BareJid::as_str), owner.map(BareJid::as_str), least, most, limit(max as u64)],
        |row| Ok((row::node(row)?, row::subscription(row, 12)?)),
    )
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
        "SELECT n.key, n.service, n.node, n.config, n.creator, n.created, n.last_seq, n.floor_seq, n.items, n.owners, \
         n.version, n.subscribers, s.bare, s.resource, s.subid, s.state, s.options \
         FROM subscriptions s CROSS JOIN nodes n ON n.key = s.node \
         WHERE s.bare = ?1 AND (s.node, s.resource, s.subid) > (?2, ?3, ?4) \
         ORDER BY s.node, s.resource, s.subid LIMIT ?5",
        params![jid.as_str(), key, resource, subid, limit(max as u64)],
        |row| Ok((row::node(row)?, row::subscription(row, 12)?)),
    )
}

pub(super) fn watched_at(
    db: &Connection,
    domain: &str,
    after: Option<&(NodeKey, Subscription)>,
    max: usize,
) -> Result<Vec<(Node, Subscription)>, Trouble> {
    let (key, bare, resource, subid) = match after {
        None => (NodeKey(i64::MIN), "", "", ""),
        Some((key, subscription)) => {
            let jid = &subscription.jid;
            (*key, jid.bare().as_str(), resource_of(jid), subscription.subid.as_str())
        }
    };
    collect(
        db,
        "SELECT n.key, n.service, n.node, n.config, n.creator, n.created, n.last_seq, n.floor_seq, n.items, n.owners, \
         n.version, n.subscribers, s.bare, s.resource, s.subid, s.state, s.options \
         FROM subscriptions s CROSS JOIN nodes n ON n.key = s.node \
         WHERE substr(s.bare, instr(s.bare, '@') + 1) = ?1 AND (s.node, s.bare, s.resource, s.subid) > (?2, ?3, ?4, ?5) \
         ORDER BY s.node, s.bare, s.resource, s.subid LIMIT ?6",
        params![domain, key, bare, resource, subid, limit(max as u64)],
        |row| Ok((row::node(row)?, row::subscription(row, 12)?)),
    )
}

pub(super) fn next_subscriber_domain(db: &Connection, after: &str) -> Result<Option<String>, Trouble> {
    let found = collect(
        db,
        "SELECT substr(bare, instr(bare, '@') + 1) FROM subscriptions WHERE substr(bare, instr(bare, '@') + 1) > ?1 \
         ORDER BY 1 LIMIT 1",
        params![after],
        |row| row.get(0),
    )?;
    Ok(found.into_iter().next())
}

pub(super) fn lapsing(db: &Connection, lapse: Lapse, max: usize) -> Result<Vec<(NodeAddress, Subscription)>, Trouble> {
    let (from, to) = match lapse {
        Lapse::WithPresenceOf(bare) => return temporary(db, &bare, max),
        Lapse::WithPresence => (Timestamp(WITH_PRESENCE), Timestamp(WITH_PRESENCE)),
        Lapse::By(time) => (Timestamp(WITH_PRESENCE + 1), time),
    };
    collect(
        db,
        "SELECT n.service, n.node, s.bare, s.resource, s.subid, s.state, s.options \
         FROM subscriptions s CROSS JOIN nodes n ON n.key = s.node \
         WHERE s.expires BETWEEN ?1 AND ?2 ORDER BY s.expires LIMIT ?3",
        params![from, to, limit(max as u64)],
        |row| Ok((NodeAddress { service: row.get(0)?, node: row.get(1)? }, row::subscription(row, 2)?)),
    )
}

fn temporary(db: &Connection, bare: &BareJid, max: usize) -> Result<Vec<(NodeAddress, Subscription)>, Trouble> {
    collect(
        db,
        "SELECT n.service, n.node, s.bare, s.resource, s.subid, s.state, s.options \
         FROM subscriptions s INDEXED BY subscriptions_by_bare CROSS JOIN nodes n ON n.key = s.node \
         WHERE s.bare = ?1 AND s.expires = ?2 LIMIT ?3",
        params![bare.as_str(), Timestamp(WITH_PRESENCE), limit(max as u64)],
        |row| Ok((NodeAddress { service: row.get(0)?, node: row.get(1)? }, row::subscription(row, 2)?)),
    )
}

pub(super) fn leading(db: &Connection, node: NodeKey, max: usize) -> Result<Vec<(BareJid, Affiliation)>, Trouble> {
    collect(
        db,
        "SELECT jid, affiliation FROM affiliations \
         WHERE node = ?1 AND affiliation IN ('owner', 'publisher') ORDER BY affiliation, jid LIMIT ?2",
        params![node, limit(max as u64)],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// What the column `expires` of `subscriptions` holds.
pub(super) fn expires(options: &SubscriptionOptions) -> Option<Timestamp> {
    match options.expire {
        Expire::Never => None,
        Expire::At(end) => Some(end.max(Timestamp(WITH_PRESENCE + 1))),
        Expire::Presence => Some(Timestamp(WITH_PRESENCE)),
    }
}

const WITH_PRESENCE: i64 = 0;

/// A lookup for each pair: what an account has beside these nodes is not touched.
pub(super) fn with_newest<'a>(
    db: &Connection,
    nodes: impl Iterator<Item = (&'a BareJid, &'a NodeId)>,
) -> Result<Vec<(Node, Option<Item>)>, Trouble> {
    let mut statement = db.prepare_cached(
        "SELECT n.key, n.service, n.node, n.config, n.creator, n.created, n.last_seq, n.floor_seq, n.items, n.owners, \
         n.version, n.subscribers, i.item_id, i.seq, l.publisher, l.time, i.created, l.media, l.namespace, l.payload FROM nodes n \
         LEFT JOIN items i ON i.node = n.key AND i.seq = (SELECT max(seq) FROM items WHERE node = n.key) \
         LEFT JOIN log l ON l.node = i.node AND l.seq = i.seq WHERE n.service = ?1 AND n.node = ?2",
    )?;
    let mut found = Vec::new();
    for (service, node) in nodes {
        let read = |row: &Row<'_>| {
            let item = match row.get_ref(12)? {
                ValueRef::Null => None,
                _ => Some(Item { fact: row::fact(row, 12)?, created: row.get(16)?, payload: row::payload(row, 17)? }),
            };
            Ok((row::node(row)?, item))
        };
        found.extend(statement.query_row(params![service.as_str(), node.as_str()], read).optional()?);
    }
    Ok(found)
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
        Bound::First | Bound::At(_) => Place::Start,
        Bound::Last | Bound::AtEnd(_) => Place::End,
        Bound::After(key) | Bound::Before(key) => Place::At(text(key)),
    }
}

/// The range of keys to look at: one, or all.
fn nodes_from_to(node: Option<NodeKey>) -> (NodeKey, NodeKey) {
    node.map_or((NodeKey(i64::MIN), NodeKey(i64::MAX)), |node| (node, node))
}

fn count(db: &Connection, sql: &str, given: &[&dyn ToSql]) -> Result<u64, Trouble> {
    let counts = collect(db, sql, given, |row| row.get::<_, row::Count>(0))?;
    Ok(counts.first().map_or(0, |count| count.0))
}

/// The entries of a page, and whether there was one more.
fn cut_rows<K, T>(
    db: &Connection,
    texts: &Texts,
    cut: &Cut<K>,
    given: &[&dyn ToSql],
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<(Vec<T>, bool), Trouble> {
    let mut entries = collect(db, if cut.forward() { texts.forward } else { texts.backward }, given, read)?;
    let more = entries.len() > cut.max;
    entries.truncate(cut.max);
    Ok((entries, more))
}

/// The statements of one list. Both directions end with how many rows are wanted, and before it with
/// the place that they start from.
struct Texts {
    count: &'static str,
    forward: &'static str,
    backward: &'static str,
}

const SUBSCRIPTIONS_OF: Texts = Texts {
    count: "SELECT count(*) FROM subscriptions s CROSS JOIN nodes n ON n.key = s.node \
            WHERE s.bare = ?1 AND n.service = ?2 AND s.node BETWEEN ?3 AND ?4",
    forward: "SELECT n.node, s.bare, s.resource, s.subid, s.state, s.options \
              FROM subscriptions s CROSS JOIN nodes n ON n.key = s.node \
              WHERE s.bare = ?1 AND n.service = ?2 AND s.node BETWEEN ?3 AND ?4 \
              AND (n.node, s.resource, s.subid) > (?5, ?6, ?7) ORDER BY n.node, s.resource, s.subid LIMIT ?8 OFFSET ?9",
    backward: "SELECT n.node, s.bare, s.resource, s.subid, s.state, s.options \
               FROM subscriptions s CROSS JOIN nodes n ON n.key = s.node \
               WHERE s.bare = ?1 AND n.service = ?2 AND s.node BETWEEN ?3 AND ?4 \
               AND (n.node, s.resource, s.subid) < (?5, ?6, ?7) \
               ORDER BY n.node DESC, s.resource DESC, s.subid DESC LIMIT ?8 OFFSET ?9",
};

const AFFILIATIONS_OF: Texts = Texts {
    count: "SELECT count(*) FROM affiliations a CROSS JOIN nodes n ON n.key = a.node \
            WHERE a.jid = ?1 AND n.service = ?2 AND a.node BETWEEN ?3 AND ?4",
    forward: "SELECT n.node, a.affiliation FROM affiliations a CROSS JOIN nodes n ON n.key = a.node \
              WHERE a.jid = ?1 AND n.service = ?2 AND a.node BETWEEN ?3 AND ?4 AND n.node > ?5 \
              ORDER BY n.node LIMIT ?6 OFFSET ?7",
    backward: "SELECT n.node, a.affiliation FROM affiliations a CROSS JOIN nodes n ON n.key = a.node \
               WHERE a.jid = ?1 AND n.service = ?2 AND a.node BETWEEN ?3 AND ?4 AND n.node < ?5 \
               ORDER BY n.node DESC LIMIT ?6 OFFSET ?7",
};

const NODE_SUBSCRIPTIONS: Texts = Texts {
    count: "SELECT subscribers FROM nodes WHERE key = ?1",
    forward: "SELECT bare, resource, subid, state, options FROM subscriptions \
              WHERE node = ?1 AND (bare, resource, subid) > (?2, ?3, ?4) ORDER BY bare, resource, subid LIMIT ?5 OFFSET ?6",
    backward: "SELECT bare, resource, subid, state, options FROM subscriptions \
               WHERE node = ?1 AND (bare, resource, subid) < (?2, ?3, ?4) \
               ORDER BY bare DESC, resource DESC, subid DESC LIMIT ?5 OFFSET ?6",
};

const NODE_AFFILIATIONS: Texts = Texts {
    count: "SELECT count(*) FROM affiliations WHERE node = ?1",
    forward: "SELECT jid, affiliation FROM affiliations WHERE node = ?1 AND jid > ?2 ORDER BY jid LIMIT ?3 OFFSET ?4",
    backward: "SELECT jid, affiliation FROM affiliations WHERE node = ?1 AND jid < ?2 ORDER BY jid DESC LIMIT ?3 OFFSET ?4",
};

const NODES: Texts = Texts {
    count: "SELECT nodes FROM services WHERE service = ?1",
    forward: "SELECT n.key, n.service, n.node, n.config, n.creator, n.created, n.last_seq, n.floor_seq, n.items, \
              n.owners, n.version, n.subscribers FROM nodes n WHERE n.service = ?1 AND n.node > ?2 ORDER BY n.node LIMIT ?3 OFFSET ?4",
    backward: "SELECT n.key, n.service, n.node, n.config, n.creator, n.created, n.last_seq, n.floor_seq, n.items, \
               n.owners, n.version, n.subscribers FROM nodes n WHERE n.service = ?1 AND n.node < ?2 ORDER BY n.node DESC LIMIT ?3 OFFSET ?4",
};

/// The viewer's own are as many as he has, and are looked at one by one.
const NODES_FOR: Texts = Texts {
    count: "SELECT coalesce((SELECT nodes - hidden FROM services WHERE service = ?1), 0) + (SELECT count(*) FROM nodes n \
            WHERE n.key IN (SELECT node FROM affiliations WHERE jid = ?2 AND affiliation <> 'outcast' \
            UNION SELECT node FROM subscriptions WHERE bare = ?2 AND node NOT IN \
            (SELECT node FROM affiliations WHERE jid = ?2 AND affiliation = 'outcast')) \
            AND n.service = ?1 AND n.hidden = 1)",
    forward: "SELECT * FROM (SELECT n.key, n.service, n.node, n.config, n.creator, n.created, n.last_seq, n.floor_seq, n.items, n.owners, n.version, n.subscribers \
              FROM nodes n INDEXED BY nodes_visible WHERE n.service = ?1 AND n.hidden = 0 AND n.node > ?3 \
              ORDER BY n.node LIMIT ?4 + ?5) UNION ALL \
              SELECT n.key, n.service, n.node, n.config, n.creator, n.created, n.last_seq, n.floor_seq, n.items, n.owners, n.version, n.subscribers FROM nodes n \
              WHERE n.key IN (SELECT node FROM affiliations WHERE jid = ?2 AND affiliation <> 'outcast' \
              UNION SELECT node FROM subscriptions WHERE bare = ?2 AND node NOT IN \
              (SELECT node FROM affiliations WHERE jid = ?2 AND affiliation = 'outcast')) \
              AND n.service = ?1 AND n.hidden = 1 AND n.node > ?3 ORDER BY 3 LIMIT ?4 OFFSET ?5",
    backward: "SELECT * FROM (SELECT n.key, n.service, n.node, n.config, n.creator, n.created, n.last_seq, n.floor_seq, n.items, n.owners, n.version, n.subscribers \
              FROM nodes n INDEXED BY nodes_visible WHERE n.service = ?1 AND n.hidden = 0 AND n.node < ?3 \
              ORDER BY n.node DESC LIMIT ?4 + ?5) UNION ALL \
              SELECT n.key, n.service, n.node, n.config, n.creator, n.created, n.last_seq, n.floor_seq, n.items, n.owners, n.version, n.subscribers FROM nodes n \
              WHERE n.key IN (SELECT node FROM affiliations WHERE jid = ?2 AND affiliation <> 'outcast' \
              UNION SELECT node FROM subscriptions WHERE bare = ?2 AND node NOT IN \
              (SELECT node FROM affiliations WHERE jid = ?2 AND affiliation = 'outcast')) \
              AND n.service = ?1 AND n.hidden = 1 AND n.node < ?3 ORDER BY 3 DESC LIMIT ?4 OFFSET ?5",
};
