//! What was answered under idempotency keys.

use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension, params};

use crate::jid::BareJid;
use crate::pubsub::{ItemId, Published, Seq};
use crate::store::sqlite::row::Count;
use crate::store::sqlite::trouble::Trouble;
use crate::store::{Memo, MemoKey};
use crate::time::Timestamp;

/// The memo of a key, and how many its caller has.
pub(super) fn find(db: &Connection, key: &MemoKey) -> Result<(Option<Memo>, u64), Trouble> {
    let memo = db
        .prepare_cached(
            "SELECT fingerprint, node_key, created, items, expires FROM memos \
             WHERE caller = ?1 AND service = ?2 AND node = ?3 AND key = ?4",
        )?
        .query_row(place(key), |row| {
            let items = unpack(row.get_ref(3)?.as_blob()?)
                .ok_or_else(|| FromSqlError::Other("the items of a memo are no list of items".into()))?;
            Ok(Memo {
                key: key.clone(),
                fingerprint: row.get(0)?,
                node: row.get(1)?,
                created: row.get(2)?,
                items,
                expires: row.get(4)?,
            })
        })
        .optional()?;
    let count = db
        .prepare_cached("SELECT memos FROM memo_counts WHERE caller = ?1")?
        .query_row([key.caller.as_str()], |row| row.get::<_, Count>(0))
        .optional()?;
    Ok((memo, count.map_or(0, |count| count.0)))
}

pub(super) fn put(db: &Connection, memo: &Memo) -> Result<(), Trouble> {
    let [caller, service, node, key] = place(&memo.key);
    let replaced = db
        .prepare_cached("DELETE FROM memos WHERE caller = ?1 AND service = ?2 AND node = ?3 AND key = ?4")?
        .execute([caller, service, node, key])?;
    db.prepare_cached(
        "INSERT INTO memos (caller, service, node, key, fingerprint, node_key, created, items, expires) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        caller,
        service,
        node,
        key,
        memo.fingerprint,
        memo.node,
        memo.created,
        pack(&memo.items),
        memo.expires
    ])?;
    if replaced == 0 {
        db.prepare_cached(
            "INSERT INTO memo_counts (caller, memos) VALUES (?1, 1) \
             ON CONFLICT (caller) DO UPDATE SET memos = memos + 1",
        )?
        .execute([caller])?;
    }
    Ok(())
}

/// Forgets at most so many that have expired by then; how many they were.
pub(super) fn forget(db: &Connection, before: Timestamp, max: usize) -> Result<usize, Trouble> {
    let mut statement = db.prepare_cached(
        "DELETE FROM memos WHERE (caller, service, node, key) IN \
         (SELECT caller, service, node, key FROM memos WHERE expires <= ?1 LIMIT ?2) RETURNING caller",
    )?;
    let mut rows = statement.query(params![before, max as i64])?;
    let mut callers: std::collections::BTreeMap<BareJid, i64> = std::collections::BTreeMap::new();
    let mut forgotten = 0;
    while let Some(row) = rows.next()? {
        *callers.entry(row.get(0)?).or_default() += 1;
        forgotten += 1;
    }
    for (caller, count) in callers {
        db.prepare_cached("UPDATE memo_counts SET memos = memos - ?2 WHERE caller = ?1")?
            .execute(params![caller.as_str(), count])?;
        db.prepare_cached("DELETE FROM memo_counts WHERE caller = ?1 AND memos <= 0")?.execute([caller.as_str()])?;
    }
    Ok(forgotten)
}

fn place(key: &MemoKey) -> [&str; 4] {
    [key.caller.as_str(), key.address.service.as_str(), key.address.node.as_str(), &key.key]
}

/// For each item its seq, its time, whether it replaced another, and its counted name; without a name
/// the count is 0.
fn pack(items: &[Published]) -> Vec<u8> {
    let mut out = Vec::with_capacity(items.len() * 48);
    for item in items {
        let id = item.id.as_ref().map_or("", ItemId::as_str);
        out.extend_from_slice(&item.seq.0.to_be_bytes());
        out.extend_from_slice(&item.time.0.to_be_bytes());
        out.push(u8::from(item.replaced));
        out.extend_from_slice(&(id.len() as u16).to_be_bytes());
        out.extend_from_slice(id.as_bytes());
    }
    out
}

fn unpack(mut bytes: &[u8]) -> Option<Vec<Published>> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let (seq, rest) = bytes.split_first_chunk::<8>()?;
        let (time, rest) = rest.split_first_chunk::<8>()?;
        let (replaced, rest) = rest.split_first()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (id, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let id = match id {
            [] => None,
            id => Some(ItemId::parse(std::str::from_utf8(id).ok()?)?),
        };
        let seq = Seq(u64::from_be_bytes(*seq));
        items.push(Published { id, seq, replaced: *replaced == 1, time: Timestamp(i64::from_be_bytes(*time)) });
        bytes = rest;
    }
    Some(items)
}
