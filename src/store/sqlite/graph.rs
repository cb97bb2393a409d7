//! Which nodes stand in which collections.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use crate::jid::BareJid;
use crate::pubsub::{ABOVE_MAX, Affiliation, Graph, Held, Node, NodeId, NodeKey, Related};
use crate::store::sqlite::read::{collect, limit};
use crate::store::sqlite::row::{self, Count};
use crate::store::sqlite::trouble::Trouble;

/// What a request must know that changes the graph around a node, as the caller stands to it.
pub(super) fn graph(
    db: &Connection,
    service: &BareJid,
    node: Option<&NodeId>,
    named: &[NodeId],
    caller: &BareJid,
) -> Result<Graph, Trouble> {
    let mut graph = Graph::default();
    let service = service.as_str();
    let own = node.map(|node| by_name(db, service, node)).transpose()?.flatten();
    if let Some(own) = own {
        for parent in collect(db, PARENTS, params![own.key], row::node)? {
            graph.parents.push(related(db, parent, caller)?);
        }
        graph.children = children(db, own.key)?;
        graph.above = above(db, own.key)?;
    }
    for name in named {
        if let Some(node) = by_name(db, service, name)? {
            graph.named.push(related(db, node, caller)?);
        }
    }
    Ok(graph)
}

/// The names of the collections in which a node stands, and of the nodes that it holds.
pub(super) fn relations(db: &Connection, node: NodeKey) -> Result<(Vec<NodeId>, Vec<NodeId>), Trouble> {
    let parents: Vec<Node> = collect(db, PARENTS, params![node], row::node)?;
    let children = children(db, node)?.into_iter().map(|child| child.node).collect();
    Ok((parents.into_iter().map(|parent| parent.address.node).collect(), children))
}

/// The nodes below a collection with their least distance, nearest first.
pub(super) fn descendants(db: &Connection, root: NodeKey, depth: u32, max: usize) -> Result<Vec<(Node, u32)>, Trouble> {
    let mut seen = HashSet::from([root]);
    let mut found = Vec::new();
    let mut level = vec![root];
    for distance in 1..=depth {
        let mut below = Vec::new();
        for parent in level {
            for node in collect(db, BELOW, params![parent], row::node)? {
                if found.len() >= max {
                    return Ok(found);
                }
                if seen.insert(node.key) {
                    below.push(node.key);
                    found.push((node, distance));
                }
            }
        }
        if below.is_empty() {
            break;
        }
        level = below;
    }
    Ok(found)
}

pub(super) fn associate(db: &Connection, parent: NodeKey, child: NodeKey) -> Result<(), Trouble> {
    db.prepare_cached("INSERT OR IGNORE INTO children (parent, child) VALUES (?1, ?2)")?
        .execute(params![parent, child])?;
    Ok(())
}

pub(super) fn dissociate(db: &Connection, parent: NodeKey, child: NodeKey) -> Result<(), Trouble> {
    db.prepare_cached("DELETE FROM children WHERE parent = ?1 AND child = ?2")?.execute(params![parent, child])?;
    Ok(())
}

fn by_name(db: &Connection, service: &str, node: &NodeId) -> Result<Option<Node>, Trouble> {
    let sql = "SELECT n.key, n.service, n.node, n.config, n.creator, n.created, n.last_seq, n.floor_seq, n.items, \
               n.owners, n.version, n.subscribers FROM nodes n WHERE n.service = ?1 AND n.node = ?2";
    Ok(db.prepare_cached(sql)?.query_row(params![service, node.as_str()], row::node).optional()?)
}

fn children(db: &Connection, node: NodeKey) -> Result<Vec<Held>, Trouble> {
    let sql = "SELECT n.node, n.key, n.hidden FROM children c CROSS JOIN nodes n ON n.key = c.child WHERE c.parent = ?1 \
               ORDER BY n.node";
    collect(db, sql, params![node], |row| Ok(Held { node: row.get(0)?, key: row.get(1)?, hidden: row.get(2)? }))
}

fn related(db: &Connection, node: Node, caller: &BareJid) -> Result<Related, Trouble> {
    let affiliation: Option<Affiliation> = db
        .prepare_cached("SELECT affiliation FROM affiliations WHERE node = ?1 AND jid = ?2")?
        .query_row(params![node.key, caller.as_str()], |row| row.get(0))
        .optional()?;
    let subscribed = db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM subscriptions WHERE node = ?1 AND bare = ?2)")?
        .query_row(params![node.key, caller.as_str()], |row| row.get(0))?;
    let count = |sql: &str| -> Result<u64, Trouble> {
        let count: Count = db.prepare_cached(sql)?.query_row(params![node.key], |row| row.get(0))?;
        Ok(count.0)
    };
    Ok(Related {
        affiliation: affiliation.unwrap_or_default(),
        subscribed,
        above: above(db, node.key)?,
        children: count("SELECT count(*) FROM children WHERE parent = ?1")?,
        parents: count("SELECT count(*) FROM children WHERE child = ?1")?,
        node: node.into(),
    })
}

fn above(db: &Connection, node: NodeKey) -> Result<Vec<NodeKey>, Trouble> {
    let sql = "WITH RECURSIVE above (node) AS (SELECT parent FROM children WHERE child = ?1 \
               UNION SELECT c.parent FROM above CROSS JOIN children c ON c.child = above.node LIMIT ?2) \
               SELECT node FROM above";
    collect(db, sql, params![node, limit(ABOVE_MAX as u64 + 1)], |row| row.get(0))
}

const PARENTS: &str = "SELECT n.key, n.service, n.node, n.config, n.creator, n.created, n.last_seq, n.floor_seq, \
                       n.items, n.owners, n.version, n.subscribers FROM children c CROSS JOIN nodes n \
                       ON n.key = c.parent WHERE c.child = ?1 ORDER BY n.node";
const BELOW: &str = "SELECT n.key, n.service, n.node, n.config, n.creator, n.created, n.last_seq, n.floor_seq, \
                     n.items, n.owners, n.version, n.subscribers FROM children c CROSS JOIN nodes n \
                     ON n.key = c.child WHERE c.parent = ?1 ORDER BY n.node";
