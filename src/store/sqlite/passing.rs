//! Items that stand as long as their publishers are online (`pubsub#purge_offline`).

use rusqlite::{Connection, OptionalExtension, params};

use crate::jid::BareJid;
use crate::pubsub::{Change, EventKind, ItemFact, Node};
use crate::store::NodeCommit;
use crate::store::sqlite::read::{collect, limit};
use crate::store::sqlite::row;
use crate::store::sqlite::trouble::Trouble;

/// Notes who has items at such a node, where that may have changed.
pub(super) fn note(db: &Connection, commit: &NodeCommit) -> Result<(), Trouble> {
    let node = &commit.node;
    let configured = commit.events.iter().any(|event| matches!(event.kind, EventKind::Configured { .. }));
    if !node.config.purge_offline {
        if configured {
            db.prepare_cached("DELETE FROM passing WHERE node = ?1")?.execute([node.key])?;
        }
        return Ok(());
    }
    if configured {
        db.prepare_cached(
            "INSERT OR IGNORE INTO passing (publisher, node) SELECT DISTINCT l.publisher, i.node \
             FROM items i CROSS JOIN log l ON l.node = i.node AND l.seq = i.seq WHERE i.node = ?1",
        )?
        .execute([node.key])?;
    }
    for change in &commit.changes {
        if let Change::PutItem { fact, .. } = change {
            db.prepare_cached("INSERT OR IGNORE INTO passing (publisher, node) VALUES (?1, ?2)")?
                .execute(params![fact.publisher.as_str(), node.key])?;
        }
    }
    Ok(())
}

pub(super) fn next(db: &Connection, after: &str) -> Result<Option<BareJid>, Trouble> {
    let sql = "SELECT publisher FROM passing WHERE publisher > ?1 ORDER BY publisher LIMIT 1";
    Ok(db.prepare_cached(sql)?.query_row([after], |row| row.get(0)).optional()?)
}

pub(super) fn of(db: &Connection, publisher: &BareJid, max: usize) -> Result<Option<Vec<(Node, ItemFact)>>, Trouble> {
    let publisher = publisher.as_str();
    if !db.prepare_cached("SELECT 1 FROM passing WHERE publisher = ?1")?.exists([publisher])? {
        return Ok(None);
    }
    let items = collect(
        db,
        "SELECT n.key, n.service, n.node, n.config, n.creator, n.created, n.last_seq, n.floor_seq, n.items, n.owners, \
         n.version, n.subscribers, i.item_id, i.seq, l.publisher, l.time FROM passing p \
         CROSS JOIN nodes n ON n.key = p.node CROSS JOIN items i ON i.node = p.node \
         CROSS JOIN log l ON l.node = i.node AND l.seq = i.seq \
         WHERE p.publisher = ?1 AND l.publisher = ?1 LIMIT ?2",
        params![publisher, limit(max as u64)],
        |row| Ok((row::node(row)?, row::fact(row, 12)?)),
    )?;
    Ok(Some(items))
}

pub(super) fn settle(db: &Connection, publisher: &BareJid) -> Result<(), Trouble> {
    db.prepare_cached(
        "DELETE FROM passing WHERE publisher = ?1 AND NOT EXISTS (SELECT 1 FROM items i CROSS JOIN log l \
         ON l.node = i.node AND l.seq = i.seq WHERE i.node = passing.node AND l.publisher = ?1)",
    )?
    .execute([publisher.as_str()])?;
    Ok(())
}
