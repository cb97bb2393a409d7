//! A batch of the engine as one transaction.
//!
//! For each node: its row, on condition of its version; its new events; its changes in their order;
//! the trimming. A publish costs three statements (the row, the log, the item) and a fourth where it
//! overwrites an item whose row has fallen below the floor.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use crate::pubsub::{
    Affiliation, Change, Event, EventKind, ItemFact, Node, NodeConfig, NodeKey, Seq, SubscriptionState,
};
use crate::store::batch::{PurgeBounds, check, deletion_time};
use crate::store::sqlite::graph;
use crate::store::sqlite::lists;
use crate::store::sqlite::memos;
use crate::store::sqlite::passing;
use crate::store::sqlite::row::{Count, event_columns};
use crate::store::sqlite::trouble::Trouble;
use crate::store::sqlite::writer::Configs;
use crate::store::{Failure, NodeCommit};
use crate::time::Timestamp;

/// The configurations that rows hold once this is committed; absent where the row is gone.
pub(super) type Written = Vec<(NodeKey, Option<Arc<NodeConfig>>)>;

/// Writes all of it, or fails and is to be rolled back.
pub(super) fn write(db: &Connection, configs: &Configs, batch: &[NodeCommit]) -> Result<Written, Trouble> {
    let mut written = Written::new();
    for commit in batch {
        check(commit)?;
        let deletes = matches!(commit.changes.last(), Some(Change::DeleteNode { .. }));
        if commit.expected_version == 0 {
            create(db, commit)?;
            written.push((commit.node.key, Some(commit.node.config.clone())));
        } else {
            update(db, configs, commit, &mut written)?;
        }
        if deletes {
            written.push((commit.node.key, None));
        } else {
            commit.events.iter().try_for_each(|event| append(db, commit.node.key, event))?;
        }
        let mut purges = PurgeBounds::of(commit);
        for change in &commit.changes {
            apply(db, commit, change, &mut purges)?;
        }
        if !deletes {
            note_due(db, commit)?;
            passing::note(db, commit)?;
        }
        if let Some(from) = commit.trim_from
            && !deletes
        {
            trim(db, commit.node.key, from, commit.node.floor_seq)?;
        }
        commit.memos.iter().try_for_each(|memo| memos::put(db, memo))?;
    }
    Ok(written)
}

fn create(db: &Connection, commit: &NodeCommit) -> Result<(), Trouble> {
    let node = &commit.node;
    let created = db
        .prepare_cached(
            "INSERT INTO nodes (key, service, node, config, creator, created, last_seq, floor_seq, items, owners, \
             version, oldest_time, subscribers, keeps_items, hidden) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
             ON CONFLICT (service, node) DO NOTHING",
        )?
        .execute(params![
            node.key,
            node.address.service.as_str(),
            node.address.node.as_str(),
            node.config.to_text(),
            node.creator.as_str(),
            node.created,
            node.last_seq,
            node.floor_seq,
            Count(node.items),
            Count(node.owners),
            Count(node.version),
            oldest_of(commit),
            Count(node.subscribers),
            node.config.persist_items,
            node.config.hidden,
        ])?;
    if created == 0 {
        return Err(Failure::Stale.into());
    }
    db.prepare_cached(
        "INSERT INTO services (service, nodes, hidden) VALUES (?1, 1, ?2) \
         ON CONFLICT (service) DO UPDATE SET nodes = nodes + 1, hidden = hidden + ?2",
    )?
    .execute(params![node.address.service.as_str(), node.config.hidden])?;
    db.prepare_cached("DELETE FROM tombstones WHERE service = ?1 AND node = ?2")?
        .execute([node.address.service.as_str(), node.address.node.as_str()])?;
    Ok(())
}

/// The indexed and the large columns are written only where they change.
fn update(db: &Connection, configs: &Configs, commit: &NodeCommit, written: &mut Written) -> Result<(), Trouble> {
    let node = &commit.node;
    let updated = db
        .prepare_cached(
            "UPDATE nodes SET last_seq = ?3, floor_seq = ?4, items = ?5, owners = ?6, version = ?7, subscribers = ?8 \
             WHERE key = ?1 AND version = ?2",
        )?
        .execute(params![
            node.key,
            Count(commit.expected_version),
            node.last_seq,
            node.floor_seq,
            Count(node.items),
            Count(node.owners),
            Count(node.version),
            Count(node.subscribers),
        ])?;
    if updated == 0 {
        return Err(Failure::Stale.into());
    }
    if !configs.holds(node.key, &node.config) {
        let config = &node.config;
        db.prepare_cached(
            "UPDATE services SET hidden = hidden + ?3 - (SELECT hidden FROM nodes WHERE key = ?1) \
             WHERE service = ?2 AND ?3 <> (SELECT hidden FROM nodes WHERE key = ?1)",
        )?
        .execute(params![node.key, node.address.service.as_str(), config.hidden])?;
        db.prepare_cached("UPDATE nodes SET config = ?2, keeps_items = ?3, hidden = ?4 WHERE key = ?1")?
            .execute(params![node.key, config.to_text(), config.persist_items, config.hidden])?;
        written.push((node.key, Some(node.config.clone())));
    }
    let was_empty = commit.events.first().is_some_and(|first| first.seq <= node.floor_seq);
    if commit.trim_from.is_some() || was_empty {
        db.prepare_cached("UPDATE nodes SET oldest_time = ?2 WHERE key = ?1")?
            .execute(params![node.key, oldest_after(db, commit)?])?;
    }
    Ok(())
}

/// Notes when the oldest item is due to go, where that may have changed.
fn note_due(db: &Connection, commit: &NodeCommit) -> Result<(), Trouble> {
    let node = &commit.node;
    let configured = commit.events.iter().any(|event| matches!(event.kind, EventKind::Configured { .. }));
    let items = |change: &Change| matches!(change, Change::PutItem { .. } | Change::RemoveItem { .. } | Change::Purge);
    if node.config.item_expire.is_none() && configured {
        db.prepare_cached("UPDATE nodes SET item_due = NULL WHERE key = ?1 AND item_due IS NOT NULL")?
            .execute([node.key])?;
    } else if node.config.item_expire.is_some() && (configured || commit.changes.iter().any(items)) {
        let oldest: Option<Timestamp> = db
            .prepare_cached(
                "SELECT l.time FROM items i CROSS JOIN log l ON l.node = i.node AND l.seq = i.seq \
                 WHERE i.node = ?1 ORDER BY i.seq LIMIT 1",
            )?
            .query_row([node.key], |row| row.get(0))
            .optional()?;
        let due = oldest.and_then(|oldest| node.config.due(oldest));
        db.prepare_cached("UPDATE nodes SET item_due = ?2 WHERE key = ?1 AND item_due IS NOT ?2")?
            .execute(params![node.key, due])?;
    }
    Ok(())
}

/// The time of the event at the floor, where it is among the new ones.
fn oldest_of(commit: &NodeCommit) -> Option<Timestamp> {
    commit.events.iter().find(|event| event.seq == commit.node.floor_seq).map(|event| event.time)
}

fn oldest_after(db: &Connection, commit: &NodeCommit) -> Result<Option<Timestamp>, Trouble> {
    let new = oldest_of(commit);
    if new.is_some() {
        return Ok(new);
    }
    let old = db
        .prepare_cached("SELECT time FROM log WHERE node = ?1 AND seq = ?2")?
        .query_row(params![commit.node.key, commit.node.floor_seq], |row| row.get(0))
        .optional()?;
    Ok(old)
}

fn append(db: &Connection, node: NodeKey, event: &Event) -> Result<(), Trouble> {
    let columns = event_columns(&event.kind);
    db.prepare_cached(
        "INSERT INTO log (node, seq, kind, time, item_id, publisher, media, namespace, prev, detail, payload) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        node,
        event.seq,
        columns.kind,
        event.time,
        columns.item,
        columns.publisher.map(|publisher| publisher.as_str()),
        columns.payload.map(|payload| payload.media.code()),
        columns.payload.map(|payload| &*payload.namespace),
        columns.prev,
        columns.detail,
        columns.payload.map(|payload| &*payload.xml),
    ])?;
    Ok(())
}

fn apply(db: &Connection, commit: &NodeCommit, change: &Change, purges: &mut PurgeBounds<'_>) -> Result<(), Trouble> {
    let node = &commit.node;
    match change {
        Change::CreateNode => Ok(()),
        Change::DeleteNode { redirect } => delete(db, commit, redirect.as_deref()),
        Change::Purge => purge(db, node, purges.next()),
        Change::PutItem { fact, replaces } => put_item(db, node, fact, *replaces),
        Change::RemoveItem { fact } => remove_item(db, node, fact),
        Change::SetAffiliation { jid, affiliation: Affiliation::None } => {
            db.prepare_cached("DELETE FROM affiliations WHERE node = ?1 AND jid = ?2")?
                .execute(params![node.key, jid.as_str()])?;
            Ok(())
        }
        Change::SetAffiliation { jid, affiliation } => {
            db.prepare_cached(
                "INSERT INTO affiliations (node, jid, affiliation) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (node, jid) DO UPDATE SET affiliation = excluded.affiliation",
            )?
            .execute(params![node.key, jid.as_str(), affiliation.as_str()])?;
            Ok(())
        }
        Change::Associate { child } => graph::associate(db, node.key, *child),
        Change::Dissociate { child } => graph::dissociate(db, node.key, *child),
        Change::SetSubscription { subscription } => {
            let (bare, resource) = (subscription.jid.bare().as_str(), subscription.jid.resource().unwrap_or(""));
            let subid = subscription.subid.as_str();
            if subscription.state == SubscriptionState::None {
                db.prepare_cached(
                    "DELETE FROM subscriptions WHERE node = ?1 AND bare = ?2 AND resource = ?3 AND subid = ?4",
                )?
                .execute(params![node.key, bare, resource, subid])?;
            } else {
                db.prepare_cached(
                    "INSERT INTO subscriptions (node, bare, resource, subid, state, options, expires) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                     ON CONFLICT (node, bare, resource, subid) DO UPDATE \
                     SET state = excluded.state, options = excluded.options, expires = excluded.expires",
                )?
                .execute(params![
                    node.key,
                    bare,
                    resource,
                    subid,
                    subscription.state.as_str(),
                    subscription.options.to_text(),
                    lists::expires(&subscription.options),
                ])?;
            }
            Ok(())
        }
    }
}

fn put_item(db: &Connection, node: &Node, fact: &ItemFact, replaces: Option<Seq>) -> Result<(), Trouble> {
    db.prepare_cached(
        "INSERT INTO items (node, item_id, seq, created) VALUES (?1, ?2, ?3, ?3) \
         ON CONFLICT (node, item_id) DO UPDATE SET seq = excluded.seq",
    )?
    .execute(params![node.key, fact.id.as_str(), fact.seq])?;
    match replaces {
        // Kept below the floor only because the item stood on it.
        Some(replaced) if replaced < node.floor_seq => forget(db, node.key, replaced),
        _ => Ok(()),
    }
}

fn remove_item(db: &Connection, node: &Node, fact: &ItemFact) -> Result<(), Trouble> {
    db.prepare_cached("DELETE FROM items WHERE node = ?1 AND item_id = ?2")?
        .execute(params![node.key, fact.id.as_str()])?;
    if fact.seq < node.floor_seq {
        return forget(db, node.key, fact.seq);
    }
    let mut erase = db.prepare_cached(
        "UPDATE log SET payload = NULL, media = NULL, namespace = NULL WHERE node = ?1 AND seq = ?2 RETURNING prev",
    )?;
    let mut next = Some(fact.seq);
    while let Some(seq) = next {
        // Each step goes to a lower seq, so this ends; below the floor no row of this item is left.
        let prev: Option<Option<Seq>> = erase.query_row(params![node.key, seq], |row| row.get(0)).optional()?;
        next = prev.flatten().filter(|prev| *prev < seq);
    }
    Ok(())
}

fn purge(db: &Connection, node: &Node, below: Seq) -> Result<(), Trouble> {
    db.prepare_cached(
        "DELETE FROM log WHERE node = ?1 AND seq < ?2 AND seq IN (SELECT seq FROM items WHERE node = ?1 AND seq < ?2)",
    )?
    .execute(params![node.key, node.floor_seq.min(below)])?;
    db.prepare_cached("DELETE FROM items WHERE node = ?1 AND seq < ?2")?.execute(params![node.key, below])?;
    db.prepare_cached(
        "UPDATE log SET payload = NULL, media = NULL, namespace = NULL \
         WHERE node = ?1 AND seq < ?2 AND payload IS NOT NULL",
    )?
    .execute(params![node.key, below])?;
    Ok(())
}

fn delete(db: &Connection, commit: &NodeCommit, redirect: Option<&str>) -> Result<(), Trouble> {
    let node = &commit.node;
    erase(db, node.key.0)?;
    let service = node.address.service.as_str();
    db.prepare_cached("UPDATE services SET nodes = nodes - 1, hidden = hidden - ?2 WHERE service = ?1")?
        .execute(params![service, node.config.hidden])?;
    db.prepare_cached("DELETE FROM services WHERE service = ?1 AND nodes <= 0")?.execute([service])?;
    db.prepare_cached(
        "INSERT INTO tombstones (service, node, key, last_seq, deleted, redirect, hidden) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (service, node) DO UPDATE SET key = excluded.key, last_seq = excluded.last_seq, \
         deleted = excluded.deleted, redirect = excluded.redirect, hidden = excluded.hidden",
    )?
    .execute(params![
        service,
        node.address.node.as_str(),
        node.key,
        node.last_seq,
        deletion_time(commit),
        redirect,
        node.config.hidden
    ])?;
    Ok(())
}

/// Takes a node away with all that belongs to it, but for what is said of its name.
pub(super) fn erase(db: &Connection, key: i64) -> Result<(), Trouble> {
    for sql in [
        "DELETE FROM log WHERE node = ?1",
        "DELETE FROM items WHERE node = ?1",
        "DELETE FROM subscriptions WHERE node = ?1",
        "DELETE FROM affiliations WHERE node = ?1",
        "DELETE FROM children WHERE parent = ?1",
        "DELETE FROM children WHERE child = ?1",
        "DELETE FROM passing WHERE node = ?1",
        "DELETE FROM nodes WHERE key = ?1",
    ] {
        db.prepare_cached(sql)?.execute([key])?;
    }
    Ok(())
}

fn trim(db: &Connection, node: NodeKey, from: Seq, floor: Seq) -> Result<(), Trouble> {
    db.prepare_cached(
        "DELETE FROM log WHERE node = ?1 AND seq >= ?2 AND seq < ?3 \
         AND NOT EXISTS (SELECT 1 FROM items WHERE items.node = ?1 AND items.seq = log.seq)",
    )?
    .execute(params![node, from, floor])?;
    Ok(())
}

fn forget(db: &Connection, node: NodeKey, seq: Seq) -> Result<(), Trouble> {
    db.prepare_cached("DELETE FROM log WHERE node = ?1 AND seq = ?2")?.execute(params![node, seq])?;
    Ok(())
}
