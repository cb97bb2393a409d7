//! Opening a database file: is it ours, is it free, is its schema one that we know.
//!
//! Nothing here looks at more than a few pages, so starting does not take longer with a larger file.
//! (After a crash SQLite reads the write-ahead log, whose size is bounded.)

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::store::Identity;
use crate::store::sqlite::accounts;
use crate::store::sqlite::trouble::{is_busy, is_damage, is_full};
use crate::store::sqlite::{Durability, SqliteOptions};

/// Why a database cannot be opened, in words that say what to do.
#[derive(Debug)]
pub enum OpenError {
    /// The directory of the file does not exist.
    NoDirectory(PathBuf),
    /// Another process has it.
    InUse(PathBuf),
    /// A later version of this program has written it.
    Newer {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    /// A database of another program.
    NotOurs(PathBuf),
    /// Not a database, or not any more.
    Damaged {
        path: PathBuf,
        why: String,
    },
    Full(PathBuf),
    /// The SQLite that this program was linked with has a fault that loses data.
    OldSqlite {
        found: String,
    },
    Failed {
        path: PathBuf,
        why: String,
    },
}

/// The connection that will write, with its lock, and what the store is.
pub(super) struct Opened {
    pub connection: Connection,
    pub lock: File,
    pub identity: Identity,
}

pub(super) fn open(options: &SqliteOptions) -> Result<Opened, OpenError> {
    if rusqlite::version_number() < SQLITE_LEAST {
        return Err(OpenError::OldSqlite { found: rusqlite::version().to_owned() });
    }
    let path = &options.path;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(directory) = directory
        && !directory.is_dir()
    {
        return Err(OpenError::NoDirectory(directory.to_owned()));
    }
    let lock = lock(path)?;
    // Created here and not by SQLite, for it holds secrets: only the owner may read it. The files
    // beside it get the same mode.
    file(path).map_err(|error| failed(path, &error))?;
    let connection = connect_writer(options).map_err(|error| told(path, error))?;
    migrate(&connection, path)?;
    accounts::note_looks(&connection).map_err(|error| told(path, error))?;
    let identity = identity(&connection).map_err(|error| told(path, error))?;
    Ok(Opened { connection, lock, identity })
}

/// A connection that can only read.
pub(super) fn connect_reader(options: &SqliteOptions) -> Result<Connection, OpenError> {
    let connect = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&options.path, flags)?;
        settle(&connection, options)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    };
    connect().map_err(|error| told(&options.path, error))
}

fn connect_writer(options: &SqliteOptions) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&options.path, flags)?;
    settle(&connection, options)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    let synchronous = match options.durability {
        Durability::Full => "FULL",
        Durability::Relaxed => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // Zeroes what is erased wherever its page is written anyway. It does not touch pages that become
    // free, nor the write-ahead log: what was retracted cannot be read through this server any more,
    // but a thief of the disk may find it until its place is used again. Full erasure would write
    // every freed page of every trimmed log once more.
    connection.pragma_update_and_check(None, "secure_delete", "FAST", |_| Ok(()))?;
    // The writer makes its own checkpoints. A log that a long reader has made large is cut again.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    let wal_bytes_max = i64::from(options.wal_kib) * 1024;
    connection.pragma_update_and_check(None, "journal_size_limit", wal_bytes_max, |_| Ok(()))?;
    Ok(connection)
}

fn settle(connection: &Connection, options: &SqliteOptions) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_millis(options.busy_timeout_ms))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.pragma_update(None, "cache_size", -i64::from(options.cache_kib))?;
    // Or the planner looks at values that are bound, and some statements are made anew at every use.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Sorting must not need a disk that may be full.
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// Brings the schema forward, each step in one transaction; never back.
fn migrate(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let told = |error| told(path, error);
    let found = version(connection, path)?;
    let known = MIGRATIONS.len() as u32;
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    // Not before it is known that the file is ours, for this changes it.
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(told)?;
    if mode != "wal" {
        return Err(failed(path, &"its file system does not allow a write-ahead log: use a local disk"));
    }
    for (number, sql) in (1..=known).zip(MIGRATIONS).skip(found as usize) {
        let step = || {
            let transaction = connection.unchecked_transaction()?;
            transaction.execute_batch(sql)?;
            transaction.execute("INSERT INTO migrations (version, applied) VALUES (?1, unixepoch())", [number])?;
            transaction.commit()
        };
        step().map_err(told)?;
    }
    Ok(())
}

/// The version of the schema that the file has: 0 when it is new.
fn version(connection: &Connection, path: &Path) -> Result<u32, OpenError> {
    let told = |error| told(path, error);
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(told)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(told)?;
    match (application, tables) {
        (0, 0) => Ok(0),
        (APPLICATION_ID, _) => {
            connection.query_row("SELECT coalesce(max(version), 0) FROM migrations", [], |row| row.get(0)).map_err(told)
        }
        _ => Err(OpenError::NotOurs(path.to_owned())),
    }
}

/// Reads what the store is, or draws it when the store is new.
fn identity(connection: &Connection) -> rusqlite::Result<Identity> {
    let found = connection
        .query_row("SELECT incarnation, cursor_key, decoy_key FROM meta WHERE one = 1", [], |row| {
            Ok(Identity { incarnation: row.get(0)?, cursor_key: row.get(1)?, decoy_key: row.get(2)? })
        })
        .optional()?;
    if let Some(identity) = found {
        return Ok(identity);
    }
    let identity = Identity::draw().map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    connection.execute(
        "INSERT INTO meta (one, incarnation, cursor_key, decoy_key, next_node_key) VALUES (1, ?1, ?2, ?3, 1)",
        params![identity.incarnation, identity.cursor_key, identity.decoy_key],
    )?;
    Ok(identity)
}

/// Takes the lock that tells other processes, and other stores of this one, to keep out. SQLite alone
/// would let two servers write in turns, each with caches that the other makes wrong.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = file(Path::new(&name)).map_err(|error| failed(path, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(path, &error)),
    }
}

fn file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn failed(path: &Path, why: &dyn fmt::Display) -> OpenError {
    OpenError::Failed { path: path.to_owned(), why: why.to_string() }
}

fn told(path: &Path, error: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    if is_busy(&error) {
        OpenError::InUse(path)
    } else if is_full(&error) {
        OpenError::Full(path)
    } else if is_damage(&error) {
        OpenError::Damaged { path, why: error.to_string() }
    } else {
        OpenError::Failed { path, why: error.to_string() }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::NoDirectory(directory) => write!(
                f,
                "the directory {} does not exist: create it, or name another for the data",
                directory.display()
            ),
            OpenError::InUse(path) => write!(
                f,
                "the database {} is in use by another process: stop that one, or name another directory for the data",
                path.display()
            ),
            OpenError::Newer { path, found, known } => write!(
                f,
                "the database {} has schema {found}, and this version knows schemas up to {known} only: start the \
                 newer version that wrote it, or restore a backup from before the upgrade",
                path.display()
            ),
            OpenError::NotOurs(path) => {
                write!(f, "{} is the database of another program: name another directory for the data", path.display())
            }
            OpenError::Damaged { path, why } => write!(
                f,
                "the database {} is damaged ({why}): keep a copy of it and of the files beside it, then restore a \
                 backup",
                path.display()
            ),
            OpenError::Full(path) => {
                write!(f, "the disk of the database {} is full: free some space, then start again", path.display())
            }
            OpenError::OldSqlite { found } => write!(
                f,
                "this program was linked with SQLite {found}, which can lose data: build it with SQLite 3.51.3 or later"
            ),
            OpenError::Failed { path, why } => write!(
                f,
                "the database {} cannot be opened ({why}): see to the file's owner, its permissions and its disk",
                path.display()
            ),
        }
    }
}

impl std::error::Error for OpenError {}

/// In order; the first is schema 1. One that was released is never edited.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_instant_messaging.sql"),
    include_str!("migrations/0003_memos.sql"),
    include_str!("migrations/0004_account_totals.sql"),
    include_str!("migrations/0005_access_and_expiry.sql"),
    include_str!("migrations/0006_fast_tokens.sql"),
    include_str!("migrations/0007_subscriptions.sql"),
    include_str!("migrations/0008_webhooks.sql"),
    include_str!("migrations/0009_subscribers_by_domain.sql"),
    include_str!("migrations/0010_message_archive.sql"),
    include_str!("migrations/0011_contacts_by_contact.sql"),
    include_str!("migrations/0012_children.sql"),
    include_str!("migrations/0013_departures.sql"),
    include_str!("migrations/0014_webhook_attempts.sql"),
    include_str!("migrations/0015_passing_items.sql"),
    include_str!("migrations/0016_looks.sql"),
];
/// `tdng`, which migration 1 writes into the file's header.
const APPLICATION_ID: i64 = 0x7464_6e67;
/// 3.51.3: earlier ones can reset a write-ahead log that still holds commits.
const SQLITE_LEAST: i32 = 3_051_003;
/// Most pages that a batch touches are index leaves: smaller ones are less to write (0005).
pub(super) const PAGE_BYTES: u32 = 4096;
/// More than this room has, so that none is ever prepared twice.
const STATEMENTS_MAX: usize = 128;
