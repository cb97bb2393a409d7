//! Archives of messages.

use std::ops::Range;
use std::sync::Arc;

use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::SqliteStore;
use crate::im::{Policy, Preferences};
use crate::jid::{BareJid, Jid};
use crate::pubsub::{Event, NodeKey};
use crate::store::archive::{
    ArchiveEntry, ArchivePage, ArchiveQuery, ArchiveRange, Archived, Archives, Filing, Keeping,
};
use crate::store::page::event_bytes;
use crate::store::sqlite::row::{self, Count};
use crate::store::sqlite::trouble::Trouble;
use crate::store::sqlite::{contacts, read};
use crate::store::{Failure, Pending, counted};
use crate::time::Timestamp;

impl Archives for SqliteStore {
    fn reserve_archive_numbers(&self, count: u32) -> Pending<'_, Range<i64>> {
        self.write(move |db| {
            let sql = "UPDATE meta SET next_archive_number = next_archive_number + ?1 WHERE one = 1 \
                       RETURNING next_archive_number";
            let end: i64 = db.prepare_cached(sql)?.query_row([count], |row| row.get(0))?;
            Ok(end - i64::from(count)..end)
        })
    }

    fn file(&self, filings: Vec<Filing>, messages_max: u64) -> Pending<'_, Vec<bool>> {
        self.write(move |db| filings.iter().map(|filing| file(db, filing, messages_max)).collect())
    }

    fn read_archive(&self, asked: ArchiveQuery) -> Pending<'_, ArchivePage<Archived>> {
        self.read(move |db| page(db, &asked))
    }

    fn read_published(
        &self,
        node: NodeKey,
        publisher: Option<BareJid>,
        range: ArchiveRange,
    ) -> Pending<'_, ArchivePage<Event>> {
        self.read(move |db| published(db, node, publisher.as_ref(), &range))
    }

    fn archive_ends(&self, owner: BareJid) -> Pending<'_, Option<[(i64, Timestamp); 2]>> {
        self.read(move |db| {
            let end = |sql: &str| {
                db.prepare_cached(sql)?
                    .query_row([owner.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
                    .map_err(Trouble::from)
            };
            let first = end("SELECT number, time FROM archived WHERE owner = ?1 ORDER BY time, number LIMIT 1")?;
            let last =
                end("SELECT number, time FROM archived WHERE owner = ?1 ORDER BY time DESC, number DESC LIMIT 1")?;
            Ok(first.zip(last).map(|(first, last)| [first, last]))
        })
    }

    fn archive_preferences(&self, owners: Vec<BareJid>) -> Pending<'_, Vec<Keeping>> {
        self.read(move |db| owners.iter().map(|owner| keeping(db, owner)).collect())
    }

    fn set_archive_preferences(&self, owner: BareJid, preferences: Preferences) -> Pending<'_, ()> {
        self.write(move |db| {
            let list = |jids: &[Jid]| {
                let texts: Vec<String> = jids.iter().map(Jid::to_string).collect();
                counted::join(texts.iter().map(String::as_str))
            };
            db.prepare_cached(
                "INSERT INTO archives (owner, messages, last_time, others, always, never) \
                 VALUES (?1, 0, 0, ?2, ?3, ?4) ON CONFLICT (owner) DO UPDATE SET \
                 others = excluded.others, always = excluded.always, never = excluded.never",
            )?
            .execute(params![
                owner.as_str(),
                preferences.others.as_str(),
                list(&preferences.always),
                list(&preferences.never)
            ])?;
            Ok(())
        })
    }

    /// In slices, so that commits get between.
    fn forget_archived(&self, before: Timestamp) -> Pending<'_, ()> {
        Box::pin(async move {
            while self.write(move |db| forget(db, before, FORGOTTEN_SLICE)).await? == FORGOTTEN_SLICE {}
            Ok(())
        })
    }
}

fn file(db: &Connection, filing: &Filing, messages_max: u64) -> Result<bool, Trouble> {
    if let Some(waiting) = &filing.waiting
        && !contacts::keep_message(db, &waiting.owner, &waiting.stanza, waiting.max)?
    {
        return Ok(false);
    }
    filing.entries.iter().try_for_each(|entry| put(db, entry, messages_max))?;
    Ok(true)
}

fn put(db: &Connection, entry: &ArchiveEntry, messages_max: u64) -> Result<(), Trouble> {
    let owner = entry.owner.as_str();
    let (messages, time): (Count, Timestamp) = db
        .prepare_cached(
            "INSERT INTO archives (owner, messages, last_time) VALUES (?1, 1, ?2) ON CONFLICT (owner) DO UPDATE SET \
             messages = messages + 1, last_time = max(last_time, excluded.last_time) RETURNING messages, last_time",
        )?
        .query_row(params![owner, entry.time], |row| Ok((row.get(0)?, row.get(1)?)))?;
    db.prepare_cached(
        "INSERT INTO archived (number, owner, time, peer, resource, stanza) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![entry.number, owner, time, entry.with.as_str(), entry.resource.as_deref(), &*entry.xml])?;
    let over = messages.0.saturating_sub(messages_max);
    if over > 0 {
        let gone = db
            .prepare_cached(
                "DELETE FROM archived WHERE number IN \
                 (SELECT number FROM archived WHERE owner = ?1 ORDER BY time, number LIMIT ?2)",
            )?
            // A limit that was lowered is reached in steps, so that no message waits for it.
            .execute(params![owner, read::limit(over.min(TRIMMED_MAX))])?;
        shrink(db, owner, gone)?;
    }
    Ok(())
}

/// One question, as it is asked in each way.
struct Texts {
    forward: &'static str,
    backward: &'static str,
    count: &'static str,
}

fn page(db: &Connection, asked: &ArchiveQuery) -> Result<ArchivePage<Archived>, Trouble> {
    let range = &asked.range;
    for number in range.edges().chain(range.these.iter().flatten().copied()) {
        let sql = "SELECT 1 FROM archived WHERE number = ?1 AND owner = ?2";
        if !db.prepare_cached(sql)?.exists(params![number, asked.owner.as_str()])? {
            return Err(Failure::NoSuchEdge.into());
        }
    }
    let (least, most) = range.between();
    let (with, resource) = match &asked.with {
        Some((with, resource)) => (Some(with.as_str()), resource.as_deref()),
        None => (None, None),
    };
    let these = range.these.as_ref().map(|these| join(these));
    let texts = if with.is_some() { &WITH_ONE } else { &WITH_ANYBODY };
    // An edge is a place in time too, so that reading begins there.
    let (start, end) = (place_of(db, least)?, place_of(db, most)?);
    let start = range.start.into_iter().chain(start).max().unwrap_or(Timestamp(i64::MIN));
    let end = range.end.into_iter().chain(end).min().unwrap_or(Timestamp(i64::MAX));
    let bound = params![asked.owner.as_str(), with, resource, start, end, least, most, these];
    texts.ask(db, range, bound, read_archived, Archived::weight)
}

fn published(
    db: &Connection,
    node: NodeKey,
    publisher: Option<&BareJid>,
    range: &ArchiveRange,
) -> Result<ArchivePage<Event>, Trouble> {
    for seq in range.edges() {
        let sql = "SELECT 1 FROM log WHERE node = ?1 AND seq = ?2 AND kind = ?3";
        if !db.prepare_cached(sql)?.exists(params![node, seq, row::PUBLISHED])? {
            return Err(Failure::NoSuchEdge.into());
        }
    }
    for seq in range.these.iter().flatten() {
        let sql = "SELECT 1 FROM log WHERE node = ?1 AND seq = ?2 AND kind = ?3 AND payload IS NOT NULL";
        if !db.prepare_cached(sql)?.exists(params![node, seq, row::PUBLISHED])? {
            return Err(Failure::NoSuchEdge.into());
        }
    }
    let (least, most) = range.between();
    let these = range.these.as_ref().map(|these| join(these));
    let start = range.start.unwrap_or(Timestamp(i64::MIN));
    let end = range.end.unwrap_or(Timestamp(i64::MAX));
    let publisher = publisher.map(BareJid::as_str);
    let bound = params![node, row::PUBLISHED, publisher, start, end, least, most, these];
    OF_A_NODE.ask(db, range, bound, row::event, event_bytes)
}

impl Texts {
    fn ask<T>(
        &self,
        db: &Connection,
        range: &ArchiveRange,
        bound: &[&dyn ToSql],
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
        weight: fn(&T) -> usize,
    ) -> Result<ArchivePage<T>, Trouble> {
        if range.max == 0 {
            let count: Count = db.prepare_cached(self.count)?.query_row(bound, |row| row.get(0))?;
            return Ok(ArchivePage::counted(count.0));
        }
        let mut statement = db.prepare_cached(if range.forward() { self.forward } else { self.backward })?;
        Ok(range.page(statement.query_map(bound, read)?, weight)?)
    }
}

fn place_of(db: &Connection, number: i64) -> Result<Option<Timestamp>, Trouble> {
    let sql = "SELECT time FROM archived WHERE number = ?1";
    Ok(db.prepare_cached(sql)?.query_row([number], |row| row.get(0)).optional()?)
}

fn keeping(db: &Connection, owner: &BareJid) -> Result<Keeping, Trouble> {
    let sql = "SELECT r.others, r.always, r.never FROM accounts a LEFT JOIN archives r ON r.owner = a.jid \
               WHERE a.jid = ?1";
    let found = db.prepare_cached(sql)?.query_row([owner.as_str()], read_preferences).optional()?;
    Ok(found.map_or(Keeping::Nobody, |said| said.map_or(Keeping::Unsaid, Keeping::As)))
}

/// In the order of numbers no message stands before an older one, but where the clock was set back:
/// those go later.
fn forget(db: &Connection, before: Timestamp, slice: usize) -> Result<usize, Trouble> {
    let sql = "DELETE FROM archived WHERE number IN (SELECT number FROM archived ORDER BY number LIMIT ?2) \
               AND time < ?1 RETURNING owner";
    let mut gone: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    let owners: Vec<String> = read::collect(db, sql, params![before, slice as i64], |row| row.get(0))?;
    let count = owners.len();
    for owner in owners {
        *gone.entry(owner).or_default() += 1;
    }
    gone.iter().try_for_each(|(owner, count)| shrink(db, owner, *count))?;
    Ok(count)
}

fn shrink(db: &Connection, owner: &str, by: usize) -> Result<(), Trouble> {
    db.prepare_cached("UPDATE archives SET messages = messages - ?2 WHERE owner = ?1")?
        .execute(params![owner, by as i64])?;
    Ok(())
}

/// An account's archive, when the account goes.
pub(super) fn remove(db: &Connection, owner: &BareJid) -> Result<(), Trouble> {
    db.prepare_cached("DELETE FROM archived WHERE owner = ?1")?.execute([owner.as_str()])?;
    db.prepare_cached("DELETE FROM archives WHERE owner = ?1")?.execute([owner.as_str()])?;
    Ok(())
}

/// Reads `number, time, stanza`.
fn read_archived(row: &Row<'_>) -> rusqlite::Result<Archived> {
    Ok(Archived { number: row.get(0)?, time: row.get(1)?, xml: Arc::from(row.get_ref(2)?.as_blob()?) })
}

/// Reads `others, always, never`, which an archive has whose owner has said something.
fn read_preferences(row: &Row<'_>) -> rusqlite::Result<Option<Preferences>> {
    let Some(others) = row.get_ref(0)?.as_str_or_null()? else { return Ok(None) };
    let others = Policy::parse(others).ok_or_else(|| FromSqlError::Other("a policy that is none".into()))?;
    let list = |column: usize| -> rusqlite::Result<Vec<Jid>> {
        let texts = counted::split(row.get_ref(column)?.as_str()?)
            .ok_or_else(|| FromSqlError::Other("addresses that are no list".into()))?;
        let jids = texts.into_iter().map(|text| Jid::parse(text).map_err(FromSqlError::other));
        Ok(jids.collect::<Result<_, _>>()?)
    };
    Ok(Some(Preferences { others, always: list(1)?, never: list(2)? }))
}

/// As a list of JSON.
fn join(numbers: &[i64]) -> String {
    let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("[{}]", texts.join(","))
}

/// By the index of peers.
const WITH_ONE: Texts = Texts {
    forward: "SELECT number, time, stanza FROM archived WHERE owner = ?1 AND peer = ?2 AND (?3 IS NULL OR resource = ?3) \
              AND time >= ?4 AND time <= ?5 AND number > ?6 AND number < ?7 \
              AND (?8 IS NULL OR number IN (SELECT value FROM json_each(?8))) ORDER BY time, number",
    backward: "SELECT number, time, stanza FROM archived WHERE owner = ?1 AND peer = ?2 AND (?3 IS NULL OR resource = ?3) \
              AND time >= ?4 AND time <= ?5 AND number > ?6 AND number < ?7 \
              AND (?8 IS NULL OR number IN (SELECT value FROM json_each(?8))) ORDER BY time DESC, number DESC",
    count: "SELECT count(*) FROM archived WHERE owner = ?1 AND peer = ?2 AND (?3 IS NULL OR resource = ?3) \
              AND time >= ?4 AND time <= ?5 AND number > ?6 AND number < ?7 \
              AND (?8 IS NULL OR number IN (SELECT value FROM json_each(?8)))",
};
/// By the index of times.
const WITH_ANYBODY: Texts = Texts {
    forward: "SELECT number, time, stanza FROM archived WHERE owner = ?1 AND ?2 IS NULL AND (?3 IS NULL OR resource = ?3) \
              AND time >= ?4 AND time <= ?5 AND number > ?6 AND number < ?7 \
              AND (?8 IS NULL OR number IN (SELECT value FROM json_each(?8))) ORDER BY time, number",
    backward: "SELECT number, time, stanza FROM archived WHERE owner = ?1 AND ?2 IS NULL AND (?3 IS NULL OR resource = ?3) \
              AND time >= ?4 AND time <= ?5 AND number > ?6 AND number < ?7 \
              AND (?8 IS NULL OR number IN (SELECT value FROM json_each(?8))) ORDER BY time DESC, number DESC",
    count: "SELECT count(*) FROM archived WHERE owner = ?1 AND ?2 IS NULL AND (?3 IS NULL OR resource = ?3) \
              AND time >= ?4 AND time <= ?5 AND number > ?6 AND number < ?7 \
              AND (?8 IS NULL OR number IN (SELECT value FROM json_each(?8)))",
};
const OF_A_NODE: Texts = Texts {
    forward: "SELECT seq, time, kind, item_id, publisher, media, namespace, payload, prev, detail FROM log WHERE node = ?1 AND kind = ?2 AND payload IS NOT NULL \
              AND (?3 IS NULL OR publisher = ?3) AND time >= ?4 AND time <= ?5 AND seq > ?6 AND seq < ?7 \
              AND (?8 IS NULL OR seq IN (SELECT value FROM json_each(?8))) ORDER BY seq",
    backward: "SELECT seq, time, kind, item_id, publisher, media, namespace, payload, prev, detail FROM log WHERE node = ?1 AND kind = ?2 AND payload IS NOT NULL \
              AND (?3 IS NULL OR publisher = ?3) AND time >= ?4 AND time <= ?5 AND seq > ?6 AND seq < ?7 \
              AND (?8 IS NULL OR seq IN (SELECT value FROM json_each(?8))) ORDER BY seq DESC",
    count: "SELECT count(*) FROM log WHERE node = ?1 AND kind = ?2 AND payload IS NOT NULL \
              AND (?3 IS NULL OR publisher = ?3) AND time >= ?4 AND time <= ?5 AND seq > ?6 AND seq < ?7 \
              AND (?8 IS NULL OR seq IN (SELECT value FROM json_each(?8)))",
};
/// Messages that are forgotten in one transaction.
const FORGOTTEN_SLICE: usize = 500;
/// Messages that make room for one.
const TRIMMED_MAX: u64 = 100;
