//! Endpoints and their deliveries that have failed.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::pubsub::{NodeAddress, NodeKey, Seq};
use crate::store::sqlite::trouble::Trouble;
use crate::store::{ATTEMPTS_KEPT, Attempted, Parked, Settled, Webhook, counted};

pub(super) fn put(db: &Connection, webhook: &Webhook) -> Result<(), Trouble> {
    db.prepare_cached(
        "INSERT INTO webhooks (id, service, node, node_key, owner, url, types, key, ordered, created, disabled, \
         failing_since, position) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
         ON CONFLICT (id) DO UPDATE SET url = excluded.url, types = excluded.types, key = excluded.key, \
         ordered = excluded.ordered, disabled = excluded.disabled, failing_since = excluded.failing_since, \
         position = excluded.position",
    )?
    .execute(params![
        webhook.id,
        webhook.address.service.as_str(),
        webhook.address.node.as_str(),
        webhook.node,
        webhook.owner.as_str(),
        webhook.url,
        counted::join(webhook.types.iter().map(String::as_str)),
        webhook.key,
        webhook.ordered,
        webhook.created,
        webhook.disabled,
        webhook.failing_since,
        webhook.position,
    ])?;
    Ok(())
}

pub(super) fn remove(db: &Connection, id: &str) -> Result<bool, Trouble> {
    db.prepare_cached("DELETE FROM parked WHERE webhook = ?1")?.execute([id])?;
    db.prepare_cached("DELETE FROM webhook_attempts WHERE webhook = ?1")?.execute([id])?;
    Ok(db.prepare_cached("DELETE FROM webhooks WHERE id = ?1")?.execute([id])? > 0)
}

pub(super) fn find(db: &Connection, id: &str) -> Result<Option<Webhook>, Trouble> {
    let found = db
        .prepare_cached(
            "SELECT id, service, node, node_key, owner, url, types, key, ordered, created, disabled, failing_since, \
             position FROM webhooks WHERE id = ?1",
        )?
        .query_row([id], read)
        .optional()?;
    Ok(found)
}

pub(super) fn after(db: &Connection, after: Option<&str>, max: usize) -> Result<Vec<Webhook>, Trouble> {
    let mut statement = db.prepare_cached(
        "SELECT id, service, node, node_key, owner, url, types, key, ordered, created, disabled, failing_since, \
         position FROM webhooks WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let rows = statement.query_map(params![after.unwrap_or(""), max as i64], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn of_node(db: &Connection, node: NodeKey) -> Result<Vec<Webhook>, Trouble> {
    let mut statement = db.prepare_cached(
        "SELECT id, service, node, node_key, owner, url, types, key, ordered, created, disabled, failing_since, \
         position FROM webhooks WHERE node_key = ?1 ORDER BY id",
    )?;
    let rows = statement.query_map([node], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether the endpoint is still there.
pub(super) fn settle(db: &Connection, settled: &Settled) -> Result<bool, Trouble> {
    let there = db
        .prepare_cached("UPDATE webhooks SET position = ?2, failing_since = ?3 WHERE id = ?1")?
        .execute(params![settled.id, settled.position, settled.failing_since])?;
    if there == 0 {
        return Ok(false);
    }
    for seq in &settled.delivered {
        db.prepare_cached("DELETE FROM parked WHERE webhook = ?1 AND seq = ?2")?.execute(params![settled.id, seq])?;
    }
    for parked in &settled.parked {
        db.prepare_cached(
            "INSERT INTO parked (webhook, seq, attempts, due, error, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (webhook, seq) DO UPDATE SET attempts = excluded.attempts, due = excluded.due, \
             error = excluded.error",
        )?
        .execute(params![settled.id, parked.seq, parked.attempts, parked.due, parked.error, &*parked.body])?;
    }
    // Each has a slot, in which the one that goes for it stood.
    let first = settled.attempts.len().saturating_sub(ATTEMPTS_KEPT as usize);
    for it in &settled.attempts[first..] {
        let (number, slot) = (it.number.cast_signed(), (it.number % ATTEMPTS_KEPT).cast_signed());
        let took = it.took_ms.cast_signed();
        db.prepare_cached(
            "INSERT OR REPLACE INTO webhook_attempts (webhook, slot, number, seq, attempt, time, took_ms, outcome, \
             success) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![settled.id, slot, number, it.seq, it.attempt, it.time, took, it.outcome, it.success])?;
    }
    Ok(true)
}

pub(super) fn attempts(db: &Connection, id: &str) -> Result<Vec<Attempted>, Trouble> {
    let mut statement = db.prepare_cached(
        "SELECT number, seq, attempt, time, took_ms, outcome, success FROM webhook_attempts WHERE webhook = ?1 \
         ORDER BY number",
    )?;
    let rows = statement.query_map([id], |row| {
        Ok(Attempted {
            number: row.get::<_, i64>(0)?.cast_unsigned(),
            seq: row.get(1)?,
            attempt: row.get(2)?,
            time: row.get(3)?,
            took_ms: row.get::<_, i64>(4)?.cast_unsigned(),
            outcome: row.get(5)?,
            success: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn parked(db: &Connection, id: &str, dead: bool, after: Seq, max: usize) -> Result<Vec<Parked>, Trouble> {
    let mut statement = db.prepare_cached(
        "SELECT seq, attempts, due, error, body FROM parked \
         WHERE webhook = ?1 AND (due IS NULL) = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4",
    )?;
    let rows = statement.query_map(params![id, dead, after, max as i64], |row| {
        Ok(Parked { seq: row.get(0)?, attempts: row.get(1)?, due: row.get(2)?, error: row.get(3)?, body: row.get(4)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn counts(db: &Connection, id: &str) -> Result<(u64, u64), Trouble> {
    let counts: (i64, i64) = db
        .prepare_cached("SELECT count(due), count(*) - count(due) FROM parked WHERE webhook = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((counts.0.unsigned_abs(), counts.1.unsigned_abs()))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Webhook> {
    let types = counted::split(row.get_ref(6)?.as_str()?)
        .ok_or_else(|| rusqlite::types::FromSqlError::Other("types that are no list".into()))?;
    Ok(Webhook {
        id: row.get(0)?,
        address: NodeAddress { service: row.get(1)?, node: row.get(2)? },
        node: row.get(3)?,
        owner: row.get(4)?,
        url: row.get(5)?,
        types: types.into_iter().map(str::to_owned).collect(),
        key: row.get(7)?,
        ordered: row.get(8)?,
        created: row.get(9)?,
        disabled: row.get(10)?,
        failing_since: row.get(11)?,
        position: row.get(12)?,
    })
}
