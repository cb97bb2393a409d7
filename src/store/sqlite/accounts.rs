//! Accounts and tokens.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::jid::BareJid;
use crate::store::counted;
use crate::store::sqlite::read::{collect, limit};
use crate::store::sqlite::trouble::Trouble;
use crate::store::{Account, AccountTotals, Failure, ScramKeys, Token, Verifier};
use crate::time::Timestamp;

pub(super) fn account(db: &Connection, jid: &BareJid) -> Result<Option<Account>, Trouble> {
    let found = collect(
        db,
        "SELECT jid, admin, disabled, created, argon2id FROM accounts WHERE jid = ?1",
        params![jid.as_str()],
        head,
    )?;
    found.into_iter().next().map(|head| whole(db, head)).transpose()
}

pub(super) fn accounts(db: &Connection, after: Option<&BareJid>, max: usize) -> Result<Vec<Account>, Trouble> {
    let heads = collect(
        db,
        "SELECT jid, admin, disabled, created, argon2id FROM accounts WHERE jid > ?1 ORDER BY jid LIMIT ?2",
        params![after.map_or("", BareJid::as_str), limit(max as u64)],
        head,
    )?;
    heads.into_iter().map(|head| whole(db, head)).collect()
}

/// By an index, whatever the number of accounts.
pub(super) fn like(db: &Connection, jid: &BareJid, max: usize) -> Result<Vec<BareJid>, Trouble> {
    let sql = "SELECT jid FROM accounts WHERE look = ?1 AND jid <> ?2 ORDER BY jid LIMIT ?3";
    collect(db, sql, params![jid.look(), jid.as_str(), limit(max as u64)], |row| row.get(0))
}

/// Notes what accounts look like of whom that was not noted: those that were made before it was.
pub(super) fn note_looks(db: &Connection) -> rusqlite::Result<()> {
    loop {
        let transaction = db.unchecked_transaction()?;
        let mut unnoted = transaction.prepare_cached("SELECT jid FROM accounts WHERE look IS NULL LIMIT ?1")?;
        let jids = unnoted.query_map([LOOKS_SLICE], |row| row.get(0))?.collect::<Result<Vec<BareJid>, _>>()?;
        drop(unnoted);
        for jid in &jids {
            transaction
                .prepare_cached("UPDATE accounts SET look = ?2 WHERE jid = ?1")?
                .execute([jid.as_str(), &jid.look()])?;
        }
        transaction.commit()?;
        if jids.is_empty() {
            return Ok(());
        }
    }
}

pub(super) fn totals(db: &Connection) -> Result<AccountTotals, Trouble> {
    let totals = db.prepare_cached("SELECT accounts, disabled, admins FROM account_totals")?.query_row([], |row| {
        let count = |column: usize| Ok::<u64, rusqlite::Error>(row.get::<_, i64>(column)?.unsigned_abs());
        Ok(AccountTotals { accounts: count(0)?, disabled: count(1)?, admins: count(2)? })
    })?;
    Ok(totals)
}

pub(super) fn put(db: &Connection, account: &Account) -> Result<(), Trouble> {
    let jid = account.jid.as_str();
    let argon2id = match &account.verifier {
        Verifier::Argon2id(phc) => Some(phc.as_str()),
        Verifier::Scram { .. } => None,
    };
    db.prepare_cached(
        "INSERT INTO accounts (jid, admin, disabled, created, argon2id, look) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (jid) DO UPDATE SET admin = excluded.admin, disabled = excluded.disabled, \
         created = excluded.created, argon2id = excluded.argon2id, look = excluded.look",
    )?
    .execute(params![jid, account.admin, account.disabled, account.created, argon2id, account.jid.look()])?;
    db.prepare_cached("DELETE FROM scram_keys WHERE jid = ?1")?.execute([jid])?;
    if let Verifier::Scram { sha1, sha256, sha512 } = &account.verifier {
        for (hash, keys) in [(SHA1, sha1), (SHA256, sha256), (SHA512, sha512)] {
            db.prepare_cached(
                "INSERT INTO scram_keys (jid, hash, salt, iterations, stored_key, server_key) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![jid, hash, keys.salt, keys.iterations, keys.stored_key, keys.server_key])?;
        }
    }
    Ok(())
}

pub(super) fn remove(db: &Connection, jid: &BareJid) -> Result<bool, Trouble> {
    db.prepare_cached("DELETE FROM tokens WHERE account = ?1")?.execute([jid.as_str()])?;
    db.prepare_cached("DELETE FROM fast_tokens WHERE account = ?1")?.execute([jid.as_str()])?;
    db.prepare_cached("DELETE FROM scram_keys WHERE jid = ?1")?.execute([jid.as_str()])?;
    Ok(db.prepare_cached("DELETE FROM accounts WHERE jid = ?1")?.execute([jid.as_str()])? > 0)
}

pub(super) fn token(db: &Connection, id: &str) -> Result<Option<Token>, Trouble> {
    let found = db
        .prepare_cached(
            "SELECT id, secret_sha256, account, scopes, created, expires, last_used FROM tokens WHERE id = ?1",
        )?
        .query_row([id], read_token)
        .optional()?;
    Ok(found)
}

pub(super) fn tokens(db: &Connection, account: Option<&BareJid>) -> Result<Vec<Token>, Trouble> {
    match account {
        Some(jid) => {
            let sql = "SELECT id, secret_sha256, account, scopes, created, expires, last_used FROM tokens \
                       WHERE account = ?1 ORDER BY id";
            collect(db, sql, params![jid.as_str()], read_token)
        }
        None => collect(
            db,
            "SELECT id, secret_sha256, account, scopes, created, expires, last_used FROM tokens ORDER BY id",
            params![],
            read_token,
        ),
    }
}

pub(super) fn put_token(db: &Connection, token: &Token) -> Result<(), Trouble> {
    db.prepare_cached(
        "INSERT INTO tokens (id, secret_sha256, account, scopes, created, expires, last_used) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (id) DO UPDATE SET secret_sha256 = excluded.secret_sha256, account = excluded.account, \
         scopes = excluded.scopes, created = excluded.created, expires = excluded.expires, \
         last_used = excluded.last_used",
    )?
    .execute(params![
        token.id,
        token.secret_sha256,
        token.account.as_str(),
        counted::join(token.scopes.iter().map(String::as_str)),
        token.created,
        token.expires,
        token.last_used,
    ])?;
    Ok(())
}

pub(super) fn remove_token(db: &Connection, id: &str) -> Result<bool, Trouble> {
    Ok(db.prepare_cached("DELETE FROM tokens WHERE id = ?1")?.execute([id])? > 0)
}

pub(super) fn touch_token(db: &Connection, id: &str, used: Timestamp) -> Result<(), Trouble> {
    db.prepare_cached("UPDATE tokens SET last_used = ?2 WHERE id = ?1")?.execute(params![id, used])?;
    Ok(())
}

/// An account with its Argon2id verifier, if it has that kind.
struct Head {
    jid: BareJid,
    admin: bool,
    disabled: bool,
    created: Timestamp,
    argon2id: Option<String>,
}

fn head(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head {
        jid: row.get(0)?,
        admin: row.get(1)?,
        disabled: row.get(2)?,
        created: row.get(3)?,
        argon2id: row.get(4)?,
    })
}

fn whole(db: &Connection, head: Head) -> Result<Account, Trouble> {
    let keys = |hash: &str| {
        db.prepare_cached(
            "SELECT salt, iterations, stored_key, server_key FROM scram_keys WHERE jid = ?1 AND hash = ?2",
        )?
        .query_row([head.jid.as_str(), hash], |row| {
            Ok(ScramKeys {
                salt: row.get(0)?,
                iterations: row.get(1)?,
                stored_key: row.get(2)?,
                server_key: row.get(3)?,
            })
        })
        .optional()?
        .ok_or_else(|| Trouble::from(Failure::Read(format!("the {hash} keys of {} are missing", head.jid))))
    };
    let verifier = match head.argon2id {
        Some(phc) => Verifier::Argon2id(phc),
        None => Verifier::Scram { sha1: keys(SHA1)?, sha256: keys(SHA256)?, sha512: keys(SHA512)? },
    };
    Ok(Account { jid: head.jid, verifier, admin: head.admin, disabled: head.disabled, created: head.created })
}

fn read_token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let scopes = counted::split(row.get_ref(3)?.as_str()?)
        .ok_or_else(|| rusqlite::types::FromSqlError::Other("scopes that are no list".into()))?;
    Ok(Token {
        id: row.get(0)?,
        secret_sha256: row.get(1)?,
        account: row.get(2)?,
        scopes: scopes.into_iter().map(str::to_owned).collect(),
        created: row.get(4)?,
        expires: row.get(5)?,
        last_used: row.get(6)?,
    })
}

/// Accounts whose looks are noted in one transaction.
const LOOKS_SLICE: i64 = 10_000;
const SHA1: &str = "SHA-1";
const SHA256: &str = "SHA-256";
const SHA512: &str = "SHA-512";
