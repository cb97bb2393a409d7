//! Rosters, block lists, and messages that wait.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::im::{Departure, Links, Roster, RosterChange, RosterItem, RosterPlace, StoredStanza};
use crate::jid::{BareJid, Jid};
use crate::pubsub::Contact;
use crate::store::counted;
use crate::store::sqlite::read::{collect, limit};
use crate::store::sqlite::row::Count;
use crate::store::sqlite::trouble::Trouble;

/// What access models ask.
pub(super) fn fact(db: &Connection, owner: &BareJid, contact: &BareJid) -> Result<Option<Contact>, Trouble> {
    let found = item(db, owner, contact)?.filter(|item| item.listed);
    Ok(found.map(|item| Contact { to: item.links.to, from: item.links.from, groups: item.groups }))
}

pub(super) fn roster(db: &Connection, owner: &BareJid) -> Result<Roster, Trouble> {
    let items = collect(
        db,
        "SELECT contact, name, groups, links, listed, request FROM contacts WHERE owner = ?1 ORDER BY contact",
        params![owner.as_str()],
        read_item,
    )?;
    Ok(Roster { version: version(db, owner)?, items })
}

pub(super) fn place(db: &Connection, owner: &BareJid, contact: &BareJid) -> Result<RosterPlace, Trouble> {
    let (all, listed): (Count, Count) = db
        .prepare_cached("SELECT count(*), coalesce(sum(listed), 0) FROM contacts WHERE owner = ?1")?
        .query_row([owner.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(RosterPlace {
        item: item(db, owner, contact)?,
        listed: listed.0,
        waiting: all.0 - listed.0,
        version: version(db, owner)?,
    })
}

/// Writes one entry; the version of the roster after it.
pub(super) fn put(db: &Connection, change: &RosterChange) -> Result<u64, Trouble> {
    let (owner, contact) = (change.owner.as_str(), change.contact.as_str());
    match &change.item {
        None => {
            db.prepare_cached("DELETE FROM contacts WHERE owner = ?1 AND contact = ?2")?.execute([owner, contact])?;
        }
        Some(item) => {
            let groups = counted::join(item.groups.iter().map(|group| &**group));
            db.prepare_cached(
                "INSERT INTO contacts (owner, contact, name, groups, links, listed, request) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (owner, contact) DO UPDATE SET \
                 name = excluded.name, groups = excluded.groups, links = excluded.links, listed = excluded.listed, \
                 request = excluded.request",
            )?
            .execute(params![
                owner,
                contact,
                item.name.as_deref(),
                groups,
                to_bits(item.links),
                item.listed,
                item.request.as_deref()
            ])?;
        }
    }
    let version: Count = db
        .prepare_cached(
            "INSERT INTO rosters (owner, version) VALUES (?1, 1) \
             ON CONFLICT (owner) DO UPDATE SET version = version + 1 RETURNING version",
        )?
        .query_row([owner], |row| row.get(0))?;
    Ok(version.0)
}

pub(super) fn blocked(db: &Connection, owner: &BareJid) -> Result<Vec<Jid>, Trouble> {
    collect(db, "SELECT jid FROM blocked WHERE owner = ?1 ORDER BY jid", params![owner.as_str()], |row| {
        Jid::parse(row.get_ref(0)?.as_str()?).map_err(|error| rusqlite::types::FromSqlError::other(error).into())
    })
}

pub(super) fn set_blocked(db: &Connection, owner: &BareJid, jids: &[Jid]) -> Result<(), Trouble> {
    db.prepare_cached("DELETE FROM blocked WHERE owner = ?1")?.execute([owner.as_str()])?;
    for jid in jids {
        db.prepare_cached("INSERT OR IGNORE INTO blocked (owner, jid) VALUES (?1, ?2)")?
            .execute([owner.as_str(), &jid.to_string()])?;
    }
    Ok(())
}

/// Whether there was room.
pub(super) fn keep_message(db: &Connection, owner: &BareJid, kept: &StoredStanza, max: u64) -> Result<bool, Trouble> {
    let waiting: Count = db
        .prepare_cached("SELECT count(*) FROM offline_messages WHERE owner = ?1")?
        .query_row([owner.as_str()], |row| row.get(0))?;
    if waiting.0 >= max {
        return Ok(false);
    }
    db.prepare_cached("INSERT INTO offline_messages (owner, time, stanza) VALUES (?1, ?2, ?3)")?.execute(params![
        owner.as_str(),
        kept.time,
        &*kept.xml
    ])?;
    Ok(true)
}

pub(super) fn messages(
    db: &Connection,
    owner: &BareJid,
    after: i64,
    max: usize,
) -> Result<Vec<(i64, StoredStanza)>, Trouble> {
    collect(
        db,
        "SELECT id, time, stanza FROM offline_messages WHERE owner = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        params![owner.as_str(), after, limit(max as u64)],
        |row| Ok((row.get(0)?, StoredStanza { time: row.get(1)?, xml: Arc::from(row.get_ref(2)?.as_blob()?) })),
    )
}

pub(super) fn forget_messages(db: &Connection, owner: &BareJid, through: i64) -> Result<(), Trouble> {
    db.prepare_cached("DELETE FROM offline_messages WHERE owner = ?1 AND id <= ?2")?
        .execute(params![owner.as_str(), through])?;
    Ok(())
}

pub(super) fn departure(db: &Connection, owner: &BareJid) -> Result<Option<Departure>, Trouble> {
    Ok(db
        .prepare_cached("SELECT time, status FROM departures WHERE owner = ?1")?
        .query_row([owner.as_str()], |row| Ok(Departure { at: row.get(0)?, status: row.get(1)? }))
        .optional()?)
}

pub(super) fn put_departure(db: &Connection, owner: &BareJid, departure: &Departure) -> Result<(), Trouble> {
    db.prepare_cached(
        "INSERT INTO departures (owner, time, status) SELECT ?1, ?2, ?3 \
         WHERE EXISTS (SELECT 1 FROM accounts WHERE jid = ?1) \
         ON CONFLICT (owner) DO UPDATE SET time = excluded.time, status = excluded.status",
    )?
    .execute(params![owner.as_str(), departure.at, departure.status])?;
    Ok(())
}

/// All that an account has of others, when the account goes. Its roster's version goes on should the
/// account come again.
pub(super) fn remove(db: &Connection, owner: &BareJid) -> Result<(), Trouble> {
    let owner = [owner.as_str()];
    db.prepare_cached("DELETE FROM contacts WHERE owner = ?1")?.execute(owner)?;
    db.prepare_cached("DELETE FROM blocked WHERE owner = ?1")?.execute(owner)?;
    db.prepare_cached("DELETE FROM offline_messages WHERE owner = ?1")?.execute(owner)?;
    db.prepare_cached("DELETE FROM departures WHERE owner = ?1")?.execute(owner)?;
    db.prepare_cached("UPDATE rosters SET version = version + 1 WHERE owner = ?1")?.execute(owner)?;
    Ok(())
}

fn item(db: &Connection, owner: &BareJid, contact: &BareJid) -> Result<Option<RosterItem>, Trouble> {
    let found = db
        .prepare_cached(
            "SELECT contact, name, groups, links, listed, request FROM contacts WHERE owner = ?1 AND contact = ?2",
        )?
        .query_row([owner.as_str(), contact.as_str()], read_item)
        .optional()?;
    Ok(found)
}

fn version(db: &Connection, owner: &BareJid) -> Result<u64, Trouble> {
    let found: Option<Count> = db
        .prepare_cached("SELECT version FROM rosters WHERE owner = ?1")?
        .query_row([owner.as_str()], |row| row.get(0))
        .optional()?;
    Ok(found.map_or(0, |count| count.0))
}

/// Reads `contact, name, groups, links, listed, request`.
fn read_item(row: &Row<'_>) -> rusqlite::Result<RosterItem> {
    let groups = counted::split(row.get_ref(2)?.as_str()?)
        .ok_or_else(|| rusqlite::types::FromSqlError::Other("groups that are no list".into()))?;
    Ok(RosterItem {
        jid: row.get(0)?,
        name: row.get(1)?,
        groups: groups.into_iter().map(Arc::from).collect(),
        links: from_bits(row.get(3)?),
        listed: row.get(4)?,
        request: row.get(5)?,
    })
}

fn to_bits(links: Links) -> i64 {
    let bit = |set: bool, bit: i64| if set { bit } else { 0 };
    bit(links.to, TO)
        | bit(links.from, FROM)
        | bit(links.pending_out, PENDING_OUT)
        | bit(links.pending_in, PENDING_IN)
        | bit(links.approved, APPROVED)
}

fn from_bits(bits: i64) -> Links {
    Links {
        to: bits & TO != 0,
        from: bits & FROM != 0,
        pending_out: bits & PENDING_OUT != 0,
        pending_in: bits & PENDING_IN != 0,
        approved: bits & APPROVED != 0,
    }
}

// The bits of `links`. Never reuse one.
const TO: i64 = 1;
const FROM: i64 = 2;
const PENDING_OUT: i64 = 4;
const PENDING_IN: i64 = 8;
const APPROVED: i64 = 16;
