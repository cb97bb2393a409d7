//! Tokens of FAST.

use rusqlite::{Connection, Row, params};

use crate::jid::BareJid;
use crate::store::FastToken;
use crate::store::sqlite::read::{collect, limit};
use crate::store::sqlite::trouble::Trouble;

pub(super) fn tokens(db: &Connection, account: &BareJid, client: &str) -> Result<Vec<FastToken>, Trouble> {
    collect(
        db,
        "SELECT account, client, used, mechanism, secret_sha256, issued, expires, count FROM fast_tokens \
         WHERE account = ?1 AND client = ?2 ORDER BY used",
        params![account.as_str(), client],
        read_token,
    )
}

pub(super) fn put(
    db: &Connection,
    account: &BareJid,
    client: &str,
    tokens: &[FastToken],
    clients_max: usize,
) -> Result<(), Trouble> {
    db.prepare_cached("DELETE FROM fast_tokens WHERE account = ?1 AND client = ?2")?
        .execute([account.as_str(), client])?;
    for token in tokens {
        db.prepare_cached(
            "INSERT INTO fast_tokens (account, client, used, mechanism, secret_sha256, issued, expires, count) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            account.as_str(),
            client,
            token.used,
            token.mechanism,
            token.secret_sha256,
            token.issued,
            token.expires,
            token.count,
        ])?;
    }
    // The client itself has the newest token, or none.
    db.prepare_cached(
        "DELETE FROM fast_tokens WHERE account = ?1 AND client NOT IN (SELECT client FROM fast_tokens \
         WHERE account = ?1 GROUP BY client ORDER BY max(issued) DESC, client LIMIT ?2)",
    )?
    .execute(params![account.as_str(), limit(clients_max as u64)])?;
    Ok(())
}

pub(super) fn remove(db: &Connection, account: &BareJid) -> Result<(), Trouble> {
    db.prepare_cached("DELETE FROM fast_tokens WHERE account = ?1")?.execute([account.as_str()])?;
    Ok(())
}

fn read_token(row: &Row<'_>) -> rusqlite::Result<FastToken> {
    Ok(FastToken {
        account: row.get(0)?,
        client: row.get(1)?,
        used: row.get(2)?,
        mechanism: row.get(3)?,
        secret_sha256: row.get(4)?,
        issued: row.get(5)?,
        expires: row.get(6)?,
        count: row.get(7)?,
    })
}
